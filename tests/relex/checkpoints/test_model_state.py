"""Tiny random models of kinds that transformers renames, joins or cuts when it loads them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import BaseNames, names_in_model
from relex.errors import CheckpointError
from tests.tiny_models import KINDS, dense

LEFTOVERS = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": torch.rand(4),
    "mtp.layers.0.weight": torch.rand(8, 8).bfloat16(),
}
NUM_UNTRAINED = {"linear attention": 33}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def base(kind: str, tmp_path: Path) -> Checkpoint:
    torch.manual_seed(0)
    KINDS[kind]().bfloat16().save_pretrained(tmp_path / "base")
    return Checkpoint(tmp_path / "base")


def trained(base: Checkpoint) -> PreTrainedModel:
    """The model as training has it, every parameter moved."""
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


def test_a_model_s_state_has_the_base_s_names_and_what_the_model_lacks(
    kind: str, base: Checkpoint
) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    found = BaseNames(model, base).of(model.state_dict())
    assert found.keys() == base.tensors.keys()
    for name in base.tensors:
        assert torch.equal(found[name].float(), base.read_tensor(name).float())
    assert len(names_in_model(base, False).untrained) == NUM_UNTRAINED.get(kind, 0)


def test_a_checkpoint_of_the_state_is_the_model_that_was_trained(
    base: Checkpoint, tmp_path: Path
) -> None:
    model = trained(base)
    found = BaseNames(model, base).of(model.state_dict())
    folder = tmp_path / "trained"
    folder.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in found.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    (folder / "config.json").write_bytes((base.folder / "config.json").read_bytes())
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())


def test_leftovers_in_the_base_are_carried_over(tmp_path: Path) -> None:
    dense(tied=True).bfloat16().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(load_file(file) | LEFTOVERS, file, {"format": "pt"})
    base = Checkpoint(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    found = BaseNames(model, base).of(model.state_dict())
    assert sorted(names_in_model(base, False).untrained) == sorted(LEFTOVERS)
    assert all(torch.equal(found[name], tensor) for name, tensor in LEFTOVERS.items())


def test_a_model_with_more_than_the_base_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    dense(tied=False).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    kept = {name: t for name, t in load_file(file).items() if name != "lm_head.weight"}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"makes of the base: has lm_head\.weight, which"):
        names_in_model(Checkpoint(tmp_path), False)


def test_a_base_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    dense(tied=True).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "resnet"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="transformers makes no causal language model of it"):
        names_in_model(Checkpoint(tmp_path), False)
