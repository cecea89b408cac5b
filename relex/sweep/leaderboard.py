"""What a sweep found, as it is stored in `leaderboard.json`."""

from typing import Literal

from pydantic import Field

from relex.candidates import Candidate
from relex.selection import Interval, PairedTest
from relex.strict import Strict

Status = Literal["finished", "stopped", "failed", "cancelled"]


class CurvePoint(Strict):
    """Validation accuracy of one candidate that answered all questions."""

    candidate: Candidate
    """What was measured."""

    accuracy: float = Field(ge=0, le=1)
    """Share of correct answers."""


class TrialMeasures(Strict):
    """The numbers of a trial that finished."""

    chosen: Candidate
    """The candidate that the run chose on validation; the base where training made the model
    worse."""

    validation_accuracy: float = Field(ge=0, le=1)
    """Of the chosen candidate."""

    last_observed_accuracy: float = Field(ge=0, le=1)
    """On validation, of the last step that was trained."""

    test_accuracies: dict[str, float]
    """Of the chosen candidate by benchmark, the headline first."""

    base_test_accuracy: float = Field(ge=0, le=1)
    """Of the untouched model on the headline benchmark."""

    greedy: dict[str, float] = Field(default_factory=dict)
    """Accuracy on validation at temperature 0 of `base`, `last_step` and `chosen`; empty where all
    answers are greedy anyway."""

    cost_in_steps: int | None = None
    """What training and choice took, in steps with as many tokens; None where it is not known."""

    curve: tuple[CurvePoint, ...]
    """Base, observed steps and extrapolated targets, each ascending."""

    @property
    def is_harmful(self) -> bool:
        """Whether training made the model worse than the base."""
        return self.chosen.is_base


class TrialResult(Strict):
    """What became of one trial."""

    label: str
    """Variant and seed."""

    variant: str
    """What the leaderboard ranks."""

    seed: int
    """Seed of the run."""

    run_id: str
    """Name of the pipeline run's folder."""

    status: Status
    """`stopped` is a run that was ended because it learned nothing, or what is wrong."""

    reason: str = ""
    """One line that says why it has no numbers; empty when it has."""

    measures: TrialMeasures | None = None
    """Its numbers; None unless it finished."""


class ToWinner(Strict):
    """The winner against another variant, on the test questions, over the seeds of both."""

    seeds: tuple[int, ...]
    """Seeds with which both finished, in pairs."""

    test: PairedTest
    """Winner minus this variant, paired by question; all seeds and samples of a question count
    together, and so do all variants that were compared. It is about these checkpoints."""

    by_seed: tuple[float, ...]
    """Difference in test accuracy for each seed."""

    seed_interval: Interval | None
    """Interval of the mean difference from the spread between the seeds alone (Student's t). It is
    about the reward with another seed. None with one seed."""


class VariantResult(Strict):
    """How one variant did over its seeds; means are over the trials that finished."""

    variant: str
    """Its name."""

    num_trials: int
    """Seeds that it was tried with."""

    num_finished: int
    """Trials that have numbers."""

    num_harmful: int
    """Of these, trials whose training made the model worse than the base, which they then chose."""

    validation_accuracy: float | None
    """Mean over the seeds, of the candidate that each run chose; this decides the rank."""

    validation_spread: float | None
    """Standard deviation between seeds; None with fewer than two."""

    test_accuracies: dict[str, float]
    """Mean over the seeds by benchmark."""

    test_interval: Interval | None
    """Bootstrap interval of the headline benchmark's mean over its questions."""

    to_winner: ToWinner | None
    """How far the winner is above; None for the winner, and without a seed in common."""


class Leaderboard(Strict):
    """The result of a sweep."""

    sweep_id: str
    """Name of the sweep's folder."""

    benchmark: str
    """The headline test benchmark."""

    num_questions: int
    """Its questions that every trial answered; 0 when none finished."""

    samples_per_question: int
    """Answers to each of them."""

    grader: str
    """Name and version of what graded them."""

    confidence: float
    """Confidence of the intervals and of all tests together."""

    last_step: int
    """Last step that is trained, of the trial that trains longest."""

    base_test_accuracy: float | None
    """Of the untouched model, mean over the trials; None when none finished."""

    variants: tuple[VariantResult, ...]
    """Best first."""

    trials: tuple[TrialResult, ...]
    """In the order of the sweep."""

    verdict: str
    """Which reward won, by how much, and how certain that is."""

    @property
    def winner(self) -> VariantResult | None:
        """The first of the ranking; None when no trial finished, or every variant is harmful."""
        first = self.variants[0]
        return first if first.num_finished and not first.num_harmful else None

    @property
    def is_harmful(self) -> bool:
        """Whether trials finished, and every variant made the model worse in some of them."""
        return self.winner is None and any(each.num_finished for each in self.variants)

    @property
    def other_benchmarks(self) -> tuple[str, ...]:
        """Test benchmarks beside the headline, each once."""
        names = dict.fromkeys(name for each in self.variants for name in each.test_accuracies)
        return tuple(name for name in names if name != self.benchmark)

    def trials_of(self, variant: str) -> list[TrialResult]:
        """The trials of a variant, in the order of the sweep."""
        return [trial for trial in self.trials if trial.variant == variant]
