"""The leaderboard of a sweep: the verdict, the ranking, every trial, and the picture."""

from pathlib import Path

from relex.report.leaderboard_plot import sweep_picture
from relex.report.page import (
    CHOSEN,
    CHOSEN_MARK,
    NOT_MEASURED,
    Row,
    code,
    markdown_table,
    plain,
    write_page,
)
from relex.selection.wording import show_accuracy, show_difference
from relex.storage.atomic import new_folder
from relex.sweep import Leaderboard, TrialResult, VariantResult

LEADERBOARD = "leaderboard"
LEADERBOARD_MARKDOWN, LEADERBOARD_HTML = f"{LEADERBOARD}.md", f"{LEADERBOARD}.html"
SWEEP_PICTURE = "curves.png"
WINNER, BEHIND, RANK = "winner", "behind the winner", "rank"
HARMFUL, IN_STEPS = "harmful", "cost in steps"


def write_leaderboard(leaderboard: Leaderboard, out: Path) -> None:
    """`leaderboard.html`, `.md` with its picture, and `.json`, in the new folder."""
    has_picture = any(variant.num_finished for variant in leaderboard.variants)
    pictures = {SWEEP_PICTURE: sweep_picture(leaderboard)} if has_picture else {}
    with new_folder(out) as partial:
        write_page(partial, LEADERBOARD, leaderboard_markdown(leaderboard), pictures)
        stored = leaderboard.model_dump_json(indent=1)
        (partial / f"{LEADERBOARD}.json").write_text(stored, encoding="utf-8")


def variant_rows(leaderboard: Leaderboard) -> list[Row]:
    """One row per variant, best first, its cells by column title."""
    return [
        _variant_row(leaderboard, rank, variant)
        for rank, variant in enumerate(leaderboard.variants, start=1)
    ]


def trial_rows(leaderboard: Leaderboard) -> list[Row]:
    """One row per trial, in the order of the ranking."""
    return [
        _trial_row(leaderboard, trial)
        for variant in leaderboard.variants
        for trial in leaderboard.trials_of(variant.variant)
    ]


def leaderboard_markdown(leaderboard: Leaderboard) -> str:
    """The verdict first, then the numbers, then how they were made."""
    picture = f"![Accuracy over the optimizer step, by reward]({SWEEP_PICTURE})"
    parts = [
        f"# {leaderboard.sweep_id}",
        verdict_markdown(leaderboard),
        markdown_table(variant_rows(leaderboard)),
        *([picture] if any(each.num_finished for each in leaderboard.variants) else []),
        "## Trials",
        markdown_table(trial_rows(leaderboard)),
        "## How it was judged",
        _how(leaderboard),
    ]
    return "\n\n".join(parts) + "\n"


def verdict_markdown(leaderboard: Leaderboard) -> str:
    """Who won, in bold, and the rest of the verdict as a list."""
    first, *others = map(plain, leaderboard.verdict.splitlines())
    listed = "\n".join(f"- {line}" for line in others)
    return f"**{first}**\n\n{listed}".rstrip()


def _variant_row(leaderboard: Leaderboard, rank: int, variant: VariantResult) -> Row:
    is_winner = leaderboard.winner == variant
    row = {
        # First, because a phone keeps the first column in view.
        "reward": variant.variant,
        RANK: _rank_cell(rank, variant),
        "trials": f"{variant.num_finished} of {variant.num_trials}",
        "validation": _with_spread(variant.validation_accuracy, variant.validation_spread),
        f"test ({leaderboard.benchmark})": NOT_MEASURED,
        BEHIND: NOT_MEASURED,
        "p": NOT_MEASURED,
        WINNER: CHOSEN_MARK if is_winner else "",
    }
    if variant.test_interval is not None:
        accuracy = variant.test_accuracies[leaderboard.benchmark]
        row[f"test ({leaderboard.benchmark})"] = show_accuracy(accuracy, variant.test_interval)
    if variant.to_winner is not None:
        row[BEHIND] = show_difference(variant.to_winner.test)
        row["p"] = f"{variant.to_winner.test.p_value:.2g}"
    others = {
        f"test ({name})": _with_spread(variant.test_accuracies.get(name), None)
        for name in leaderboard.other_benchmarks
    }
    return row | others


def _rank_cell(rank: int, variant: VariantResult) -> str:
    if not variant.num_finished:
        return NOT_MEASURED
    return HARMFUL if variant.num_harmful else str(rank)


def _with_spread(mean: float | None, spread: float | None) -> str:
    """`0.905 ± 0.012`; the second is the standard deviation between seeds."""
    if mean is None:
        return NOT_MEASURED
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"


def _trial_row(leaderboard: Leaderboard, trial: TrialResult) -> Row:
    measures = trial.measures
    test = f"test ({leaderboard.benchmark})"
    titles = (CHOSEN, "validation", "last step", "it, greedy", "base, greedy", test, IN_STEPS)
    cells = [NOT_MEASURED] * len(titles)
    if measures is not None:
        cells = [
            measures.chosen.key,
            f"{measures.validation_accuracy:.3f}",
            f"{measures.last_observed_accuracy:.3f}",
            _with_spread(measures.greedy.get("last_step"), None),
            _with_spread(measures.greedy.get("base"), None),
            f"{measures.test_accuracies[leaderboard.benchmark]:.3f}",
            NOT_MEASURED if measures.cost_in_steps is None else str(measures.cost_in_steps),
        ]
    return {
        "trial": trial.label,
        "run": trial.run_id,
        "ended": HARMFUL if measures and measures.is_harmful else trial.status,
        **dict(zip(titles, cells, strict=True)),
    }


def _how(leaderboard: Leaderboard) -> str:
    return (
        "Every trial answered the same validation and test questions and was graded by "
        f"{code(leaderboard.grader)}, whatever it was paid for in training. Variants are ranked by "
        "validation accuracy, the mean over their seeds of the candidate that each run chose "
        "(± is the standard deviation between seeds); a variant with unfinished trials stands "
        "behind those without, and last one that is `harmful`: in some trial training made the "
        "model clearly worse than the base, which that trial then chose. The test questions "
        "played no part in that: on the "
        f"{leaderboard.num_questions} of {leaderboard.benchmark}, with "
        f"{leaderboard.samples_per_question} answers each, the winner is compared with every "
        "other variant, question by question, over the seeds that both have. `behind the winner` "
        "is that difference with its interval, `p` the chance of so large a one between equals "
        f"(sign flips over the questions); at {leaderboard.confidence:.0%} both hold for all "
        "comparisons together. It is about these checkpoints; what another seed would give, "
        "only the spread between seeds can tell. Greedy accuracies are those of the validation "
        "questions at temperature 0, one answer each; the cost is that of training and choice, in "
        "steps of training with as many generated tokens."
    )
