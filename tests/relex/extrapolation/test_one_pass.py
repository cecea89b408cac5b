"""One pass over the window, whatever the threads and devices; its identity is taken in it."""

from pathlib import Path

import pytest
import torch

from relex.card import CARD
from relex.checkpoints import Checkpoint
from relex.errors import FactorsError, InputError
from relex.extrapolation import (
    fit,
    fit_factors,
    open_factors,
    piece_threads,
    predict_tensors,
    write_predictions,
)
from relex.extrapolation.displacements import PieceReader
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from relex.storage.manifest import MANIFEST
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
TARGETS = (20, 50)


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(GOLDEN / "base")


@pytest.fixture(scope="module")
def written(base, tmp_path_factory) -> Path:
    """Factors of rank 2 and two checkpoints."""
    out = tmp_path_factory.mktemp("written")
    factors = fit_factors(
        open_window(str(GOLDEN / "steps")), base, out / "factors", rank=2, device="cpu"
    )
    write_predictions(factors, base, {target: out / f"step_{target}" for target in TARGETS})
    return out


@pytest.mark.parametrize("target", TARGETS)
def test_a_written_checkpoint_is_the_prediction_of_its_factors(base, written, target) -> None:
    found = Checkpoint(written / f"step_{target}")
    for name, tensor in predict_tensors(open_factors(written / "factors"), base, target):
        assert torch.equal(found.read_tensor(name), tensor)


def test_a_written_checkpoint_has_the_files_of_the_base_a_card_and_a_manifest(written) -> None:
    expected = {path.name for path in (GOLDEN / "base").iterdir()} | {CARD, MANIFEST}
    assert {path.name for path in (written / "step_20").iterdir()} == expected


def test_a_target_inside_the_window_or_a_folder_that_exists_leaves_nothing(
    base, written, tmp_path
) -> None:
    factors = open_factors(written / "factors")
    with pytest.raises(FactorsError, match="step 12 is not beyond the window"):
        write_predictions(factors, base, {12: tmp_path / "out"})
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there: exists already"):
        write_predictions(factors, base, {20: tmp_path / "out", 50: tmp_path / "there"})
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_digest_of_a_plain_folder_is_taken_while_it_is_fitted(
    base, tmp_path, monkeypatch
) -> None:
    fitted = open_window(str(GOLDEN / "steps"))
    fit_factors(fitted, base, tmp_path / "factors", device="cpu")
    monkeypatch.setattr(fitted, "read", None)
    assert fitted.digest() == open_window(str(GOLDEN / "steps")).digest()


def test_the_digest_of_some_steps_does_not_depend_on_the_others(lab) -> None:
    start = {"w": torch.zeros(10)}
    few = lab.window({s: {"w": start["w"] + s} for s in (1, 2)})
    window = open_window(str(lab.save(few)))
    digest = window.digest((1, 2))
    lab.save(lab.window({3: {"w": start["w"] + 3}}))
    more = open_window(window.where)
    assert more.digest((1, 2)) == digest
    assert more.digest() != digest


def test_the_digest_of_a_plain_folder_sees_one_changed_bit(lab) -> None:
    window = open_window(str(lab.save(lab.window({1: {"w": torch.zeros(300_000)}}))))
    digest = window.digest()
    path = Path(window.where) / "step_1" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert open_window(window.where).digest() != digest


def test_bits_do_not_depend_on_the_number_of_threads(lab, monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    start = {"w": torch.randn(700_001, generator=generator)}
    snapshots = {
        s: {"w": start["w"] + 1e-3 * torch.randn(700_001, generator=generator)} for s in (1, 2, 3)
    }
    base = lab.base(start)
    many = lab.fit(snapshots, base)
    monkeypatch.setattr(piece_threads, "LEAST_THREADS", 1)
    monkeypatch.setattr(piece_threads, "num_cores", lambda: 1)
    one = lab.fit(snapshots, base)
    for name in (TABLE_FILE, BASIS_FILE):
        assert (many.folder / name).read_bytes() == (one.folder / name).read_bytes()


def test_bits_do_not_depend_on_the_number_of_devices(lab, monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = {"a": 700_001, "b": 10, "c": 300_000, "d": 600_000}
    start = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    snapshots = {
        s: {n: t + 1e-3 * torch.randn(len(t), generator=generator) for n, t in start.items()}
        for s in (1, 2, 3)
    }
    base = lab.base(start)
    one = lab.fit(snapshots, base)
    # The CPU twice: devices take turns by tensors, and "a" fits in no device's budget.
    monkeypatch.setattr(fit, "resolve_devices", lambda device: [torch.device("cpu")] * 2)
    two = lab.fit(snapshots, base, memory_bytes=60_000_000)
    for name in (TABLE_FILE, BASIS_FILE):
        assert (two.folder / name).read_bytes() == (one.folder / name).read_bytes()


def test_what_threads_need_for_themselves_is_in_the_budget(lab, monkeypatch) -> None:
    """So a machine with many cores takes no more memory than it may."""
    monkeypatch.setattr(piece_threads, "num_cores", lambda: 1000)
    start = {"w": torch.ones(10)}
    window, base = lab.window({s: {"w": start["w"] + s} for s in (1, 2)}), lab.base(start)
    reader, budget = PieceReader(window, base, (1, 2)), 500_000_000
    threads = piece_threads.PieceThreads(reader, [torch.device("cpu")], budget)
    of_threads = threads.num_threads * reader.thread_bytes(torch.device("cpu"))
    assert budget / 3 < of_threads <= budget / 2
    of_pieces = threads.num_buffers * reader.buffer_bytes
    assert budget * 0.9 < of_threads + of_pieces <= budget


def test_the_number_of_torch_threads_is_what_it_was(lab) -> None:
    before = torch.get_num_threads()
    lab.fit(
        {s: {"w": torch.full((10,), float(s))} for s in (1, 2)}, lab.base({"w": torch.ones(10)})
    )
    assert torch.get_num_threads() == before


def test_an_empty_tensor_passes_through(lab) -> None:
    start = {"w": torch.ones(10), "nothing": torch.zeros(0, 3)}
    base = lab.base(start)
    snapshots = {s: {"w": start["w"] + s, "nothing": start["nothing"]} for s in (1, 2)}
    predicted = dict(predict_tensors(lab.fit(snapshots, base), base, 9))
    assert predicted["nothing"].shape == (0, 3)
