"""What was decided and why, as it is stored in `decision.json`."""

from pydantic import Field

from relex.candidates.candidate import Candidate
from relex.config.strict import Strict
from relex.selection.intervals import Interval
from relex.selection.paired import PairedTest


class CandidateResult(Strict):
    """How one candidate did on the validation questions."""

    candidate: Candidate
    """The candidate."""

    accuracy: float = Field(ge=0, le=1)
    """Share of correct answers."""

    interval: Interval
    """Bootstrap interval of the accuracy."""

    to_last_observed: PairedTest | None
    """Comparison with the last observed step; None for that step itself."""


class Decision(Strict):
    """The choice with everything that explains it."""

    results: tuple[CandidateResult, ...]
    """All candidates: base, observed steps ascending, targets ascending."""

    last_observed: Candidate
    """The last step that was trained: what a target has to beat."""

    best_extrapolated: Candidate | None
    """The target with the highest validation accuracy; None when no target was measured."""

    corrected_p_value: float | None
    """p-value of the best target times the number of targets, at most 1 (Bonferroni)."""

    chosen: Candidate
    """The candidate to publish: the best target or the last observed step."""

    reason: str
    """One sentence that explains the choice, with its numbers."""

    confidence: float
    """Confidence of the intervals and of the test."""

    num_resamples: int
    """Bootstrap and permutation resamples."""

    num_questions: int
    """Validation questions that every candidate answered."""

    samples_per_question: int
    """Answers per question."""

    grader: str = ""
    """Name and version of what graded the answers; empty where it was not told."""

    @property
    def num_targets(self) -> int:
        """Extrapolated candidates that were compared."""
        return sum(result.candidate.kind == "extrapolated" for result in self.results)

    def result(self, candidate: Candidate) -> CandidateResult:
        """The result of a candidate that was measured."""
        return next(result for result in self.results if result.candidate == candidate)
