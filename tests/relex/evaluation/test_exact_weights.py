from collections.abc import Iterator

import pytest
import torch

from relex.checkpoints import NamedTensor, TensorInfo
from relex.errors import EngineError
from relex.evaluation.weights import exactly

SHAPES = {"a": (2, 3), "b": (4,)}
EXPECTED = {name: TensorInfo(shape, torch.bfloat16) for name, shape in SHAPES.items()}


def stream(**replaced: torch.Tensor | None) -> Iterator[NamedTensor]:
    tensors = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in SHAPES.items()}
    for name, tensor in {**tensors, **replaced}.items():
        if tensor is not None:
            yield name, tensor


def test_the_weights_of_the_base_pass_in_their_order() -> None:
    assert [name for name, _ in exactly(EXPECTED, stream(), "k")] == ["a", "b"]


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"b": None}, "observed-2: 1 weights never came: b"),
        ({"c": torch.zeros(1)}, "observed-2: weight c is not in the base"),
        (
            {"b": torch.zeros(5, dtype=torch.bfloat16)},
            r"observed-2: weight b has shape \[5\], in the base it is \[4\]",
        ),
        ({"b": torch.zeros(4)}, "weight b is torch.float32, in the base it is torch.bfloat16"),
        (
            {"b": torch.full((4,), torch.inf, dtype=torch.bfloat16)},
            "weight b has values that are not finite",
        ),
    ],
)
def test_a_weight_unlike_the_base_is_named(
    replaced: dict[str, torch.Tensor | None], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        list(exactly(EXPECTED, stream(**replaced), "observed-2"))


def test_a_weight_that_comes_twice_is_named() -> None:
    with pytest.raises(EngineError, match="weight a came twice"):
        list(exactly(EXPECTED, [*stream(), *stream()], "base"))
