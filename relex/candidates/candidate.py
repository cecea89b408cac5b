"""A candidate: a checkpoint considered for choice, described without its weights."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from relex.config.extrapolation import PredictionOptions
from relex.config.strict import Strict

Kind = Literal["base", "observed", "extrapolated", "denoised", "scaled", "secant", "line"]


class Candidate(Strict):
    """Kind, step and options determine the weights, given a base, a window and factors."""

    kind: Kind
    """`base` is step 0; `observed` a snapshot of the window; `extrapolated` a point on the line;
    `denoised` a snapshot projected on the directions. Baselines without directions: `scaled` is the
    first update times step over first step, `secant` the line through the last two snapshots (or
    through the two `line_steps`), `line` the least-squares line of every weight by itself."""

    step: int = Field(ge=0)
    """Optimizer step; for what lies beyond the window its target."""

    options: PredictionOptions = PredictionOptions()
    """Where it departs from the method of the paper; `base` and `observed` have none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("base", "observed") and self.options != PredictionOptions():
            raise ValueError(f"options: {self.kind} takes none")
        if (self.kind == "denoised") != (self.options.denoise != "no"):
            raise ValueError("options.denoise: fitted or observed for denoised candidates only")
        if self.kind in ("scaled", "secant", "line") and self.options.rank is not None:
            raise ValueError(f"options.rank: {self.kind} has no directions")
        return self

    @property
    def key(self) -> str:
        """Name in files and metrics: `base`, `observed-30`, `extrapolated-120-times0.5`."""
        if self.kind == "base":
            return "base"
        return "-".join([self.kind, str(self.step), *(key for key, _ in self._departures())])

    @property
    def label(self) -> str:
        """Name in tables and sentences: `base`, `step 30`, `k = 120, times 0.5`."""
        first = {
            "base": "base",
            "observed": f"step {self.step}",
            "extrapolated": f"k = {self.step}",
        }.get(self.kind, f"{self.kind} {self.step}")
        return ", ".join([first, *(label for _, label in self._departures())])

    def _departures(self) -> Iterator[tuple[str, str]]:
        """Key and label of every option that is not the paper's."""
        options = self.options
        if options.denoise != "no":
            yield options.denoise, options.denoise
        if options.rank is not None:
            yield f"rank{options.rank}", f"rank {options.rank}"
        if options.degree != 1:
            yield f"degree{options.degree}", f"degree {options.degree}"
        if options.line_steps is not None:
            first, last = options.line_steps
            yield f"line{first}to{last}", f"line from {first} to {last}"
        if options.anchor == "newest":
            yield "newest", "from the newest"
        if options.shrinkage != 1.0:
            yield f"times{options.shrinkage!r}", f"times {options.shrinkage!r}"
        if options.norms == "newest":
            yield "norms", "norms of the newest"


BASE = Candidate(kind="base", step=0)


def denoised(step: int) -> Candidate:
    """A snapshot of the window as the fit has it: on the directions, at the line's coefficients."""
    return Candidate(kind="denoised", step=step, options=PredictionOptions(denoise="fitted"))
