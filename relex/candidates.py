"""A candidate: a checkpoint considered for choice, described without its weights."""

import re
from contextlib import suppress
from typing import Self

from pydantic import model_validator

from relex.errors import InputError
from relex.parts import find_part
from relex.strict import Step, Strict

LINE, DENOISED = "line", "denoised"

OBSERVED = "observed"
FIRST = ("", DENOISED, LINE)
PARAMETER = r"-([A-Za-z_]+)(-?[0-9][0-9.]*(?:e[-+]?[0-9]+)?)"
TEXT = re.compile(rf"([\w.]+(?::\w+)?)((?:{PARAMETER})*)")


class Candidate(Strict):
    """The base, an observed step, or the point that a method has at a step."""

    step: Step
    """Optimizer step; 0 is the base."""

    method: str = ""
    """What goes to `step`: `secant`, or `my_methods:ema-decay0.9`; empty for a snapshot that
    was trained, and for the base."""

    part: str = ""
    """The tensors that the method moves, as `2-3.mlp`; all others stay at the newest snapshot of
    the window. Empty where all move."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.method:
            if self.part:
                raise ValueError(f"part {self.part}: only a method moves a part")
            return self
        try:
            split_text(self.method)
            find_part(self.part)
        except InputError as error:
            raise ValueError(str(error)) from error
        if self.step == 0 or self.method == OBSERVED:
            raise ValueError(f"method {self.method}: none goes to step {self.step}")
        return self

    @property
    def is_base(self) -> bool:
        return self.step == 0

    @property
    def is_observed(self) -> bool:
        """Whether it is a snapshot of the window."""
        return self.step > 0 and not self.method

    @property
    def is_beyond(self) -> bool:
        """Whether it is extrapolated."""
        return bool(self.method) and self.name != DENOISED

    @property
    def name(self) -> str:
        """`base`, `observed`, or the method's name without its parameters."""
        return self.method.partition("-")[0] or (OBSERVED if self.step else "base")

    @property
    def key(self) -> str:
        """Its one name, everywhere: `base`, `observed-30`, `line-120`, `secant-960@2-3.mlp`."""
        if self.is_base:
            return "base"
        part = f"@{self.part}" if self.part else ""
        return f"{self.method or OBSERVED}-{self.step}{part}"

    @property
    def moved(self) -> str:
        """Which tensors left the newest snapshot: `all`, `MLPs of layers 20 to 29`, or none."""
        return (find_part(self.part).words or "all") if self.method else ""

    @property
    def words(self) -> str:
        """Its key, and which tensors moved where they are a part."""
        return f"{self.key} ({self.moved})" if self.part else self.key

    @property
    def is_on_the_line(self) -> bool:
        """Whether it is the paper's: its line, with all tensors."""
        return self.method == LINE and not self.part

    @property
    def order(self) -> tuple[int, str, str, int]:
        """Sorts tables: base, observed steps, denoised ones, the paper's line, all others."""
        place = FIRST.index(self.method) if self.method in FIRST else len(FIRST)
        return place, self.method, self.part, self.step


BASE = Candidate(step=0)


def denoised(step: int) -> Candidate:
    """A snapshot of the window as the line has it."""
    return Candidate(step=step, method=DENOISED)


def parse_candidate(key: str) -> Candidate:
    """The candidate that has this key. Raises InputError for anything else."""
    if key == BASE.key:
        return BASE
    whole, _, part = key.partition("@")
    method, _, step = whole.rpartition("-")
    with suppress(ValueError):
        found = Candidate(step=int(step), method="" if method == OBSERVED else method, part=part)
        if found.key == key:
            return found
    raise InputError(
        f"{key}: is no candidate; give base, observed-STEP, METHOD-STEP or METHOD-STEP@PART, for "
        "example line-120, secant-gap10-120 or secant-960@2-3.mlp"
    )


def split_text(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The name in a method's text, and its parameters with their numbers, as they are written.

    Raises InputError when the text is not written so; whether there is such a method is not looked
    up.
    """
    found = TEXT.fullmatch(text)
    if found is None:
        raise InputError(
            f"method {text}: write NAME or module:NAME, then parameters as -rank3 or -factor0.5"
        )
    return found[1], re.findall(PARAMETER, found[2])
