"""Candidates are measured on the validation and guard questions, to choose."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from relex.candidates import BASE, Candidate, denoised, split_text
from relex.config import VALIDATION
from relex.digests import sha256_json
from relex.doors import ENGINE, METHOD
from relex.evaluation import (
    ANSWERS_FILE,
    SCORE_FILE,
    Answer,
    Asked,
    EvaluationSession,
    Score,
    measured_from,
    part_name,
    read_answers,
)
from relex.extrapolation import KIND as FACTORS_KIND
from relex.problems import groups_of, problems_digest
from relex.report import Cost
from relex.rewards import graded_by
from relex.run.nodes import engines_of
from relex.run.places import Run
from relex.run.stage import CandidateMeasured, Progress, stage
from relex.selection import Measured
from relex.storage import Store
from relex.storage.manifest import (
    Manifest,
    fetch_folder,
    finished_manifest,
    publish_folder,
    read_manifest,
)

KIND = "score"


class Evaluation:
    """Scores of candidates: those that are stored, and new ones from the session's engines."""

    def __init__(self, run: Run, factors: Path, stack: ExitStack) -> None:
        self.factors = factors
        self._run, self._stack = run, stack
        self._folder = run.work / "scores"
        self._session: EvaluationSession | None = None
        self._progress: Progress | None = None
        self._ahead: list[Asked] = []
        self._scores: dict[Asked, Score] = {}
        self._stored: dict[Asked, bool] = {}

    def expect(self, asked: Sequence[Asked]) -> None:
        """As `EvaluationSession.expect`; what is stored is not generated again."""
        self._ahead = [each for each in asked if not self._is_stored(each)]

    def measure(
        self, candidate: Candidate, benchmark: str, questions: range | None = None
    ) -> tuple[Score, list[Answer]]:
        """The candidate's score and graded answers; generated only when they are not stored.

        With `questions` only to those of the benchmark, counted in the order of their ids.
        """
        asked = Asked(candidate, benchmark, questions)
        score, answers = self._answers(asked)
        self._scores[asked] = score
        part = f"questions {questions.start + 1} to {questions.stop} of " if questions else ""
        self._run.say(f"measured {candidate.key} on {part}{benchmark}: {score.accuracy:.3f}")
        if self._progress is not None:
            self._progress.advance()
        return score, answers

    def cost(self, benchmarks: Collection[str]) -> Cost:
        """Of all answers to these, each counted once, whichever attempt generated them."""
        scores = [score for asked, score in self._scores.items() if asked.benchmark in benchmarks]
        return Cost(
            tokens=sum(score.num_tokens for score in scores),
            seconds=sum(score.generation_seconds + score.swap_seconds for score in scores),
        )

    def check_cold(self, candidate: Candidate, folder: Path) -> None:
        """Raise EngineError unless the checkpoint `folder` answers in a new engine as the candidate
        does in those that measured it, which end with this."""
        self._run.say("loading the model anew, to see that it answers as it was measured ...")
        self._open_session().check_cold(candidate, folder)

    def graded(self, candidate: Candidate, benchmark: str, answers: Sequence[Answer]) -> Measured:
        """Answers as the decision takes them."""
        groups = groups_of(self._run.problems[benchmark])
        return measured_from(candidate, answers, self._run.recipe.rewards, groups)

    @contextmanager
    def told_in(self, progress: Progress) -> Iterator[None]:
        """Measurements in the block are the units of a stage."""
        self._progress = progress
        try:
            yield
        finally:
            self._progress = None

    def _answers(self, asked: Asked) -> tuple[Score, list[Answer]]:
        path, store = self._places(asked)
        folder = self._folder / path
        if self._is_stored(asked):
            fetch_folder(store, folder, KIND)
        else:
            if self._session is None:
                self._run.say("starting the engine ...")
            session = self._open_session()
            session.expect(self._ahead)
            session.measure(*asked)
            publish_folder(store, folder, KIND, self._inputs(asked))
            self._stored[asked] = True
        self._ahead = [each for each in self._ahead if each != asked]
        score = Score.model_validate_json((folder / SCORE_FILE).read_bytes())
        return score, read_answers(folder / ANSWERS_FILE)

    def _is_stored(self, asked: Asked) -> bool:
        """Looked up once: nobody else writes scores of this run, and a search expects the same
        candidates many times."""
        if asked not in self._stored:
            manifest = finished_manifest(self._places(asked)[1], KIND, self._inputs(asked))
            self._stored[asked] = manifest is not None
        return self._stored[asked]

    def _places(self, asked: Asked) -> tuple[str, Store]:
        """Path below the scores, and its store."""
        path = f"{asked.benchmark}/{asked.candidate.key}"
        if asked.questions is not None:
            path += f"/{part_name(asked.questions)}"
        return path, self._run.store.child(f"scores/{path}")

    def _inputs(self, asked: Asked) -> dict[str, str]:
        """Digests of everything that the score depends on: weights, questions, and sampling."""
        recipe, (candidate, benchmark, questions) = self._run.recipe, asked
        problems = self._run.measured_problems[benchmark]
        if questions is not None:
            in_order = sorted(problems, key=lambda problem: problem.id)
            problems = in_order[questions.start : questions.stop]
        exam, how = recipe.exam(benchmark), recipe.evaluation
        sampling = {
            "exam": exam.model_dump(mode="json"),
            "seed": recipe.seed,
            "engine": ENGINE.own_version(how.engine),
            "dtype": self._run.dtype,
            "max_context_tokens": how.max_context_tokens,
        }
        return {
            **self._weight_inputs(candidate),
            "problems": problems_digest(problems),
            "sampling": sha256_json(sampling),
            "grader": graded_by(exam),
        }

    def _weight_inputs(self, candidate: Candidate) -> dict[str, str]:
        """What the weights depend on: not the window for the base, the factors for methods."""
        inputs = {
            "base": self._run.base_digest,
            "candidate": sha256_json(candidate.model_dump(mode="json")),
        }
        if not candidate.is_base:
            inputs["window"] = self._fitted.inputs["window"]
        if candidate.method:
            files = {name: entry.sha256 for name, entry in self._fitted.files.items()}
            inputs["factors"] = sha256_json(files)
            inputs["method"] = METHOD.own_version(split_text(candidate.method)[0])
        return inputs

    @cached_property
    def _fitted(self) -> Manifest:
        """The manifest of the stored factors, which names the window too."""
        manifest = read_manifest(self._run.store.child("factors"), FACTORS_KIND)
        assert manifest is not None, "factors are stored before anything is measured"
        return manifest

    def _open_session(self) -> EvaluationSession:
        if self._session is None:
            run = self._run
            self._session = self._stack.enter_context(
                EvaluationSession(
                    run.recipe,
                    run.weights(self.factors),
                    run.measured_problems,
                    self._folder,
                    self._on_progress,
                    run.detail,
                    run.dtype,
                    engines_of(run),
                )
            )
        return self._session

    def _on_progress(self, candidate: Candidate, _: str, num_done: int, num_all: int) -> None:
        if self._progress is not None:
            self._progress.note(f"{candidate.key}: {num_done} of {num_all} answers")


