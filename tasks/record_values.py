"""What MLflow is told of a run, as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relex.candidates import Candidate
from relex.config import Recipe, RewardTerm, RunRecipe, WindowRecipe
from relex.evaluation import Answer, Dtype
from relex.extrapolation import Diagnostics
from relex.problems import Problem
from relex.report import RunSummary
from relex.safe_name import safe_name
from relex.selection import CandidateResult
from relex.visible import number

MOST_ROWS = 200
Row = dict[str, Any]
Param = str | int | float


def fit_metrics(diagnostics: Diagnostics) -> dict[str, float]:
    """What the window tells as a whole; what is not known has no metric."""
    overall = diagnostics.overall
    metrics = {
        "explained_fraction": overall.explained_fraction,
        "r2": overall.r2,
        "forecast_skill": overall.forecast_skill.over_staying,
        "half_cosine": overall.half_cosine,
        "persistence": overall.persistence,
        "num_anomalies": float(len(diagnostics.anomalies)),
    }
    return {f"fit_{name}": value for name, value in metrics.items() if value is not None}


def metrics_of(result: CandidateResult) -> dict[str, float]:
    """The facts of a candidate as MLflow metrics; what is not known has none."""
    metrics = {f"pass_at_{entry.k}": entry.value for entry in result.pass_at}
    metrics |= {f"accuracy_{entry.group}": entry.accuracy for entry in result.by_group}
    metrics |= {f"guard_accuracy_{guard.benchmark}": guard.accuracy for guard in result.guards}
    metrics["red_flags"] = float(len(result.flags))
    if result.habits is not None:
        told = result.habits.model_dump(exclude={"truncated_fraction"}, exclude_none=True)
        metrics |= {name: float(value) for name, value in told.items()}
    if result.to_last_observed is not None:
        test = result.to_last_observed
        metrics |= {"gain": test.difference}
        metrics |= {"gain_low": test.interval.low, "gain_high": test.interval.high}
        metrics |= {"repairs": float(test.repairs), "regressions": float(test.regressions)}
        if result.is_tested:
            metrics["p_value"] = test.p_value
    if result.to_base is not None:
        metrics["repairs_of_base"] = float(result.to_base.repairs)
        metrics["regressions_of_base"] = float(result.to_base.regressions)
    return metrics


def curves_of(candidate: Candidate, last_step: int) -> tuple[str, ...]:
    """The parent's curves that a candidate lies on: of the paper's method, without variants.

    The last trained step lies on both halves, so that the line has its beginning.
    """
    if candidate.is_on_the_line:
        return ("accuracy/validation", "accuracy/extrapolated")
    if candidate.method:
        return ()
    halves = ("accuracy/validation", "accuracy/trained")
    return (*halves, "accuracy/extrapolated") if candidate.step == last_step else halves


def chosen_metrics(summary: RunSummary) -> dict[str, float]:
    """The choice, its gain, and its test results: of every benchmark, and of the first, by which
    runs are compared, without its name.

    What has one value has a name that a filter takes as it is; `/` is for curves, of which MLflow
    makes sections.
    """
    decision = summary.decision
    chosen, last = decision.result(decision.chosen), decision.result(decision.last_observed)
    scalars = {
        "chosen_accuracy": chosen.accuracy,
        "chosen_step": float(decision.chosen.step),
        "chosen_gain_over_last_step": chosen.accuracy - last.accuracy,
        "chosen_gain_over_base": chosen.to_base.difference if chosen.to_base else 0.0,
    }
    for name in summary.benchmark_names:
        result = summary.benchmark_result(name, decision.chosen)
        if result is not None:
            test = result.to_last_observed
            found = {
                "test_accuracy": result.accuracy,
                "test_gain": test.difference if test else 0.0,
            }
            scalars |= {f"{metric}_{name}": value for metric, value in found.items()}
            if name == summary.benchmark_names[0]:
                scalars |= found
    greedy = {f"greedy_{name}": value for name, value in summary.greedy_accuracies.items()}
    return scalars | greedy | _cost_metrics(summary)


def _cost_metrics(summary: RunSummary) -> dict[str, float]:
    costs = summary.costs
    if costs is None:
        return {}
    parts = {"training": costs.training, "choice": costs.choice, "report": costs.report}
    metrics = {"cost_in_steps": float(costs.as_steps)} if costs.as_steps is not None else {}
    if costs.training is not None:
        metrics["cost_rollout_seconds"] = costs.rollout_seconds
    for name, cost in parts.items():
        if cost is not None:
            metrics |= {f"cost_{name}_tokens": float(cost.tokens)}
            metrics |= {f"cost_{name}_seconds": cost.seconds}
    return metrics


def answer_rows(questions: Sequence[Problem], answers: Sequence[Answer]) -> list[Row]:
    """The first answers, one to every question before the second to any: the same questions for
    all candidates, so that MLflow can put candidates side by side.

    MLflow groups a table by its first column, and opens it on the second.
    """
    problems = {problem.id: problem for problem in questions}
    return [
        {
            "question": problem.question,
            "answer": answer.text,
            "correct": _verdict(answer),
            "reason": answer.reason,
            "gold": problem.answer,
            "tokens": answer.num_tokens,
            "ended": "by itself" if answer.finish_reason == "stop" else "at the token limit",
            "sample": answer.sample,
            **_group(problem),
        }
        for answer in _shown(answers)
        for problem in [problems[answer.question_id]]
    ]


def side_by_side(
    questions: Sequence[Problem], answers_of: Mapping[str, Sequence[Answer]]
) -> list[Row]:
    """A row per question with the answers of each column, in this order."""
    problems = {problem.id: problem for problem in questions}
    rows = []
    for answers in zip(*map(_shown, answers_of.values()), strict=True):
        problem = problems[answers[0].question_id]
        row: Row = {"question": problem.question}
        for name, answer in zip(answers_of, answers, strict=True):
            row |= {name: answer.text, f"{name}_correct": _verdict(answer)}
        rows.append({**row, "gold": problem.answer, **_group(problem)})
    return rows


def _shown(answers: Sequence[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: (answer.sample, answer.question_id))[:MOST_ROWS]


def _group(problem: Problem) -> Row:
    return {"group": problem.group} if problem.group else {}


def _verdict(answer: Answer) -> str:
    return "yes" if answer.correct else "no"


def run_title(recipe: Recipe | WindowRecipe) -> str:
    """`exact_match lr 1e-5 seed 0 (toy)`: what differs in a sweep first, because MLflow cuts names
    in the legends of its charts. Without training, the window in place of reward and rate."""
    if isinstance(recipe, WindowRecipe):
        return f"{recipe.window.uri} seed {recipe.seed} ({recipe.name})"
    rate = stated(recipe.training.learning_rate)
    return f"{reward_title(recipe.rewards)} lr {rate} seed {recipe.seed} ({recipe.name})"


def reward_title(terms: tuple[RewardTerm, ...]) -> str:
    """`exact_match + 0.2 format`; a reward of the user's without its module, with its params."""
    return " + ".join(_term_title(term) for term in terms)


