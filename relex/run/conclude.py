"""From candidates to a published model: the search, the choice, the model and its report."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relex.candidates import Candidate, denoised
from relex.card import MODEL_KIND, write_card
from relex.checkpoints import write_checkpoint
from relex.config import VALIDATION, Recipe
from relex.digests import sha256_json
from relex.evaluation import SCORE_FILE, Answer, Asked, Score, correct_matrix, join_scores
from relex.evaluation.weight_source import CandidateWeights
from relex.extrapolation import Diagnosis, diagnose, open_factors
from relex.report import (
    HTML_FILE,
    SUMMARY_FILE,
    BenchmarkResult,
    Link,
    RunSummary,
    write_report,
)
from relex.rewards import WITHOUT_SANDBOX, graded_by
from relex.run.card import card_body, datasets_of, origin_of
from relex.run.finalists import Finals
from relex.run.measure import Evaluation, measure_guards, measure_listed
from relex.run.places import DECISION_FILE, Run
from relex.run.retention import apply_retention
from relex.run.rounds import earlier_rounds, remove_moments
from relex.run.stage import LOGS, CandidateMeasured, Decided, stage
from relex.run.window import read_curve
from relex.search import Graded, SearchPath, full_grid, search
from relex.selection import Decision, Measured, decide_guarded
from relex.storage.manifest import (
    Manifest,
    fetch_folder,
    finished_manifest,
    publish_folder,
    read_manifest,
)
from relex.versions import installed_versions

LEAST_SKILL = 0.1
LEAST_COSINE = 0.5
MOST_PARTS_PER_TARGET = 2
REPORT_KIND = "report"


@dataclass(frozen=True)
class Compared:
    """What the choice is made from; `search` is the way there, None for a list of targets."""

    measured: list[Measured]
    search: SearchPath | None


def measure_candidates(run: Run, evaluation: Evaluation) -> Compared:
    """The candidates of the recipe's list, or of a search for the best target."""
    if run.recipe.extrapolation.targets == "auto":
        return search_candidates(run, evaluation)
    return Compared(measure_listed(run, evaluation), None)


def search_candidates(run: Run, evaluation: Evaluation) -> Compared:
    """Search beyond the window on the validation questions."""
    recipe, num_questions = run.recipe, len(run.problems[VALIDATION])
    *earlier, last_step = run.observed_steps
    config = recipe.extrapolation.search
    book = PartBook(evaluation)
    factors = open_factors(evaluation.factors).table
    num_parts = MOST_PARTS_PER_TARGET * len(full_grid(last_step, config))
    with (
        stage(run, "validation", "Searching", num_parts) as progress,
        evaluation.told_in(progress),
    ):
        found = search(
            book.measure,
            last_step,
            num_questions,
            config,
            others=[
                *(Candidate(step=step) for step in earlier),
                *(denoised(step) for step in run.denoised_steps),
            ],
            cautious=forecasts_badly(diagnose(factors).overall),
            tensors=[name for name, fit in factors.tensors.items() if fit.directions],
            expect=book.expect,
        )
    for candidate in sorted(found.graded, key=lambda candidate: candidate.step):
        run.emit(CandidateMeasured(book.score(candidate), book.answers(candidate)))
    path = found.path
    run.say(
        f"the search stopped: {path.stopped}; {path.num_tokens:,} tokens, "
        f"{path.token_fraction:.0%} of the full grid"
    )
    # Those that answered few questions count too: each was a try to beat the last observed step.
    measured = [
        evaluation.graded(candidate, VALIDATION, book.answers(candidate))
        for candidate in found.graded
    ]
    return Compared(measured, path)


