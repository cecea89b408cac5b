"""The report in Markdown: the choice first, then the numbers, then how and with what."""

from pathlib import Path

from relex.extrapolation import Diagnostics, Factors, diagnose
from relex.report.accuracy_plot import accuracy_picture
from relex.report.coefficient_plot import COEFFICIENT_PICTURE, coefficient_picture
from relex.report.outcome import cost_words, outcome_lines, reconciled
from relex.report.page import ALARM, address, markdown_table, plain, write_page
from relex.report.summary import RunSummary
from relex.report.tables import (
    FLAG_MARK,
    answer_rows,
    candidate_rows,
    flag_lines,
    group_rows,
    question_rows,
    round_rows,
    search_rows,
    way_rows,
)
from relex.report.training_plot import training_picture
from relex.report.trajectory import concerns, overall_rows, settled, verdict
from relex.search import SearchPath
from relex.selection.decision import Decision
from relex.storage.atomic import new_folder

ACCURACY_PICTURE = "accuracy.png"
FEWER_WORDS = (
    "; those with a smaller number answered the first of them only and could not be chosen"
)
NAMES = (
    "A candidate is named by how it was reached, and the optimizer step that it stands for: "
    "`observed-30` was trained, `line-120` is where the paper's line is at step 120, "
    "`secant-480@2-3.mlp` where the newest motion leads by step 480 when only the MLPs of layers 2 "
    "to 3 go on."
)
CURVE_ROWS = 10
CURVE_COLUMNS = {
    "reward_mean": "reward",
    "reward_spread": "spread of the reward",
    "accuracy": "accuracy",
    "zero_spread_fraction": "groups that teach nothing",
    "clipped_fraction": "clipped answers",
    "mean_completion_tokens": "tokens per answer",
    "grad_norm": "gradient norm",
}
TRAINING_PICTURE = "training.png"
TRAINING_IMAGE = f"![Reward and accuracy of the training by step]({TRAINING_PICTURE})"
REPORT = "report"
MARKDOWN_FILE, HTML_FILE = f"{REPORT}.md", f"{REPORT}.html"
SUMMARY_FILE = "summary.json"