@contextmanager
def open_evaluation(run: Run, factors: Path) -> Iterator[Evaluation]:
    """The engines start with the first score that is missing and end with the block."""
    with ExitStack() as stack:
        yield Evaluation(run, factors, stack)


def candidates_of(run: Run) -> list[Candidate]:
    """What the recipe lists to compare."""
    recipe = run.recipe
    return [
        BASE,
        *(Candidate(step=step) for step in run.observed_steps),
        *(denoised(step) for step in run.denoised_steps),
        *(
            Candidate(step=step, method=method)
            for method in recipe.extrapolation.methods
            for step in sorted(recipe.extrapolation.listed_targets)
        ),
    ]


def measure_listed(run: Run, evaluation: Evaluation) -> list[Measured]:
    """Every candidate that the recipe lists, on all validation questions."""
    candidates = candidates_of(run)
    title = f"Measuring {len(candidates)} candidates"
    measured = []
    evaluation.expect([Asked(candidate, VALIDATION) for candidate in candidates])
    with (
        stage(run, "validation", title, len(candidates)) as progress,
        evaluation.told_in(progress),
    ):
        for candidate in candidates:
            score, answers = evaluation.measure(candidate, VALIDATION)
            run.emit(CandidateMeasured(score, answers))
            measured.append(evaluation.graded(candidate, VALIDATION, answers))
    return measured


def measure_guards(
    run: Run, evaluation: Evaluation, candidates: Sequence[Candidate]
) -> dict[str, list[Measured]]:
    """These candidates on every benchmark of the regression guard; what is stored is read."""
    names = [benchmark.name for benchmark in run.recipe.problems.guard]
    if not names:
        return {}
    pairs = [Asked(candidate, name) for name in names for candidate in candidates]
    evaluation.expect(pairs)
    with (
        stage(run, "guard", "Guarding the choice", len(pairs)) as progress,
        evaluation.told_in(progress),
    ):
        return {
            name: [
                evaluation.graded(candidate, name, evaluation.measure(candidate, name)[1])
                for candidate in candidates
            ]
            for name in names
        }
