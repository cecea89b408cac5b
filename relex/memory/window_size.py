"""How many bytes a window will take: from the learning rate, corrected as its steps arrive.

AdamW moves an element by about the learning rate per step, and no more while its gradients agree.
A weight w is stored in bfloat16, whose neighbours are 2^(floor(log2 |w|) - 7) apart, so of all
weights of one size the share `rate x steps / spacing` gets another value within so many steps. Its
mean over the base's own weights bounds the share of elements that a delta holds; gradients that
disagree move less.

N elements of one tensor.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log2

import torch

from relex.checkpoints import Checkpoint, TensorInfo
from relex.config import Recipe
from relex.config.training import TrainingConfig
from relex.errors import ResourceError
from relex.training.snapshots import kept_dtype

SAMPLE_ELEMENTS = 1 << 14
"""Of each tensor, from its middle."""

BITS_OF_MOVE = 5.0
"""Of a changed element, beside its place: where it moved, and what the codec does not save."""

ANCHOR_FRACTION = 0.8
"""Of the bytes of a snapshot that is stored whole."""

STORED_FRACTIONS = {"float32": 1.0, "rounded": 0.1}
"""Of the bytes of a float32 snapshot: all elements change, or few whole numbers do."""

GB = 1e9
LEAST_STEPS = 3
"""Stored steps before the estimate is corrected in words."""

NUM_SPARE_STEPS = 3
"""For which there must be room: one is written twice while it is stored, and others wait."""

NOTED_FACTORS = (0.5, 1.25)
"""Measured over estimated bytes between which nothing is said."""


def changed_fraction(base: Checkpoint, move: float) -> float:
    """Share of the base's elements that get another bfloat16 value when each has moved by `move`.

    An element on its way from one value to the next is anywhere between them.
    """
    changed = total = 0.0
    for name, info in _weights(base.tensors):
        start = max(0, (info.num_elements - SAMPLE_ELEMENTS) // 2)
        sample_N = base.read(name, start, min(start + SAMPLE_ELEMENTS, info.num_elements))
        spacing_N = torch.exp2(torch.floor(torch.log2(sample_N.float().abs())) - 7)
        changed += float((move / spacing_N).clamp(max=1).mean()) * info.num_elements
        total += info.num_elements
    return changed / max(total, 1)


def delta_fraction(changed: float) -> float:
    """Bytes of a delta over those of a bfloat16 snapshot, where the share `changed` of the elements
    changes: the entropy of their places, and their moves."""
    if changed <= 0:
        return 0.0
    same = 1 - changed
    entropy = -changed * log2(changed) - (same * log2(same) if same > 0 else 0)
    return min(1.0, (entropy + BITS_OF_MOVE * changed) / 16)


def step_bytes(recipe: Recipe, base: Checkpoint, num_trained: int | None = None) -> list[float]:
    """Estimated bytes of each kept step; `num_trained` are the parameters of adapters, which are
    stored whole, in float32."""
    config = recipe.training
    if num_trained is not None:
        return [4.0 * num_trained] * len(config.kept_steps)
    num_elements = sum(info.num_elements for _, info in _weights(base.tensors))
    kept = kept_dtype(config.snapshot_dtype, base)
    if kept != "bfloat16":
        stored = 4.0 * num_elements * STORED_FRACTIONS[kept]
        return [stored] * len(config.kept_steps)
    fractions = _fractions_of_gaps(config, base)
    return [2.0 * num_elements * fraction for fraction in fractions]


def _fractions_of_gaps(config: TrainingConfig, base: Checkpoint) -> Iterator[float]:
    known: dict[int, float] = {}
    for index, (last, step) in enumerate(pairwise((0, *config.kept_steps)), start=1):
        gap = step - last
        if index % config.anchor_every_steps == 0:
            yield ANCHOR_FRACTION
            continue
        if gap not in known:
            known[gap] = delta_fraction(changed_fraction(base, gap * config.learning_rate))
        yield known[gap]


class WindowForecast:
    """The size of a window while it grows, and whether it will still fit."""

    def __init__(self, steps: Sequence[int], estimated_bytes: Sequence[float]) -> None:
        """`steps` are those that the window will hold."""
        self._estimated = dict(zip(steps, estimated_bytes, strict=True))
        self._measured: dict[int, int] = {}
        self._is_noted = self._is_warned = False

    @property
    def factor(self) -> float:
        """Measured over estimated bytes of the steps that are stored."""
        estimated = sum(self._estimated[step] for step in self._measured)
        return sum(self._measured.values()) / estimated if estimated else 1.0

    @property
    def bytes_to_come(self) -> float:
        """Of the steps after the last stored one, as those before them turned out."""
        last = max(self._measured, default=0)
        return self.factor * sum(size for step, size in self._estimated.items() if step > last)

    def stored(self, step: int, size_bytes: int) -> str | None:
        """Take in that `step` was stored in so many bytes; words, once, where the steps turn out
        otherwise than estimated."""
        self._measured[step] = size_bytes
        lowest, highest = NOTED_FACTORS
        if self._is_noted or self._is_early or lowest <= self.factor <= highest:
            return None
        self._is_noted = True
        return (
            f"window: its first {len(self._measured)} steps took {self.factor:.2f} times the bytes "
            f"that were estimated; the rest will take about {self.bytes_to_come / GB:.2f} GB"
        )

    def check_space(self, free_bytes: float) -> str | None:
        """A warning, once, where the rest of the window will not fit into `free_bytes`.

        Raises ResourceError where its next steps alone will not.
        """
        if self._is_early or self.bytes_to_come <= free_bytes:
            return None
        last = max(self._measured)
        coming = [size for step, size in self._estimated.items() if step > last]
        if self.factor * sum(coming[:NUM_SPARE_STEPS]) > free_bytes:
            raise ResourceError(
                f"window: after step {last} only {free_bytes / GB:.2f} GB are free, less than its "
                "next steps take; free some and start the same recipe again, it goes on from its "
                "rolling checkpoint"
            )
        if self._is_warned:
            return None
        self._is_warned = True
        return (
            f"window: the steps to come will take about {self.bytes_to_come / GB:.2f} GB, and "
            f"{free_bytes / GB:.2f} GB are free: free some while the run goes on, or end it and "
            "keep fewer steps (training.snapshot_steps)"
        )

    @property
    def _is_early(self) -> bool:
        return len(self._measured) < LEAST_STEPS


def _weights(tensors: Mapping[str, TensorInfo]) -> list[tuple[str, TensorInfo]]:
    return [(name, info) for name, info in tensors.items() if info.dtype.is_floating_point]
