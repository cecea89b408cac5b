"""The champion of a registered model, and the challenger that may take its place.

A challenger becomes champion by the rule that chooses candidates: a one-sided paired test on the
same questions, at the confidence and with the required gain of its recipe. The questions are those
of the first test benchmark, which had no part in the choice of either. A champion that answered
them asked, drawn and graded in the same way is compared by its stored answers; another one is
measured again, on the challenger's questions. When it cannot be, it stays.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import BASE, Candidate
from relex.errors import RelexError
from relex.evaluation import (
    ANSWERS_FILE,
    Answer,
    EvaluationSession,
    correct_matrix,
)
from relex.evaluation.weight_source import WeightSource
from relex.extrapolation import KIND as FACTORS_KIND
from relex.report import plain
from relex.run.conclude import headline_score
from relex.run.measure import KIND as SCORE_KIND
from relex.run.nodes import engines_of
from relex.run.places import Run
from relex.selection import Decision, paired_test
from relex.selection.wording import least, show_difference
from relex.storage.manifest import Manifest, finished_manifest, publish_folder, read_manifest
from tasks.published import (
    fetch_model,
    manifest_digest,
    place_tags,
    questions_digest,
    read_scored,
    run_store,
)
from tasks.record import Record
from tasks.record_values import model_name, run_title
from tasks.tracking_registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version

DECISION_TAG = "relex.champion_decision"
QUESTIONS_TAG = "relex.questions_digest"
NOT_REGISTERED = "No version is registered: nothing that was trained is better than the base."


@dataclass(frozen=True)
class Contest:
    """A challenger with its answers to the questions that decide."""

    run: Run
    challenger: Version
    answers: list[Answer]


@dataclass(frozen=True)
class Outcome:
    """Who won, and why, in a sentence."""

    is_won: bool
    reason: str


def challenge(registry: Registry, contest: Contest) -> str:
    """Move `champion` if the challenger earns it; returns why it did or did not.

    Every step may be repeated, so a run that died in the middle does it again. Another run may take
    the alias meanwhile: then that one is the champion to beat.
    """
    challenger = contest.challenger
    champion = registry.at_alias(challenger.model, CHAMPION)
    if champion is not None and champion.number == challenger.number:
        return champion.tags.get(DECISION_TAG, f"{_opened(champion)} is the champion.")
    while True:
        registry.point(CHALLENGER, challenger)
        outcome = _contest(contest, champion)
        registry.tag(challenger, {DECISION_TAG: outcome.reason})
        newest = registry.at_alias(challenger.model, CHAMPION)
        if not outcome.is_won:
            return outcome.reason
        if newest == champion:
            _promote(registry, challenger, champion)
            return outcome.reason
        champion = newest


def _promote(registry: Registry, challenger: Version, champion: Version | None) -> None:
    """The champion is kept as `previous` before its alias moves."""
    if champion is not None:
        registry.point(PREVIOUS, champion)
    registry.point(CHAMPION, challenger)
    registry.release(CHALLENGER, challenger)


def _contest(contest: Contest, champion: Version | None) -> Outcome:
    challenger = contest.challenger
    if champion is None:
        return Outcome(True, f"{_opened(challenger)} became champion: there was none before it.")
    try:
        answers = _answers_of(champion, contest)
    except RelexError as error:
        return Outcome(
            False,
            f"{_opened(champion)} stays champion: it cannot be compared with {challenger.name} "
            f"({error}). If it is gone for good, move its alias in MLflow by hand.",
        )
    return _compare(contest, champion, answers)


def _compare(contest: Contest, champion: Version, answers: list[Answer]) -> Outcome:
    config, benchmark = contest.run.recipe.selection, contest.challenger.tags["relex.benchmark"]
    mine_QK, theirs_QK = correct_matrix(contest.answers), correct_matrix(answers)
    test = paired_test(mine_QK, theirs_QK, config, contest.run.recipe.seed)
    is_won = test.p_value <= 1 - config.confidence
    chance = f"p = {test.p_value:.2g}; the limit is {1 - config.confidence:.2g}"
    found = f"{'' if is_won else 'not '}more than {least(config)} ({chance})"
    if test.interval.high < 0:
        found = "clearly worse"
    result = (
        f"on the same {test.num_questions} questions of {benchmark} {contest.challenger.name} is "
        f"right in {mine_QK.mean():.3f}, {champion.name} in {theirs_QK.mean():.3f}: a difference "
        f"of {show_difference(test)}, which is {found}"
    )
    if is_won:
        return Outcome(True, f"{_opened(contest.challenger)} became champion: {result}.")
    return Outcome(False, f"{_opened(champion)} stays champion: {result}.")


def _answers_of(champion: Version, contest: Contest) -> list[Answer]:
    """Of the champion to the challenger's questions, stored or new."""
    tags, benchmark = champion.tags, contest.challenger.tags["relex.benchmark"]
    if tags.get(QUESTIONS_TAG) == contest.challenger.tags[QUESTIONS_TAG]:
        profile = contest.run.recipe.storage.profile
        return read_scored(run_store(champion, profile), benchmark, tags["relex.candidate"])
    run = contest.run
    key = f"champion-{champion.number}"
    store = run.store.child(f"scores/{benchmark}/{key}")
    inputs = {
        "model": champion.tags.get("relex.manifest_digest", champion.source),
        "questions": contest.challenger.tags[QUESTIONS_TAG],
        "seed": str(run.recipe.seed),
    }
    if finished_manifest(store, SCORE_KIND, inputs) is None:
        run.say(f"{champion.name}, the champion, answered other questions; it is measured on these")
        folder = _measure(champion, run, benchmark)
        publish_folder(store, folder, SCORE_KIND, inputs)
    return read_scored(run.store, benchmark, key)


