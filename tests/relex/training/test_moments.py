"""Adam's moments go from one training to the next: a training in two parts is one in one part."""

from pathlib import Path

import pytest
import torch

from relex.checkpoints import TensorFile
from relex.storage.folder import FolderStore
from relex.training.moments import FILE, put_moments, write_moments

NAMES = ("model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight", "norm")


class Model:
    """Parameters by the names that models have, the last of them frozen."""

    def __init__(self, values=None) -> None:
        rng = torch.Generator().manual_seed(0)
        values = values or {name: torch.randn(4, 3, generator=rng) for name in NAMES}
        self.parameters = {name: torch.nn.Parameter(w.clone()) for name, w in values.items()}

    def named_parameters(self):
        return self.parameters.items()

    @property
    def values(self):
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}


def optimizer_of(model):
    trained = [model.parameters[name] for name in NAMES[:2]]
    return torch.optim.AdamW(trained, lr=0.1, weight_decay=0.01)


def train(model, optimizer, steps):
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        for name in NAMES[:2]:
            model.parameters[name].grad = torch.randn(4, 3, generator=rng)
        optimizer.step()


def half(folder: Path):
    """A model after three steps, and the file of its moments."""
    model = Model()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(3))
    write_moments(folder / FILE, model, optimizer)
    return model, TensorFile(FolderStore(folder), FILE)


def go_on(model, file, reset):
    optimizer = optimizer_of(model)
    if file is not None:
        put_moments(model, optimizer, file, reset)
    train(model, optimizer, range(3, 6))
    return model.values


def test_a_training_in_two_parts_is_one_in_one_part(tmp_path):
    whole = Model()
    train(whole, optimizer_of(whole), range(6))
    model, file = half(tmp_path)
    assert {name.rpartition(".")[0] for name in file.tensors} == set(NAMES[:2])
    found = go_on(model, file, reset=None)
    assert all(torch.equal(found[name], value) for name, value in whole.values.items())


@pytest.mark.parametrize(("part", "kept"), [("0.mlp", NAMES[1]), ("1", NAMES[0])])
def test_only_the_tensors_of_the_part_begin_without(part, kept, tmp_path):
    model, file = half(tmp_path)
    start = model.values
    found = go_on(model, file, reset=part)
    with_all = go_on(Model(start), file, reset=None)
    without = go_on(Model(start), None, reset=None)
    for name in NAMES[:2]:
        assert torch.equal(found[name], (with_all if name == kept else without)[name])
        assert not torch.equal(with_all[name], without[name])