def run_params(recipe: Recipe | WindowRecipe, last_step: int, dtype: Dtype) -> dict[str, Param]:
    """What tells most runs apart, the same on a run and its children; the window ends at
    `last_step`, answers are computed in `dtype`."""
    return {
        "recipe": recipe.name,
        "base": recipe.base.path,
        "reward": reward_title(recipe.rewards),
        "seed": recipe.seed,
        "steps_trained": _steps(recipe, last_step),
        "grader": recipe.evaluation.grader,
        "dtype": dtype,
        **_origin(recipe),
    }


def recipe_params(recipe: RunRecipe) -> dict[str, str]:
    """All of the recipe that can change a result, by its place in it: `training.kl_beta`."""
    return dict(_leaves(recipe.deciding, ""))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        value = dict(enumerate(value))
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{place}.{key}" if place else str(key))
    else:
        yield safe_name(place), stated(value)


def stated(value: Any) -> str:
    """A value of a recipe, written in one way wherever it stands: `1e-5`, `true`, `none`."""
    if isinstance(value, list | tuple):
        return ", ".join(map(stated, value)) or "none"
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else str(value)


def _steps(recipe: Recipe | WindowRecipe, last_step: int) -> Param:
    """The same before a training and after it: a param cannot change."""
    if isinstance(recipe, Recipe) and recipe.training.steps == "auto":
        return f"auto, at most {recipe.training.last_step}"
    return last_step


def _origin(recipe: Recipe | WindowRecipe) -> dict[str, Param]:
    """Where the window comes from."""
    if isinstance(recipe, WindowRecipe):
        return {"window": recipe.window.uri}
    training = recipe.training
    return {
        "learning_rate": stated(training.learning_rate),
        "completions_per_step": training.prompts_per_step * training.completions_per_prompt,
        "kl_beta": stated(training.kl_beta),
        "scale_rewards": training.scale_rewards,
    }


def model_name(recipe: RunRecipe) -> str:
    """Name in the registry: the recipe's, or one per base and headline benchmark.

    Versions of one name compete to be its champion, so they must be answers to one question: which
    is the best model of this base on these questions.
    """
    stated = recipe.tracking.registered_model
    if stated:
        return stated
    base = recipe.base.path.rstrip("/").rpartition("/")[2]
    return f"{safe_name(base)}-on-{recipe.problems.test[0].name}"


def _term_title(term: RewardTerm) -> str:
    name = term.reward.rpartition(":")[2]
    weight = "" if term.weight == 1 else f"{term.weight:g} "
    params = ", ".join(f"{key}={value}" for key, value in term.params.items())
    return f"{weight}{name}({params})" if params else f"{weight}{name}"
