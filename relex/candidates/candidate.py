"""A candidate: a checkpoint considered for choice, described without its weights."""

from typing import Literal

from pydantic import Field

from relex.config.strict import Strict


class Candidate(Strict):
    """Kind and step determine the weights, given a base, a window and factors."""

    kind: Literal["base", "observed", "extrapolated"]
    """`base` is step 0; `observed` a snapshot of the window; `extrapolated` a point on the line."""

    step: int = Field(ge=0)
    """Optimizer step; for an extrapolated candidate its target."""

    @property
    def key(self) -> str:
        """Name in files and metrics: `base`, `observed-30`, `extrapolated-120`."""
        return self.kind if self.kind == "base" else f"{self.kind}-{self.step}"

    @property
    def label(self) -> str:
        """Name in tables and sentences: `base`, `step 30`, `k = 120`."""
        return {
            "base": "base",
            "observed": f"step {self.step}",
            "extrapolated": f"k = {self.step}",
        }[self.kind]


BASE = Candidate(kind="base", step=0)