def report_markdown(summary: RunSummary, diagnostics: Diagnostics) -> str:
    """The whole report as Markdown; pictures are files beside it."""
    parts = [
        f"# {summary.run_id}",
        f"**{ALARM * summary.decision.is_harmful}{plain(summary.decision.reason)}**",
        plain(cost_words(summary)),
        "\n".join(f"- **{plain(line)}**" for line in outcome_lines(summary)),
        plain(summary.champion),
        markdown_table(candidate_rows(summary)),
        *(["## The rounds", _rounds(summary)] if summary.earlier else []),
        f"![Accuracy over the optimizer step]({ACCURACY_PICTURE})",
        "## How it was decided",
        _how(summary),
        *(["## How the candidates were found", _search(summary.search)] if summary.search else []),
        *(["## Answers side by side", answers_markdown(summary)] if summary.shown else []),
        "## What the answers tell",
        _answers(summary),
        "## The trajectory",
        _trajectory(summary, diagnostics),
        f"![Coefficients over the optimizer step]({COEFFICIENT_PICTURE})",
        *(["## Training", TRAINING_IMAGE, _curve(summary)] if summary.training else []),
        "## Where it is, and with what it was made",
        _facts(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rounds(summary: RunSummary) -> str:
    """The path of which this report tells the last part."""
    return (
        f"This is round {len(summary.rounds)}: its base, from which steps are counted here, is "
        f"what the round before it chose.\n\n{markdown_table(round_rows(summary))}"
    )


def _how(summary: RunSummary) -> str:
    decision = summary.decision
    fewer = any(r.num_questions < decision.num_questions for r in decision.results)
    gain = f" by more than {decision.require_gain:g}" if decision.require_gain else ""
    return (
        f"Every candidate answered the same {decision.num_questions} validation questions "
        f"{decision.samples_per_question} times, with the same seeds{FEWER_WORDS * fewer}. "
        f"Intervals of an accuracy are {decision.confidence:.0%} bootstrap intervals over the "
        "questions. Another candidate replaces the last observed step only if "
        f"{_test_words(decision)} says that it is better{gain}, and only if it "
        "raises no red flag. The interval of a difference is that of the same test, so that a "
        f"candidate passes when its interval lies above {decision.require_gain:g}. The base is "
        "tested with them: where it is clearly better than the last observed step, training did "
        "harm, and what replaces the base must be better than the base. At "
        f"{decision.confidence:.0%} confidence all true differences lie above their lower ends. "
        "The chosen candidate, the last observed step and the base were then measured once on the "
        "test questions, which played no part in the choice, and, in rows that say so, on the "
        f"validation questions at temperature 0.\n\n{NAMES}"
    )


def _test_words(decision: Decision) -> str:
    num_rivals = decision.num_rivals
    if decision.samples_per_question == num_rivals == 1 and decision.require_gain == 0:
        return "the exact McNemar test"
    together = f" of all {num_rivals} that were tried, together" if num_rivals > 1 else ""
    return (
        f"a one-sided paired test{together} (signs of the questions' differences flipped "
        f"{decision.num_resamples:,} times)"
    )


def _search(path: SearchPath) -> str:
    """What the search cost, why it ended, and what it tried."""
    return (
        f"The search spent **{path.num_tokens:,} tokens, {path.token_fraction:.0%} of the full "
        f"grid** ({path.num_grid_targets} targets on all {path.num_questions} questions, about "
        f"{path.num_grid_tokens:,} tokens). It ended because {path.stopped}.\n\n"
        "What moving some of the tensors gives, all others at the newest snapshot:\n\n"
        f"{markdown_table(way_rows(path))}\n\n"
        "All that was tried, in this order:\n\n"
        f"{markdown_table(search_rows(path))}"
    )


def answers_markdown(summary: RunSummary) -> str:
    """A few questions with the finalists' answers."""
    return (
        f"First answers to questions of {plain(summary.benchmark_names[0])}, those that changed "
        f"first: ✓ is right, ✗ wrong.\n\n{markdown_table(question_rows(summary))}"
    )


def _answers(summary: RunSummary) -> str:
    """Red flags first, then the numbers behind them, then accuracy by group."""
    last = summary.decision.last_observed
    groups = group_rows(summary)
    parts = [
        "\n".join(f"- {FLAG_MARK} **{plain(line)}**" for line in flag_lines(summary)),
        f"Of answers to one question with one seed: `+` were repaired, `-` were broken, against "
        f"{last.key} and against the base. Pass at k is the chance that one of k answers is "
        "right.",
        markdown_table(answer_rows(summary)),
        markdown_table(groups) if groups else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _trajectory(summary: RunSummary, diagnostics: Diagnostics) -> str:
    """What to expect beyond the window, what is odd, and the numbers."""
    warned = [f"- **{plain(warning)}**" for warning in concerns(diagnostics)]
    rows = [
        {"": title, "value": value, "what it is": words}
        for title, value, words in overall_rows(diagnostics)
    ]
    parts = [
        verdict(diagnostics),
        settled(diagnostics, summary.most_steps),
        reconciled(summary, diagnostics),
        "\n".join(warned),
        markdown_table(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def _curve(summary: RunSummary) -> str:
    """Evenly spaced rows of the training curve, from the first step to the last."""
    steps, last = summary.training, len(summary.training) - 1
    num_gaps = min(CURVE_ROWS - 1, last)
    shown = [steps[number * last // max(num_gaps, 1)] for number in range(num_gaps + 1)]
    rows = [
        {"step": str(step.step)}
        | {
            title: f"{step.metrics[name]:.3g}"
            for name, title in CURVE_COLUMNS.items()
            if name in step.metrics
        }
        for step in shown
    ]
    return markdown_table(rows)


def _facts(summary: RunSummary) -> str:
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in summary.seconds_by_stage.items())
    versions = ", ".join(f"{name} {version}" for name, version in summary.versions.items())
    lines = [f"- {plain(link.name)}: {address(link.address)}" for link in summary.links]
    lines += [f"- time: {seconds}"] if seconds else []
    lines += [f"- recipe digest: `{summary.recipe_digest}`"]
    lines += [f"- versions: {plain(versions)}"] if versions else []
    return "\n".join(lines)


def write_report(summary: RunSummary, factors: Factors, out: Path) -> None:
    """`report.html`, `report.md` with its pictures, and `summary.json`, in the new folder."""
    diagnostics = diagnose(factors.table)
    pictures = {
        ACCURACY_PICTURE: accuracy_picture(summary),
        COEFFICIENT_PICTURE: coefficient_picture(factors, diagnostics),
    }
    if summary.training:
        pictures[TRAINING_PICTURE] = training_picture(summary.training)
    text = report_markdown(summary, diagnostics)
    with new_folder(out) as partial:
        write_page(partial, REPORT, text, pictures)
        (partial / SUMMARY_FILE).write_text(summary.model_dump_json(indent=1), encoding="utf-8")
