"""MLflow keeps what a run says: its recipe, its questions, its curves, and every candidate."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from relex.candidates import Candidate
from relex.config import VALIDATION, Recipe, dump_recipe
from relex.errors import TrackingError
from relex.evaluation import Answer, Score
from relex.problems import problems_digest
from relex.report import MARKDOWN_FILE, Link, RunSummary, address, outcome_lines, plain
from relex.run.places import RECIPE_FILE, TRAIN, Run
from relex.run.stage import (
    CandidateMeasured,
    Decided,
    Diagnosed,
    Event,
    StageEnded,
    StageStarted,
    Tested,
)
from relex.selection import CandidateResult, Decision
from relex.training import RolloutsChosen, StepTrained
from relex.versions import installed_versions
from tasks.flow_run import flow_run_links, flow_run_tags
from tasks.page import show_report
from tasks.record_values import (
    Param,
    answer_rows,
    chosen_metrics,
    curves_of,
    fit_metrics,
    metrics_of,
    recipe_params,
    run_params,
    run_title,
    side_by_side,
)
from tasks.tracking import Tracker, status_of
from tasks.tracking_client import end_abandoned, note_begun, note_ended
from tasks.tracking_experiment import NOTE_TAG
from tasks.tracking_source import source_tags

ANSWER_TABLE, FINALIST_TABLE = "answers.json", "test_answers.json"


class Record:
    """The MLflow record of one run; it listens to it."""

    def __init__(self, run: Run) -> None:
        """Find the record or begin it. Raises TrackingError when the server cannot be reached."""
        end_abandoned(run.home)
        self._run, recipe = run, run.recipe
        self.tracker = Tracker(recipe.tracking, run.home, recipe.run_id, run_title(recipe))
        self._training = ""
        self._model: str | None = None
        self._known_steps: set[int] = set()
        run.listeners.append(self)
        run.say(f"tracking   {self.tracker.uri}")

    @property
    def links(self) -> list[Link]:
        """Where a person finds it, and the flow run that made it."""
        return [Link(name="MLflow run", address=self.tracker.link), *flow_run_links()]

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted("train"):
                self._begin_training()
            case RolloutsChosen():
                self.tracker.mark({"relex.rollouts": event.words})
            case StepTrained():
                self._record_step(event)
            case StageEnded("train", _, error):
                self.tracker.end("FINISHED" if error is None else status_of(error), self._training)
            case Diagnosed(diagnostics):
                self.tracker.log(fit_metrics(diagnostics))
            case CandidateMeasured(score, answers):
                self._record_candidate(score, answers)
            case Decided(decision):
                for result in decision.results:
                    self._record_result(result)
            case Tested(decision, answers_of):
                self._record_finalists(decision, answers_of)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """The record of a run that the block refuses has FAILED, unless it is finished already."""
        try:
            yield
        except BaseException as error:
            with suppress(TrackingError):
                if not self.tracker.is_finished:
                    self.tracker.end(status_of(error))
            raise

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The record ends as the block does: FINISHED, FAILED, or KILLED when interrupted."""
        self._begin()
        try:
            with self.tracker.machine_watched():
                yield
        except BaseException as error:
            # What ended the run matters more than a record that cannot be ended.
            with suppress(TrackingError):
                self._end(status_of(error))
            raise
        self._end("FINISHED")

    def end_well(self) -> None:
        """Of a run that is finished; it may have been killed before its record ended."""
        if not self.tracker.is_finished:
            self.tracker.end("FINISHED")

    def log_model(self, name: str, step: int) -> str:
        """The model that the run has made, for MLflow's page of models; returns its id there."""
        self._model = self.tracker.log_model(name, self._params, step)
        return self._model

    def keep_report(self, summary: RunSummary) -> None:
        """The report, and the scalars that the run table should show, whatever was logged last."""
        self.tracker.log_folder(self._run.report_folder, "report")
        self.tracker.log(chosen_metrics(summary), model=self._model)
        decision = summary.decision
        found = {"relex.chosen": decision.chosen.key, "relex.verdict": decision.verdict}
        self.tracker.mark({NOTE_TAG: _note(summary), **found})

    def show_report(self) -> None:
        """The report, once it is kept, on the page of the flow run."""
        where = self._run.report_folder / MARKDOWN_FILE
        show_report(where, self.links[0], lambda name: self.tracker.artifact(f"report/{name}"))

    def _begin(self) -> None:
        run, recipe = self._run, self._run.recipe
        tags = {"relex.recipe_digest": recipe.digest, "relex.base_digest": run.base_digest}
        if isinstance(recipe, Recipe) and recipe.before is not None:
            tags |= {"relex.round": str(recipe.rounds), "relex.run_before": recipe.before.run_id}
        tags |= {f"version.{name}": version for name, version in installed_versions().items()}
        tags |= source_tags() | flow_run_tags()
        note_begun(run.home, recipe.run_id, self.tracker.uri, recipe.tracking.experiment)
        self.tracker.begin()
        self.tracker.describe(self._params, tags)
        self.tracker.state(recipe_params(recipe) | self._params)
        self.tracker.log_text(dump_recipe(recipe), RECIPE_FILE)
        for name, source in recipe.problems.sources.items():
            problems = run.problems[name]
            use = name if name in (TRAIN, VALIDATION) else "test"
            where = source.path.rpartition("/")[2] or source.kind
            title = f"{where} ({source.split})" if source.kind in ("toy", "hub") else where
            content = source.model_dump_json(exclude_defaults=True)
            digest = problems_digest(problems)
            self.tracker.log_questions(use, title, digest, len(problems), content)

    @property
    def _params(self) -> dict[str, Param]:
        return run_params(self._run.recipe, self._run.window_steps[-1], self._run.dtype)

    def _end(self, status: str) -> None:
        self.tracker.end(status)
        note_ended(self._run.home, self._run.recipe.run_id)

    def _begin_training(self) -> None:
        params = {
            "kind": "training",
            "step": self._run.window_steps[-1],
            "answered": "no questions",
        }
        self._training = self.tracker.begin_child("training", "training", params)
        self._known_steps = self.tracker.logged_steps("training/reward_mean")

    def _record_step(self, event: StepTrained) -> None:
        """On the attempt, and on the run, where a step that is trained again has one point."""
        metrics = {f"training/{name}": value for name, value in event.metrics.items()}
        self.tracker.log(metrics, event.step, self._training)
        if event.step not in self._known_steps:
            self.tracker.log(metrics, event.step)

    def _record_candidate(self, score: Score, answers: Sequence[Answer]) -> None:
        """A child for the candidate, and its point on the accuracy curves of the parent."""
        candidate, run = score.candidate, self._run
        if self.tracker.finished_child(candidate.key) is not None:
            return
        for curve in curves_of(candidate, run.window_steps[-1]):
            self.tracker.log({curve: score.accuracy}, candidate.step)
        num_all = len(run.problems[VALIDATION])
        params = {
            "kind": candidate.method or candidate.name,
            "part": candidate.part or "all",
            "step": candidate.step,
            "answered": f"{score.num_questions} of {num_all} questions",
        }
        values = {
            "accuracy": score.accuracy,
            "num_questions": float(score.num_questions),
            "truncated_fraction": score.truncated_fraction,
            "mean_completion_tokens": score.mean_completion_tokens,
        }
        with self.tracker.child(candidate.key, "candidate", params) as child:
            self.tracker.log(values, candidate.step, child)
            rows = answer_rows(run.problems[VALIDATION], answers)
            self.tracker.log_table(rows, ANSWER_TABLE, child)

    def _record_result(self, result: CandidateResult) -> None:
        """Beside the score in the candidate's child, what only the comparison tells."""
        child = self.tracker.finished_child(result.candidate.key)
        if child is not None:
            self.tracker.log(metrics_of(result), result.candidate.step, child)

    def _record_finalists(
        self, decision: Decision, answers_of: Mapping[Candidate, Sequence[Answer]]
    ) -> None:
        """Chosen candidate, last trained step and base side by side on the first test benchmark."""
        questions = self._run.problems[self._run.recipe.problems.test[0].name]
        shown = {
            name: answers_of[candidate] for name, candidate in reversed(decision.finalists.items())
        }
        rows = side_by_side(questions, shown)
        self.tracker.log_table(rows, FINALIST_TABLE, self.tracker.parent)


def _note(summary: RunSummary) -> str:
    """What MLflow's page of the run says first."""
    links = "\n".join(f"- {link.name}: {address(link.address)}" for link in summary.links)
    found = " ".join([summary.decision.reason, *outcome_lines(summary)])
    words = (plain(found), plain(summary.champion), links)
    return "\n\n".join(text for text in words if text)
