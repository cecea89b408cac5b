"""What was decided and why, as it is stored in `decision.json`."""

from typing import Literal

from pydantic import Field

from relex.candidates import BASE, Candidate
from relex.selection.facts import GroupAccuracy, Habits, PassAt
from relex.selection.intervals import Interval
from relex.selection.paired import PairedTest
from relex.selection.red_flags import GuardResult, RedFlag
from relex.strict import Strict

Verdict = Literal["improved", "kept", "harmful"]
"""Something is better than the last trained step, nothing is, or not even that is better than the
base."""


class CandidateResult(Strict):
    """How one candidate did on the validation questions."""

    candidate: Candidate
    """The candidate."""

    num_questions: int
    """Questions that it answered."""

    accuracy: float = Field(ge=0, le=1)
    """Share of correct answers."""

    interval: Interval
    """Bootstrap interval of the accuracy."""

    to_last_observed: PairedTest | None
    """Comparison with the last observed step; None for that step itself."""

    is_tested: bool
    """Whether it was tested to replace the bar, together with all others of which this is true: the
    rivals that answered all questions. What was not tested is compared alone."""

    to_base: PairedTest | None
    """Comparison with the base; None for the base itself, or where it was not measured."""

    pass_at: tuple[PassAt, ...]
    """Pass at 1, 2, 4 and so on, up to the samples per question."""

    by_group: tuple[GroupAccuracy, ...]
    """Accuracy by group; empty where the questions have none."""

    habits: Habits | None
    """How it answers; None where that was not told."""

    guards: tuple[GuardResult, ...]
    """Benchmarks of the regression guard that it was measured on."""

    flags: tuple[RedFlag, ...]
    """What stops it from being promoted; always empty for the base, and for what cannot be chosen:
    no rival, or one that did not answer all questions."""

    def to(self, bar: Candidate) -> PairedTest | None:
        """Comparison with `bar`, the base or the last observed step."""
        return self.to_base if bar.is_base else self.to_last_observed

    def passes(self, confidence: float, bar: Candidate) -> bool:
        """Whether the test says that it is better than `bar`."""
        test = self.to(bar)
        return self.is_tested and test is not None and test.p_value <= 1 - confidence


class Decision(Strict):
    """The choice with everything that explains it."""

    results: tuple[CandidateResult, ...]
    """All candidates: base, observed steps ascending, then the others by kind and step."""

    last_observed: Candidate
    """The last step that was trained."""

    bar: Candidate
    """What a rival had to beat: the last observed step, or the base where that is clearly better
    than it."""

    chosen: Candidate
    """The candidate to publish."""

    reason: str
    """Why, in a sentence or two, with the numbers."""

    confidence: float
    """Confidence of each accuracy's interval, and of all tests together."""

    require_gain: float
    """The least worthwhile gain in accuracy."""

    num_resamples: int
    """Bootstrap and permutation resamples."""

    num_questions: int
    """Validation questions that the last observed step answered."""

    samples_per_question: int
    """Answers per question."""

    grader: str = ""
    """Name and version of what graded the answers; empty where it was not told."""

    @property
    def finalists(self) -> dict[str, Candidate]:
        """What is measured once on the test questions, by the name of its part in the choice."""
        return {"base": BASE, "last_step": self.last_observed, "chosen": self.chosen}

    @property
    def is_harmful(self) -> bool:
        """Whether training made the model worse, and nothing made from it is better than the
        base, which is therefore chosen."""
        return self.chosen.is_base

    @property
    def verdict(self) -> Verdict:
        """What became of the training, in a word."""
        if self.is_harmful:
            return "harmful"
        return "kept" if self.chosen == self.last_observed else "improved"

    @property
    def num_rivals(self) -> int:
        """Candidates that were tried to replace the bar."""
        return len(self.results) - 1

    @property
    def better(self) -> tuple[CandidateResult, ...]:
        """What the test says is better than the bar, red flags or not."""
        return tuple(r for r in self.results if r.passes(self.confidence, self.bar))

    def result(self, candidate: Candidate) -> CandidateResult:
        """The result of a candidate that was measured."""
        return next(result for result in self.results if result.candidate == candidate)