class PartBook:
    """The answers of candidates to the first questions, measured part by part."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._answers: defaultdict[Candidate, list[Answer]] = defaultdict(list)
        self._scores: defaultdict[Candidate, list[Score]] = defaultdict(list)

    def expect(self, trials: Sequence[tuple[Candidate, int]]) -> None:
        """Say which candidates will probably answer so many first questions next."""
        parts = [(candidate, self._missing(candidate, number)) for candidate, number in trials]
        self._evaluation.expect([Asked(each, VALIDATION, part) for each, part in parts if part])

    def measure(self, candidate: Candidate, num_questions: int) -> Graded:
        """Answers to the first questions in the order of their ids; only new ones are asked."""
        answers = self._answers[candidate]
        if missing := self._missing(candidate, num_questions):
            score, new = self._evaluation.measure(candidate, VALIDATION, missing)
            self._scores[candidate].append(score)
            answers.extend(new)
        correct_QK = correct_matrix(answers)[:num_questions]
        return Graded(correct_QK, sum(answer.num_tokens for answer in answers))

    def _missing(self, candidate: Candidate, num_questions: int) -> range:
        num_known = sum(score.num_questions for score in self._scores[candidate])
        return range(num_known, num_questions)

    def answers(self, candidate: Candidate) -> list[Answer]:
        """To all questions that it was asked."""
        return self._answers[candidate]

    def score(self, candidate: Candidate) -> Score:
        """Over all its parts."""
        return join_scores(self._scores[candidate])


def forecasts_badly(overall: Diagnosis) -> bool:
    """Whether the search should begin near: the line forecasts its own window no better than
    staying put, or the second half of the window went another way than the first."""
    skill, cosine = overall.forecast_skill.over_staying, overall.half_cosine
    return (skill is not None and skill < LEAST_SKILL) or (
        cosine is not None and cosine < LEAST_COSINE
    )


def choose(run: Run, evaluation: Evaluation, measured: Sequence[Measured]) -> Decision:
    """Compare the candidates on validation, guard the choice, and keep the decision."""
    recipe = run.recipe
    measure = partial(measure_guards, run, evaluation)
    decided = decide_guarded(measured, recipe.selection, recipe.seed, measure)
    grader = graded_by(recipe.exam(VALIDATION))
    decision = decided.model_copy(update={"grader": grader})
    run.store.put(DECISION_FILE, decision.model_dump_json(indent=1).encode())
    run.emit(Decided(decision))
    run.say(decision.reason)
    return decision


def publish(
    run: Run,
    evaluation: Evaluation,
    decision: Decision,
    tested: Sequence[BenchmarkResult],
    complete: Callable[[Path], None] = lambda _: None,
) -> Manifest:
    """Write the chosen candidate as a Hugging Face checkpoint to the run's storage, unless it is
    there; returns its manifest. `complete` adds to the folder what who records the run wants there.

    Raises EngineError when the checkpoint, loaded anew, answers otherwise than the candidate did.
    """
    store = run.store.child("model")
    inputs = {
        "recipe": run.recipe.digest,
        "base": run.base_digest,
        "candidate": sha256_json(decision.chosen.model_dump(mode="json")),
    }
    manifest = finished_manifest(store, MODEL_KIND, inputs)
    if manifest is None:
        folder = run.work / "model"
        with stage(run, "publish", "Writing the model"):
            shutil.rmtree(folder, ignore_errors=True)
            weights = CandidateWeights(run.weights(evaluation.factors)).tensors(decision.chosen)
            write_checkpoint(folder, run.base, weights, origin_of(run.recipe, decision))
            evaluation.check_cold(decision.chosen, folder)
            headline = headline_score(run, decision.chosen)
            body = card_body(run.recipe, decision, tested, run.problems, headline)
            datasets = datasets_of(run.recipe)
            write_card(folder, run.base_folder, run.recipe.base.path, body, datasets)
            complete(folder)
            manifest = publish_folder(store, folder, MODEL_KIND, inputs)
            shutil.rmtree(folder)
    run.say(f"the model, {decision.chosen.key}, is at {store.uri}")
    return manifest


def headline_score(run: Run, chosen: Candidate) -> Score:
    """Of the chosen candidate on the first test benchmark."""
    benchmark = run.recipe.problems.test[0].name
    store = run.store.child(f"scores/{benchmark}/{chosen.key}")
    return Score.model_validate_json(store.get(SCORE_FILE))


def finished_summary(run: Run) -> RunSummary | None:
    """The summary of a run that has its report already, which is copied beside us; or None."""
    store = run.store.child("report")
    if read_manifest(store, REPORT_KIND) is None:
        return None
    shutil.rmtree(run.report_folder, ignore_errors=True)
    fetch_folder(store, run.report_folder, REPORT_KIND)
    run.say(f"{run.recipe.run_id} is finished already; this is its result")
    return RunSummary.model_validate_json((run.report_folder / SUMMARY_FILE).read_bytes())


def summarise(
    run: Run,
    decision: Decision,
    finals: Finals,
    search: SearchPath | None,
    champion: str = "",
    links: Sequence[Link] = (),
) -> RunSummary:
    """Everything that the report tells; `links` are those of whoever records the run."""
    return RunSummary(
        run_id=run.recipe.run_id,
        recipe_digest=run.recipe.digest,
        window_steps=run.window_steps,
        earlier=earlier_rounds(run),
        most_steps=run.recipe.training.most_steps if isinstance(run.recipe, Recipe) else None,
        decision=decision,
        search=search,
        benchmarks=tuple(finals.tests),
        greedy=tuple(finals.greedy),
        shown=finals.shown,
        costs=finals.costs,
        training=read_curve(run),
        champion=champion,
        seconds_by_stage=run.seconds,
        links=(*_links(run), *links),
        versions={**installed_versions(), **_graders(run)},
    )


def report(run: Run, factors: Path, summary: RunSummary) -> None:
    """Write the report beside us; `finish` makes it the run's."""
    with stage(run, "report", "Writing the report"):
        shutil.rmtree(run.report_folder, ignore_errors=True)
        write_report(summary, open_factors(factors), run.report_folder)
        run.say(f"report in {run.report_folder / HTML_FILE}")