def _measure(champion: Version, run: Run, benchmark: str) -> Path:
    """The champion answers as the base of an engine of its own; the folder with its score."""
    work = run.work / f"champion-{champion.number}"
    shutil.rmtree(work, ignore_errors=True)
    fetch_model(champion, work / "model", run.recipe.storage.profile)
    here = WeightSource(base=str(work / "model"))
    questions = {benchmark: run.problems[benchmark]}
    scores, workplace = work / "scores", engines_of(run)
    with (
        workplace.checkpoint(work / "model") as there,
        EvaluationSession(
            *(run.recipe, here, questions, scores, lambda *_: None, run.detail),
            *(run.dtype, workplace, there),
        ) as session,
    ):
        session.measure(BASE, benchmark)
    return scores / benchmark / BASE.key


def _opened(version: Version) -> str:
    """At the start of a sentence."""
    return f"V{version.name[1:]}"


@task(task_run_name="register", cache_policy=NO_CACHE)
def register(run: Run, record: Record, decision: Decision, model: Manifest) -> str:
    """Register the model that the run has published, and let it challenge the champion.

    Returns what became of that, in a sentence. Nothing is registered where training made the model
    worse: what is published then is the base.
    """
    if decision.is_harmful:
        run.say(NOT_REGISTERED)
        return NOT_REGISTERED
    answers, tags = _headline(run, decision.chosen)
    registry, name = record.tracker.registry, model_name(run.recipe)
    version = registry.register(
        name,
        run.store.child("model").uri,
        record.tracker.parent,
        record.log_model(name, decision.chosen.step),
        {"relex.title": run_title(run.recipe), **tags, **_origin(run, model)},
    )
    run.say(f"{decision.chosen.key} is {version.name} in MLflow, at {version.source}")
    outcome = challenge(registry, Contest(run, version, answers))
    registry.describe(version, f"{plain(outcome)}\n\n{plain(decision.reason)}")
    run.say(outcome)
    return outcome


def _origin(run: Run, manifest: Manifest) -> dict[str, str]:
    """What the version was made from."""
    recipe = run.recipe
    fitted = read_manifest(run.store.child("factors"), FACTORS_KIND)
    assert fitted is not None, "factors are stored before anything is published"
    return {
        "relex.run_id": recipe.run_id,
        "relex.recipe_digest": recipe.digest,
        "relex.base": recipe.base.path,
        "relex.base_digest": run.base_digest,
        "relex.window_steps": str(run.window_steps[-1]),
        "relex.window_digest": fitted.inputs["window"],
        "relex.factors_digest": manifest_digest(fitted),
        "relex.manifest_digest": manifest_digest(manifest),
        **place_tags(run),
    }


def _headline(run: Run, chosen: Candidate) -> tuple[list[Answer], dict[str, str]]:
    """The chosen candidate on the first test benchmark: its answers, and tags that tell them."""
    benchmark = run.recipe.problems.test[0].name
    store = run.store.child(f"scores/{benchmark}/{chosen.key}")
    manifest = read_manifest(store, SCORE_KIND)
    assert manifest is not None, "the chosen candidate is tested before it is published"
    score = headline_score(run, chosen)
    tags = {
        "relex.candidate": chosen.key,
        "relex.benchmark": benchmark,
        "relex.accuracy": f"{score.accuracy:.4f}",
        "relex.dtype": score.dtype,
        "relex.scores_digest": manifest.files[ANSWERS_FILE].sha256,
        QUESTIONS_TAG: questions_digest(run.recipe, manifest.inputs["problems"], score),
    }
    return read_scored(run.store, benchmark, chosen.key), tags
