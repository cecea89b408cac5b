"""A champion against itself: what it was registered with, and fresh draws of the same questions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from relex.config import RunRecipe
from relex.errors import ProblemError
from relex.evaluation import Answer, correct_matrix, parse_dtype
from relex.home import open_home
from relex.problems import load_problems
from relex.selection import PairedTest, holm, paired_test
from relex.selection.wording import show_difference
from tasks.champion_answers import Scored, measure_checkpoint
from tasks.progress import say
from tasks.published import fetch_model, read_recipe, read_scored, run_store
from tasks.tracking import NOTE_TAG, Tracker
from tasks.tracking_registry import Version

KIND = "champion-check"


@dataclass(frozen=True)
class Fresh:
    """New answers by benchmark."""

    recipe: RunRecipe
    scored: dict[str, Scored]


@dataclass(frozen=True)
class Check:
    """A champion on one benchmark, then and now."""

    champion: Version
    benchmark: str
    accuracy_then: float
    accuracy_now: float
    loss: PairedTest
    """The answers of then against those of now: a positive difference is a loss."""

    p_value: float
    """Chance of such a loss without a change; corrected for the number of benchmarks."""

    is_worse: bool

    @property
    def words(self) -> str:
        """How it went, in a sentence or two."""
        who, p_value = self.champion.name, f"p = {self.p_value:.2g}"
        result = (
            f"{self.accuracy_now:.3f} on fresh draws of {self.benchmark}, registered was "
            f"{self.accuracy_then:.3f}"
        )
        if not self.is_worse:
            return f"{who[0].upper()}{who[1:]} holds: {result} ({p_value})."
        return (
            f"ALARM: {who} reaches only {result}: worse than chance explains ({p_value}). Its "
            "registered accuracy was luck, or what asks, answers or grades has changed since; "
            "compare the versions of the software in both runs before you go on using it."
        )


def today() -> int:
    """The date as a number, such as 20261125."""
    return int(date.today().strftime("%Y%m%d"))


@task(task_run_name="draw again", cache_policy=NO_CACHE)
def draw_again(champion: Version, seed: int) -> Fresh:
    """Fetch the champion and let it answer its test benchmarks as its own recipe asks them, in the
    dtype in which it was measured."""
    recipe = read_recipe(champion).model_copy(update={"seed": seed})
    problems = {b.name: load_problems(b.source) for b in recipe.problems.test}
    say(f"measuring {champion.name} on {', '.join(problems)}, with seed {seed}")
    with TemporaryDirectory() as folder:
        checkpoint, work = Path(folder) / "model", Path(folder) / "scores"
        fetch_model(champion, checkpoint)
        log, dtype = get_run_logger().info, parse_dtype(champion.tags["relex.dtype"], champion.name)
        return Fresh(recipe, measure_checkpoint(checkpoint, recipe, problems, work, log, dtype))


def compare_fresh(champion: Version, fresh: Fresh, confidence: float) -> list[Check]:
    """One check per benchmark; the alarms of all together keep the confidence.

    Raises ProblemError when the questions are not those that were answered then.
    """
    config = fresh.recipe.selection.model_copy(
        update={"confidence": confidence, "require_gain": 0.0}
    )
    run, candidate = run_store(champion), champion.tags["relex.candidate"]
    stored = {name: read_scored(run, name, candidate) for name in fresh.scored}
    for name, (_, answers) in fresh.scored.items():
        _check_same_questions(champion, name, stored[name], answers)
    then_QK = {name: correct_matrix(answers) for name, answers in stored.items()}
    now_QK = {name: correct_matrix(answers) for name, (_, answers) in fresh.scored.items()}
    losses = {
        name: paired_test(then_QK[name], now_QK[name], config, fresh.recipe.seed)
        for name in fresh.scored
    }
    p_values = holm([loss.p_value for loss in losses.values()])
    return [
        Check(
            champion=champion,
            benchmark=name,
            accuracy_then=float(then_QK[name].mean()),
            accuracy_now=float(now_QK[name].mean()),
            loss=loss,
            p_value=p_value,
            is_worse=p_value <= 1 - confidence,
        )
        for (name, loss), p_value in zip(losses.items(), p_values, strict=True)
    ]


def _check_same_questions(
    champion: Version, benchmark: str, then: Sequence[Answer], now: Sequence[Answer]
) -> None:
    before, after = ({answer.question_id for answer in answers} for answers in (then, now))
    if before != after:
        raise ProblemError(
            f"{benchmark}: {len(after - before)} of {len(after)} questions are not among those "
            f"that {champion.name} was registered with; bring back the data of its recipe"
        )


@task(task_run_name="record", cache_policy=NO_CACHE)
def record_check(champion: Version, recipe: RunRecipe, checks: Sequence[Check], uri: str) -> None:
    """The check in MLflow, as the next point of the model's curve, and in Prefect."""
    config = recipe.tracking.model_copy(update={"uri": uri})
    tracker = Tracker(config, open_home(), champion.model, f"{KIND} {champion.model}", KIND)
    tracker.begin()
    number = len(tracker.logged_steps(f"now/{checks[0].benchmark}")) + 1
    for check in checks:
        values = {
            f"now/{check.benchmark}": check.accuracy_now,
            f"registered/{check.benchmark}": check.accuracy_then,
            f"p_value/{check.benchmark}": check.p_value,
            "version": float(champion.number),
        }
        tracker.log(values, number)
    tracker.end("FINISHED")
    words = " ".join(check.words for check in checks)
    tracker.mark({NOTE_TAG: words})
    key = re.sub(r"[^a-z0-9]+", "-", f"{KIND} {champion.model}".lower())
    create_table_artifact([_row(check) for check in checks], key=key, description=words)
    say(words)


def _row(check: Check) -> dict[str, str]:
    return {
        "benchmark": check.benchmark,
        "registered": f"{check.accuracy_then:.3f}",
        "now": f"{check.accuracy_now:.3f}",
        "loss": show_difference(check.loss),
        "p": f"{check.p_value:.2g}",
        "alarm": "yes" if check.is_worse else "no",
    }
