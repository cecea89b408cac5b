from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.candidates import BASE, Candidate
from relex.checkpoints import Checkpoint
from relex.errors import FactorsError, InputError, WindowError
from relex.evaluation.weight_source import CandidateWeights, WeightSource
from relex.extrapolation import fit_factors
from relex.window import open_window

START = {"b": torch.zeros(2, 2).bfloat16(), "a": torch.ones(3).bfloat16()}


def save(folder: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def source(tmp_path: Path) -> WeightSource:
    """A bfloat16 base and a float32 window that moves by 1 a step."""
    base = save(tmp_path / "base", START)
    for step in (1, 2, 3):
        moved = {name: tensor.float() + step for name, tensor in START.items()}
        save(tmp_path / "window" / f"checkpoint-{step}", moved)
    window = open_window(str(tmp_path / "window"))
    fit_factors(window, Checkpoint(base), tmp_path / "factors", device="cpu")
    return WeightSource(
        base=str(base), window=str(tmp_path / "window"), factors=str(tmp_path / "factors")
    )


@pytest.mark.parametrize(
    ("candidate", "moved"),
    [
        (BASE, 0),
        (Candidate(step=2), 2),
        (Candidate(step=10, method="line"), 10),
    ],
)
def test_every_kind_of_candidate_has_its_weights(source, candidate, moved) -> None:
    found = dict(CandidateWeights(source).tensors(candidate))
    for name, tensor in START.items():
        assert torch.allclose(found[name].float(), tensor.float() + moved, rtol=1e-2)


@pytest.mark.parametrize(
    "candidate",
    [BASE, Candidate(step=3), Candidate(step=4, method="line")],
)
def test_names_order_shapes_and_dtypes_are_the_base_s(source, candidate) -> None:
    found = list(CandidateWeights(source).tensors(candidate))
    expected = Checkpoint(Path(source.base)).tensors
    assert [name for name, _ in found] == list(expected)
    assert [(tuple(t.shape), t.dtype) for _, t in found] == [
        (info.shape, info.dtype) for info in expected.values()
    ]


def test_one_opened_source_serves_many_candidates(source) -> None:
    weights = CandidateWeights(source)
    steps = [Candidate(step=step, method="line") for step in (4, 5, 4)]
    first, _, again = (dict(weights.tensors(candidate)) for candidate in steps)
    assert all(torch.equal(first[name], again[name]) for name in START)


def test_a_step_that_the_window_lacks_is_refused(source) -> None:
    with pytest.raises(WindowError, match="has no step 7; it holds 3 steps from 1 to 3"):
        CandidateWeights(source).tensors(Candidate(step=7))


def test_a_target_inside_the_window_is_refused(source) -> None:
    with pytest.raises(FactorsError, match="step 3 is not beyond the window"):
        CandidateWeights(source).tensors(Candidate(step=3, method="line"))


def test_a_window_of_another_base_is_refused(source, tmp_path: Path) -> None:
    other = save(tmp_path / "other", {"a": START["a"]})
    weights = CandidateWeights(source.model_copy(update={"base": str(other)}))
    with pytest.raises(WindowError, match="has b, which the base lacks"):
        weights.tensors(Candidate(step=1))


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [("", WindowError, "needs a window"), ("line", FactorsError, "needs factors")],
)
def test_what_the_source_lacks_is_named(source, method, error, message) -> None:
    weights = CandidateWeights(WeightSource(base=source.base))
    with pytest.raises(error, match=message):
        weights.tensors(Candidate(step=9, method=method))


@pytest.mark.parametrize("method", ["line", "anchored", "secant", "scaled_first", "shrunk"])
def test_what_a_method_makes_needs_no_window(source, method) -> None:
    weights = CandidateWeights(source.model_copy(update={"window": ""}))
    found = dict(weights.tensors(Candidate(step=9, method=method)))
    assert found.keys() == START.keys()
    assert any(not torch.equal(found[name], START[name]) for name in START)


def test_what_is_outside_of_a_part_is_the_newest_snapshot(source, tmp_path: Path) -> None:
    names = ("model.layers.0.mlp.up.weight", "lm_head.weight")
    base = save(tmp_path / "layers" / "base", {name: torch.ones(3) for name in names})
    for step in (1, 2):
        moved = {name: torch.full((3,), 1.0 + step) for name in names}
        save(tmp_path / "layers" / "window" / f"checkpoint-{step}", moved)
    window = open_window(str(tmp_path / "layers" / "window"))
    fit_factors(window, Checkpoint(base), tmp_path / "layers" / "factors", device="cpu")
    weights = CandidateWeights(
        WeightSource(base=str(base), factors=str(tmp_path / "layers" / "factors"))
    )
    found = dict(weights.tensors(Candidate(step=9, method="secant", part="mlp")))
    assert [found[name].tolist() for name in names] == [[10.0] * 3, [3.0] * 3]
    with pytest.raises(InputError, match="part 1: the base has no such tensor; it has 1 layers"):
        weights.tensors(Candidate(step=9, method="secant", part="1"))


def test_a_method_that_is_not_there_is_named(source) -> None:
    with pytest.raises(InputError, match="method ray: is not built in"):
        CandidateWeights(source).tensors(Candidate(step=9, method="ray"))
