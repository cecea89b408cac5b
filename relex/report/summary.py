"""Everything that a report tells about a finished run."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import Field

from relex.candidates import Candidate
from relex.config import SelectionConfig
from relex.report.costs import Costs
from relex.report.shown_answers import ShownQuestion
from relex.search.trials import SearchPath
from relex.selection.decision import Decision
from relex.selection.intervals import Interval, bootstrap_interval
from relex.selection.paired import PairedTest, paired_test
from relex.strict import Strict


class BenchmarkResult(Strict):
    """How one finalist did on one test benchmark."""

    benchmark: str
    """Name of the benchmark."""

    candidate: Candidate
    """What was measured."""

    accuracy: float = Field(ge=0, le=1)
    """Share of correct answers."""

    interval: Interval
    """Bootstrap interval of the accuracy."""

    num_questions: int
    """Questions asked."""

    samples_per_question: int
    """Answers per question."""

    to_last_observed: PairedTest | None
    """Comparison with the last observed step on these questions, alone and without a required gain;
    None for that step itself."""


def benchmark_results(
    benchmark: str,
    graded: Mapping[Candidate, npt.NDArray[np.bool_]],
    last: Candidate,
    config: SelectionConfig,
    seed: int,
) -> list[BenchmarkResult]:
    """From the answers `correct_QK` of the finalists, the last observed step among them."""
    alone = config.model_copy(update={"require_gain": 0.0})
    return [
        BenchmarkResult(
            benchmark=benchmark,
            candidate=candidate,
            accuracy=float(correct_QK.mean()),
            interval=bootstrap_interval(correct_QK, config, seed),
            num_questions=correct_QK.shape[0],
            samples_per_question=correct_QK.shape[1],
            to_last_observed=paired_test(correct_QK, graded[last], alone, seed)
            if candidate != last
            else None,
        )
        for candidate, correct_QK in graded.items()
    ]


class TrainingStep(Strict):
    """What training said about one optimizer step."""

    step: int
    """Optimizer step."""

    metrics: dict[str, float]
    """Values by name, `reward_mean` among them."""


class Round(Strict):
    """What one round of several came to."""

    run_id: str
    """Its run."""

    num_steps: int
    """Optimizer steps that it trained."""

    last_observed: Candidate
    """The last of them."""

    chosen: Candidate
    """Where the next round begins."""

    results: tuple[BenchmarkResult, ...]
    """Of base, last step and the chosen one on the first test benchmark."""

    def accuracy(self, candidate: Candidate) -> tuple[float, Interval]:
        """On the test questions, with its interval."""
        result = next(result for result in self.results if result.candidate == candidate)
        return result.accuracy, result.interval


class Link(Strict):
    """Where to look."""

    name: str
    """What is there."""

    address: str
    """A URL, an S3 address or a folder."""


class RunSummary(Strict):
    """A finished run."""

    run_id: str
    """Name of the run's folder."""

    recipe_digest: str
    """sha256 of what determined the result."""

    window_steps: tuple[int, ...] = Field(min_length=1)
    """Steps of the snapshots that the lines were fitted on, ascending."""

    most_steps: int | None = None
    """Steps that training was allowed with `steps: auto`; None where their number was fixed."""

    decision: Decision
    """The choice on the validation questions."""

    search: SearchPath | None = None
    """How the candidates were found; None where the recipe listed them."""

    benchmarks: tuple[BenchmarkResult, ...]
    """Test results of the finalists; the first benchmark is the headline."""

    earlier: tuple[Round, ...] = ()
    """The rounds before this one, the first of them first."""

    greedy: tuple[BenchmarkResult, ...] = ()
    """The finalists on the validation questions, one answer each at temperature 0; empty where all
    answers are greedy anyway."""

    shown: tuple[ShownQuestion, ...] = ()
    """A few test questions with the finalists' answers."""

    costs: Costs | None = None
    """What training, choice and report took."""

    training: tuple[TrainingStep, ...]
    """The training curve, ascending; empty where the window was there already."""

    champion: str = ""
    """What became of the model in the registry, in a sentence; empty when it was not told."""

    seconds_by_stage: dict[str, float]
    """Wall time of each stage, in the order of the stages."""

    links: tuple[Link, ...]
    """The tracked run, the model and whatever else can be opened."""

    versions: dict[str, str]
    """Versions of the software and of the graders."""

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All rounds, this one last."""
        this = Round(
            run_id=self.run_id,
            num_steps=self.last_step,
            last_observed=self.decision.last_observed,
            chosen=self.decision.chosen,
            results=tuple(r for r in self.benchmarks if r.benchmark == self.benchmark_names[0]),
        )
        return (*self.earlier, this)

    @property
    def last_step(self) -> int:
        """The last step that was trained."""
        return self.window_steps[-1]

    @property
    def benchmark_names(self) -> tuple[str, ...]:
        """Benchmarks in their first order, each once."""
        return tuple(dict.fromkeys(result.benchmark for result in self.benchmarks))

    def greedy_result(self, candidate: Candidate) -> BenchmarkResult | None:
        """How a finalist answers the validation questions at temperature 0."""
        return next((each for each in self.greedy if each.candidate == candidate), None)

    @property
    def greedy_accuracies(self) -> dict[str, float]:
        """By `base`, `last_step` and `chosen`."""
        found = {name: self.greedy_result(of) for name, of in self.decision.finalists.items()}
        return {name: result.accuracy for name, result in found.items() if result}

    def benchmark_result(self, benchmark: str, candidate: Candidate) -> BenchmarkResult | None:
        """The result of a candidate on a benchmark, or None when it was not measured there."""
        wanted = (benchmark, candidate)
        found = (each for each in self.benchmarks if (each.benchmark, each.candidate) == wanted)
        return next(found, None)
