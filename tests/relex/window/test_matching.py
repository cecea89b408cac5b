"""Schemas that differ a little: equal where that can be proved, else one line that says what."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import open_store
from relex.window import open_source, open_window, pack
from relex.window.matching import Matcher
from tests.snapshots import TensorsAtHand
from tests.tiny_models import save_with_snapshot

EMBEDDING, OUTPUT, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
LAYER = "model.layers.{}.mlp.up_proj.weight"
Tensors = dict[str, torch.Tensor]


def weights(output: bool = False) -> Tensors:
    random = torch.Generator().manual_seed(0)
    shapes = {EMBEDDING: (8, 4), NORM: (4,), **{LAYER.format(i): (6, 4) for i in range(2)}}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return {**tensors, OUTPUT: tensors[EMBEDDING].clone()} if output else tensors


@pytest.fixture
def base(tmp_path: Path) -> Callable[[Tensors], Checkpoint]:
    def write(tensors: Tensors) -> Checkpoint:
        (tmp_path / "base").mkdir()
        save_file(tensors, tmp_path / "base/model.safetensors")
        return Checkpoint(tmp_path / "base")

    return write


def renamed(old: str, new: str, tensors: Tensors) -> Tensors:
    return {
        new + name.removeprefix(old) if name.startswith(old) else name: tensor
        for name, tensor in tensors.items()
    }


MAPPED = {
    "a tied output layer that only the snapshot has": (
        weights(),
        weights(output=True),
        [f"{OUTPUT} is {EMBEDDING}, as in the base, which ties them"],
    ),
    "a tied output layer that only the base has": (
        weights(output=True),
        weights(),
        [f"{OUTPUT} is {EMBEDDING}, as in the base, which holds both"],
    ),
    "a language model inside another": (
        weights(),
        renamed("model.", "model.language_model.", weights()),
        ["tensors named model.language_model.* are taken for the base's model.*"],
    ),
    "a prefix for all": (
        weights(output=True),
        renamed("", "app.model.", weights(output=True)),
        ["tensors named app.model.* are taken for the base's .*"],
    ),
    "no prefix": (
        weights(output=True),
        renamed("model.", "", weights(output=True)),
        ["tensors named .* are taken for the base's model.*"],
    ),
    "two prefixes and a tied output layer": (
        weights(),
        renamed("lm_head.", "head.lm_head.", renamed("model.", "body.", weights(output=True))),
        [
            "tensors named body.* are taken for the base's model.*",
            f"head.{OUTPUT} is {EMBEDDING}, as in the base, which ties them",
        ],
    ),
}


@pytest.mark.parametrize(("expected", "found", "notes"), MAPPED.values(), ids=MAPPED)
def test_what_is_the_same_is_taken_for_it_and_said(base, expected, found, notes) -> None:
    matcher = Matcher(base(expected))
    matched = matcher.match("step 1", TensorsAtHand(found))
    assert matched.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(matched.read(name, 1, 3), tensor.view(-1)[1:3])
    assert matcher.notes == notes


def without(*names: str) -> Tensors:
    return {name: tensor for name, tensor in weights(output=True).items() if name not in names}


LONGER = torch.zeros(12, 4)
REFUSED = {
    "an output layer of its own": (
        weights(),
        {**weights(output=True), OUTPUT: torch.zeros(8, 4)},
        rf"step 1: has {OUTPUT}, which the base ties to {EMBEDDING}, but the two differ",
    ),
    "an output layer that was tied": (
        {**weights(output=True), OUTPUT: torch.zeros(8, 4)},
        weights(),
        rf"step 1: lacks {OUTPUT}, and in the base it is not {EMBEDDING}",
    ),
    "another layer in its place": (
        weights(),
        {**renamed(LAYER.format(1), LAYER.format(2), weights())},
        rf"step 1: lacks {LAYER.format(1)}",
    ),
    "two towers that could be either": (
        {**renamed("model.", "text.", weights()), **renamed("model.", "image.", weights())},
        {**renamed("model.", "one.", weights()), **renamed("model.", "other.", weights())},
        r"step 1: lacks 8 tensors \(image\.",
    ),
    "more rows": (
        weights(),
        {**weights(), EMBEDDING: LONGER},
        rf"{EMBEDDING} has 12 rows, in the base 8: the vocabulary was resized",
    ),
    "fewer rows of an output layer": (
        without(),
        {**without(), OUTPUT: LONGER[:7]},
        rf"{OUTPUT} has 7 rows, in the base 8: the vocabulary",
    ),
    "a buffer that a merger joined": (
        {**weights(), "rope.inv_freq": torch.ones(4)},
        {**weights(), "rope.inv_freq": torch.ones(32)},
        r"rope\.inv_freq is float32\[32\], in the base it is float32\[4\]: 8 times as long",
    ),
    "another shape": (
        weights(),
        {**weights(), NORM: torch.zeros(3)},
        rf"{NORM} is float32\[3\], in the base it is float32\[4\]",
    ),
    "adapters that were not merged": (
        weights(),
        {
            **without(LAYER.format(0), OUTPUT),
            "model.layers.0.mlp.up_proj.base_layer.weight": weights()[LAYER.format(0)],
            "model.layers.0.mlp.up_proj.lora_A.default.weight": torch.zeros(2, 4),
        },
        r"holds adapters that were not merged \(model\.layers\.0\.mlp\.up_proj\.base_layer\.weight",
    ),
    "adapters of a whole model": (
        weights(),
        {
            **renamed("", "base_model.model.", weights()),
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight": torch.zeros(2, 4),
        },
        r"holds adapters that were not merged \(model\.layers\.0\.mlp\.up_proj\.lora_A",
    ),
    "experts that cannot be converted": (
        {"model.layers.0.mlp.experts.0.up_proj.weight": torch.zeros(2, 2)},
        {"model.layers.0.mlp.experts.up_proj": torch.zeros(1, 2, 2)},
        r"holds the experts as one tensor for each layer, the base one by one \(model\.layers\.0",
    ),
}


@pytest.mark.parametrize(("expected", "found", "message"), REFUSED.values(), ids=REFUSED)
def test_what_differs_is_one_line(base, expected, found, message) -> None:
    with pytest.raises(WindowError, match=message) as refused:
        Matcher(base(expected)).match("step 1", TensorsAtHand(found))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["experts", "vision tower"])
def test_what_transformers_joins_or_renames_is_taken_apart_as_it_does(kind, tmp_path) -> None:
    """The state of the model that it makes of the checkpoint is that checkpoint."""
    from transformers import AutoModelForCausalLM

    folder = save_with_snapshot(kind, tmp_path)
    base, expected = Checkpoint(folder / "base"), Checkpoint(folder / "checkpoint-1")
    state = AutoModelForCausalLM.from_pretrained(folder / "checkpoint-1").state_dict()
    (folder / "run/step_1").mkdir(parents=True)
    unique = {name: tensor.clone() for name, tensor in state.items()}
    save_file(unique, folder / "run/step_1/model.safetensors")
    saved = load_file(folder / "run/step_1/model.safetensors")
    assert saved.keys() != base.tensors.keys()

    fitted = open_window(str(folder / "run"), base=base)
    pack(open_source(str(folder / "run"), None, tmp_path), base, open_store(str(tmp_path / "out")))
    for window in (fitted, open_window(str(tmp_path / "out"), base=base)):
        for name in base.tensors:
            assert torch.equal(window.read(1, name), expected.read(name)), name
