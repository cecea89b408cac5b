"""The model card of a run: what was chosen and why, how well it does, and how it was made."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from relex.card import is_repository
from relex.config import ProblemSource, Recipe, RunRecipe
from relex.evaluation import Score
from relex.problems import Problem, problems_digest
from relex.report import BenchmarkResult
from relex.report.page import plain
from relex.selection import CandidateResult, Decision
from relex.selection.wording import show_accuracy, show_difference
from relex.versions import installed_versions
from relex.visible import number

DIGEST_CHARACTERS = 12


def card_body(
    recipe: RunRecipe,
    decision: Decision,
    tested: Sequence[BenchmarkResult],
    problems: Mapping[str, Sequence[Problem]],
    headline: Score,
) -> str:
    """What the card says; `headline` is the chosen candidate on the first test benchmark."""
    return f"""# {plain(recipe.run_id)}: {decision.chosen.key}

{plain(decision.reason)}

## Accuracy

{_accuracy_table(decision, tested)}

Intervals hold {recipe.selection.confidence:.0%}, over questions. The choice was made on validation;
the test questions had no part in it. Graded by {plain(decision.grader)}, answered by
{plain(headline.engine)} in {headline.dtype}.

## How it was made

{_making(recipe, decision, problems)}

## How to serve it

    vllm serve MODEL --dtype {headline.dtype}

In another dtype sums are rounded otherwise and answers differ. With the CPU build of vLLM it is
`python -m vllm.entrypoints.openai.api_server --model MODEL --dtype {headline.dtype}`.
"""


def datasets_of(recipe: RunRecipe) -> list[str]:
    """The data sets of the Hub that its questions come from."""
    sources = recipe.problems.sources.values()
    hub = (source.path for source in sources if source.kind == "hub")
    return sorted({path for path in hub if is_repository(path)})


def base_of(recipe: RunRecipe) -> str:
    """The base by its name, without folders of the machine."""
    base = recipe.base
    return f"{base.path}@{base.revision}" if is_repository(base.path) else Path(base.path).name


def origin_of(recipe: RunRecipe, decision: Decision) -> dict[str, str]:
    """Where the weights come from, for the header of their files."""
    return {
        "relex.base": base_of(recipe),
        "relex.candidate": decision.chosen.key,
        "relex.run": recipe.run_id,
        "relex.recipe": recipe.digest,
    }


def _accuracy_table(decision: Decision, tested: Sequence[BenchmarkResult]) -> str:
    rows = [
        ("questions", "candidate", "accuracy", "against the last trained step"),
        ("---", "---", "---", "---"),
    ]
    of_choice = map(decision.result, dict.fromkeys([decision.chosen, decision.last_observed]))
    rows += [_row("validation", each) for each in of_choice]
    rows += [_row(each.benchmark, each) for each in tested]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(benchmark: str, result: CandidateResult | BenchmarkResult) -> tuple[str, str, str, str]:
    return (
        f"{benchmark}, {result.num_questions}",
        result.candidate.key,
        show_accuracy(result.accuracy, result.interval),
        show_difference(result.to_last_observed) if result.to_last_observed else "-",
    )


def _making(
    recipe: RunRecipe, decision: Decision, problems: Mapping[str, Sequence[Problem]]
) -> str:
    lines = [f"base: {plain(base_of(recipe))}"]
    if isinstance(recipe, Recipe):
        if recipe.before is not None:
            lines.append(
                f"round {recipe.rounds}, which began from the choice of {recipe.before.run_id}"
            )
        terms = " + ".join(f"{term.weight:g} x {term.reward}" for term in recipe.rewards)
        training = recipe.training
        adapters = f", adapters of rank {training.lora.rank}" if training.lora else ""
        lines.append(
            f"training: GRPO, {decision.last_observed.step} steps at a learning rate of "
            f"{number(training.learning_rate)}{adapters}, reward {plain(terms)}"
        )
    else:
        lines.append("training: a window of snapshots that was there already")
    chosen = decision.chosen
    lines.append(f"weights: {chosen.key}, {_way(decision)}")
    lines += [
        f"{plain(name)}: {len(problems[name])} questions of {plain(described(source))}, digest "
        f"{problems_digest(problems[name])[:DIGEST_CHARACTERS]}"
        for name, source in recipe.problems.sources.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    lines.append(f"recipe: digest {recipe.digest[:DIGEST_CHARACTERS]}, seed {recipe.seed}")
    lines.append(f"software: {versions}")
    return "\n".join(f"- {line}" for line in lines)


def _way(decision: Decision) -> str:
    chosen, last = decision.chosen, decision.last_observed
    if chosen.is_base:
        return "untouched: what was trained is no better"
    if not chosen.is_beyond:
        return "as they were trained"
    return f"extrapolated from the {last.step} steps that were trained, not trained themselves"


def described(source: ProblemSource) -> str:
    """A source in a few words, without folders of the machine."""
    if source.kind == "toy":
        return f"the toy, split {source.split}"
    if source.kind == "reasoning_gym":
        return f"reasoning-gym's {source.task}"
    if source.kind == "hub":
        config = f"{source.config}, " if source.config else ""
        return f"{source.path} ({config}{source.split}, revision {source.revision})"
    return f"{Path(source.path).name or source.kind} ({source.kind})"
