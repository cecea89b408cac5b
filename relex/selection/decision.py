"""What was decided and why, as it is stored in `decision.json`."""

from pydantic import Field

from relex.candidates import Candidate
from relex.selection.facts import GroupAccuracy, Habits, PassAt
from relex.selection.intervals import Interval
from relex.selection.measured import is_rival
from relex.selection.paired import PairedTest
from relex.selection.red_flags import GuardResult, RedFlag
from relex.strict import Strict


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
    """Whether it was tested to replace the last observed step, together with all others of which
    this is true: the rivals that answered all questions. What was not tested is compared alone."""

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
    """What stops it from being promoted; always empty for what cannot be chosen: no rival, or one
    that did not answer all questions."""

    def passes(self, confidence: float) -> bool:
        """Whether the test says that it is better than the last observed step."""
        test = self.to_last_observed
        return self.is_tested and test is not None and test.p_value <= 1 - confidence


class Decision(Strict):
    """The choice with everything that explains it."""

    results: tuple[CandidateResult, ...]
    """All candidates: base, observed steps ascending, then the others by kind and step."""

    last_observed: Candidate
    """The last step that was trained: what a rival has to beat."""

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
    def num_rivals(self) -> int:
        """Candidates that were tried to replace the last observed step."""
        return sum(is_rival(result.candidate, self.last_observed) for result in self.results)

    def result(self, candidate: Candidate) -> CandidateResult:
        """The result of a candidate that was measured."""
        return next(result for result in self.results if result.candidate == candidate)