def finish(run: Run, summary: RunSummary) -> None:
    """Store the report, which makes the run finished."""
    inputs = {"summary": sha256_json(summary.model_dump(mode="json"))}
    publish_folder(run.store.child("report"), run.report_folder, REPORT_KIND, inputs)


def tidy(run: Run) -> None:
    """Remove the scratch folder, and of the run what its recipe does not keep."""
    shutil.rmtree(run.work, ignore_errors=True)
    remove_moments(run)
    removed = apply_retention(run.store, run.recipe.storage.keep)
    if removed:
        run.say(f"removed {len(removed)} objects: the recipe keeps {run.recipe.storage.keep}")


def _graders(run: Run) -> dict[str, str]:
    """The grader of the choice, those of the test benchmarks that have another, and whether
    programs ran without a sandbox, which nobody must overlook."""
    graders = {name: graded_by(run.recipe.exam(name)) for name in run.benchmark_names}
    of_choice = graders.pop(VALIDATION)
    others = {f"grader of {name}": its for name, its in graders.items() if its != of_choice}
    used = [*graders.values(), of_choice, *(term.reward for term in run.recipe.rewards)]
    sandbox = {"sandbox": "none"} if any(WITHOUT_SANDBOX in name for name in used) else {}
    return {"grader": of_choice, **others, **sandbox}


def _links(run: Run) -> tuple[Link, ...]:
    """Where the parts of the run lie; what the embedded S3 server has, also as folders."""
    parts = {"model": f"{run.uri}/model", "window": run.window_uri, "logs": f"{run.uri}/{LOGS}"}
    links = [Link(name="report", address=str(run.report_folder / HTML_FILE))]
    for name, uri in parts.items():
        links.append(Link(name=name, address=uri))
        key = uri.removeprefix("s3://")
        if run.recipe.storage.uri == "embedded" and key != uri and uri.startswith(run.uri):
            links.append(Link(name=f"{name} folder", address=str(run.home.s3 / key)))
    return tuple(links)
