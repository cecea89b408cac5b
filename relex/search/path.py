"""What a search did, as it is stored and reported."""

from relex.candidates import Candidate
from relex.strict import Strict


class Trial(Strict):
    """One candidate that was tried, by the questions that it answered in the end."""

    candidate: Candidate
    """What was tried."""

    num_questions: int
    """The first questions of the common order, which it answered."""

    accuracy: float
    """Share of correct answers to them."""

    num_tokens: int
    """Tokens that these answers took."""

    why: str
    """What it was tried for."""

    end: str
    """Why it answered no more questions; empty where it answered all."""


class SearchPath(Strict):
    """The trials in their order, and what they cost."""

    trials: tuple[Trial, ...]
    """Every candidate once, in the order of its first measurement."""

    stopped: str
    """Why the search ended, in one sentence."""

    num_questions: int
    """All validation questions."""

    num_grid_targets: int
    """Targets of the full grid."""

    num_grid_tokens: int
    """What the full grid would have cost, with as many tokens per answer as the last observed
    step takes, and with the same base and observed steps."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the search spent."""
        return sum(trial.num_tokens for trial in self.trials)

    @property
    def token_fraction(self) -> float:
        """Tokens spent over those of the full grid."""
        return self.num_tokens / max(self.num_grid_tokens, 1)
