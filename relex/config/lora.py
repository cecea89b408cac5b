"""Training of low-rank adapters in place of all weights."""

from typing import Annotated

from pydantic import Field

from relex.config.strict import MOST_ENTRIES, Section

LARGEST_RANK = 1024
"""Above it a product is hardly smaller than the weight that it moves."""


class LoraConfig(Section):
    """Low-rank adapters (arXiv 2106.09685): each adapted weight moves by `alpha / rank * B A`."""

    rank: int = Field(default=32, ge=1, le=LARGEST_RANK)
    """Rows of A and columns of B."""

    alpha: int = Field(default=64, ge=1, le=100_000)
    """Numerator of the scale of the product."""

    targets: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=MOST_ENTRIES
    )
    """Ends of the names of the modules to adapt, such as `q_proj`; empty takes every linear layer
    but the output layer."""

    quantize: bool = False
    """Keep the frozen base in 4 bit while training (QLoRA, arXiv 2305.14314; needs bitsandbytes).
    Candidates are measured and published on the base as it is, not on the one in 4 bit."""
