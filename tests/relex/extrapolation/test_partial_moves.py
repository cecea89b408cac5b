"""Where a part of the tensors moves, all others have the newest snapshot's bits."""

import pytest
import torch

from relex.checkpoints import Checkpoint
from relex.errors import FactorsError, InputError
from relex.extrapolation import find_method, open_factors, predict_tensors, write_predictions
from relex.parts import find_part

NAMES = (
    "model.embed_tokens.weight",
    "model.layers.0.input_layernorm.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight",
)
MLPS = {name for name in NAMES if ".mlp." in name}
STEPS = (1, 2, 4, 7)
METHODS = ("line", "secant", "secant-gap3", "shrunk")
Tensors = dict[str, torch.Tensor]


def drawn(seed: int, scale: float) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(6, 5, generator=generator) for name in NAMES}


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def trained(lab, request):
    """Factors, base, and the newest snapshot; the last norm never moves."""
    start, way = drawn(0, 1.0), drawn(1, 0.01)
    snapshots = {
        step: {
            name: (start[name] + (name != NAMES[-1]) * (step * way[name] + noise)).to(request.param)
            for name, noise in drawn(step + 10, 0.003).items()
        }
        for step in STEPS
    }
    base = lab.base({name: tensor.to(request.param) for name, tensor in start.items()})
    return lab.fit(snapshots, base, methods=METHODS), base, snapshots[STEPS[-1]]


def predicted(trained, method: str, part: str) -> Tensors:
    factors, base, _ = trained
    return dict(predict_tensors(factors, base, 20, find_method(method), part=find_part(part)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("part", "members"), [("mlp", MLPS), ("1", set(NAMES[4:6]))])
def test_what_is_in_the_part_moves_as_with_all_and_the_rest_is_the_newest_snapshot(
    trained, method, part, members
) -> None:
    some, everything = predicted(trained, method, part), predicted(trained, method, "")
    for name in NAMES:
        expected = everything[name] if name in members else trained[2][name]
        assert torch.equal(some[name], expected), name
        assert name not in members or not torch.equal(some[name], trained[2][name])


def test_what_parts_that_share_nothing_move_adds_up_to_what_all_move(trained) -> None:
    newest = trained[2]
    parts = [predicted(trained, "secant", part) for part in ("0", "1", "embeddings")]
    everything = predicted(trained, "secant", "")
    for name in NAMES:
        moved = sum(part[name].double() - newest[name].double() for part in parts)
        assert torch.equal(moved, everything[name].double() - newest[name].double())


def test_written_checkpoints_have_the_same_bits(trained, tmp_path) -> None:
    factors, base, _ = trained
    folders = {step: tmp_path / f"{step}" for step in (20, 90)}
    write_predictions(factors, base, folders, find_method("secant"), part=find_part("1.mlp"))
    for step, folder in folders.items():
        expected = predict_tensors(
            factors, base, step, find_method("secant"), part=find_part("1.mlp")
        )
        written = Checkpoint(folder)
        assert all(torch.equal(written.read_tensor(name), tensor) for name, tensor in expected)


def test_a_fit_that_kept_no_newest_snapshot_is_refused(trained, lab) -> None:
    _, base, _ = trained
    bare = lab.fit({step: drawn(step, 1.0) for step in STEPS}, base, methods=("line",))
    with pytest.raises(FactorsError, match=r"part mlp: .* stays at step 7, .* --method secant"):
        predict_tensors(bare, base, 9, part=find_part("mlp"))
    assert predict_tensors(open_factors(bare.folder), base, 9)


def test_a_part_that_the_base_lacks_is_refused(trained) -> None:
    with pytest.raises(InputError, match="part 2: the base has no such tensor; it has 2 layers"):
        predicted(trained, "secant", "2")
