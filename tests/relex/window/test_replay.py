"""Windows replay to what was appended, whatever the precision and wherever the anchors are."""

from dataclasses import replace

import pytest
import torch

from relex.checkpoints import Checkpoint
from relex.digests import sha256_bytes
from relex.errors import WindowError
from relex.extrapolation import fit_factors
from relex.storage import open_store
from relex.window import check_window, open_window, open_writer
from relex.window.layout import read_window_manifest, step_key, write_window_manifest
from tests.snapshots import TensorsAtHand

STEPS = (1, 2, 4, 5, 9)


@pytest.fixture(params=[2, 3, 100], ids="anchor every {}".format)
def window(request, tmp_path, base, fill):
    fill(open_store(str(tmp_path / "window")), STEPS, "float32", request.param)
    return open_window(str(tmp_path / "window"), base=base)


@pytest.mark.parametrize("wanted", [STEPS, (2, 5), (9,)], ids=str)
def test_rows_are_the_snapshots_of_the_steps_asked_for(window, tensors, wanted):
    for step, row in zip(wanted, window.rows("a.weight", 3, 11, wanted), strict=True):
        assert torch.equal(row, tensors(step)["a.weight"].view(-1)[3:11])


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("relex.window.codec.delta_writer.BLOCK_ELEMENTS", 4)


@pytest.mark.parametrize("span", [(0, 15), (4, 12), (12, 15)], ids=str)
def test_what_moved_and_the_base_together_are_the_rows(small_blocks, window, base, span):
    steps = (2, 5, 9)
    start_N = base.read("a.weight", *span)
    moved = window.read_moved(steps, "a.weight", span[0], start_N)
    value_SM = torch.empty(len(steps), len(moved.position_M))
    moved.fill(value_SM)
    rows = start_N.float().repeat(len(steps), 1)
    rows[:, moved.position_M] = value_SM
    expected = torch.empty_like(rows)
    window.read_rows(steps, "a.weight", span[0], expected)
    assert torch.equal(rows, expected)


def test_elements_that_never_change_are_not_read(tmp_path, base, fill, snapshot):
    store = open_store(str(tmp_path / "still"))
    writer = open_writer(store, base, "bfloat16", (1, 2))
    for step in (1, 2):
        moved = base.read_tensor("a.weight").clone()
        moved[0, step] += step
        writer.append(
            step, TensorsAtHand({"a.weight": moved, "b.weight": base.read_tensor("b.weight")})
        )
    window = open_window(str(tmp_path / "still"), base=base)
    assert window.is_sparse
    moved = window.read_moved((1, 2), "a.weight", 0, base.read("a.weight"))
    assert moved.position_M.tolist() == [1, 2]
    value_SM = torch.empty(2, 2, dtype=torch.bfloat16)
    moved.fill(value_SM)
    assert torch.equal(value_SM[1], window.read(2, "a.weight")[[1, 2]])
    start_N = base.read("b.weight")
    assert len(window.read_moved((1, 2), "b.weight", 0, start_N).position_M) == 0


def read_step(window, base):
    window.read(2, "a.weight")


def read_rows(window, base):
    window.read_rows((1, 2, 3), "a.weight", 0, torch.empty(3, 15, dtype=torch.bfloat16))


def read_moved(window, base):
    moved = window.read_moved((1, 2, 3), "a.weight", 0, base.read("a.weight"))
    moved.fill(torch.empty(3, len(moved.position_M), dtype=torch.bfloat16))


@pytest.mark.parametrize("read", [read_step, read_rows, read_moved])
@pytest.mark.parametrize("anchor_every_steps", [100, 3], ids=["to the end", "to an anchor"])
def test_a_step_exchanged_for_another_valid_one_is_an_error_and_never_drift(
    tmp_path, base, read, anchor_every_steps
):
    """Where later steps change nothing, only the checksums of what they leave can tell."""
    stores = [open_store(str(tmp_path / name)) for name in ("window", "other")]
    manifests = []
    for store, position in zip(stores, (0, 1), strict=True):
        writer = open_writer(store, base, "bfloat16", (1, 2, 3), anchor_every_steps)
        weights = {name: base.read_tensor(name) for name in base.tensors}
        for step in (1, 2, 3):
            weights = {name: tensor.clone() for name, tensor in weights.items()}
            weights["a.weight"].view(-1)[position if step == 1 else 10 + step] += 1
            writer.append(step, TensorsAtHand(weights))
        manifests.append(read_window_manifest(store))
    key = step_key(1)
    stores[0].put(key, stores[1].get(key))
    files = {**manifests[0].files, key: manifests[1].files[key]}
    write_window_manifest(stores[0], replace(manifests[0], files=files))
    window = open_window(stores[0].uri, base=base)
    with pytest.raises(WindowError, match=r"a\.weight: does not follow from the steps before"):
        read(window, base)


def test_float32_windows_are_read_by_rows(window):
    assert not window.is_sparse


def test_an_empty_span_has_empty_rows(window):
    assert [row.numel() for row in window.rows("a.weight", 4, 4, STEPS)] == [0] * len(STEPS)


def test_a_window_continued_by_another_writer_replays_as_one(store, base, snapshot, request):
    open_writer(store, base, "bfloat16", (1, 2)).append(1, snapshot(1, torch.bfloat16))
    open_writer(store, base, "bfloat16", (1, 2)).append(2, snapshot(2, torch.bfloat16))
    connection = request.getfixturevalue("s3").connection if "s3://" in store.uri else None
    window = open_window(store.uri, connection, base)
    for step in (1, 2):
        for name, info in window.tensors.items():
            expected = snapshot(step, torch.bfloat16).read(name)
            assert torch.equal(window.read(step, name), expected)
            assert info.dtype == torch.bfloat16


def test_a_window_without_its_base_is_listed_but_not_read(tmp_path, fill):
    fill(open_store(str(tmp_path / "window")))
    window = open_window(str(tmp_path / "window"))
    assert window.steps == (1, 2, 4)
    with pytest.raises(WindowError, match="step 1 is stored as what changed since the base; give"):
        window.read(2, "a.weight")


def test_an_anchor_is_read_without_the_base(tmp_path, fill, tensors):
    fill(open_store(str(tmp_path / "window")), anchor_every_steps=2)
    window = open_window(str(tmp_path / "window"))
    assert torch.equal(window.read(4, "b.weight"), tensors(4)["b.weight"])


def test_the_wrong_base_is_refused(tmp_path, fill, checkpoints, tensors):
    fill(open_store(str(tmp_path / "window")))
    other = Checkpoint(checkpoints({"other": tensors(9)}) / "other")
    with pytest.raises(WindowError, match=r"was made from another base than .*other"):
        open_window(str(tmp_path / "window"), base=other)


def test_an_exact_window_keeps_every_dtype(tmp_path, base, tensors):
    mixed = {"a.weight": tensors(1)["a.weight"].half(), "b.weight": tensors(1)["b.weight"].double()}
    store = open_store(str(tmp_path / "window"))
    open_writer(store, base, "exact", (1,)).append(1, TensorsAtHand(mixed))
    window = open_window(store.uri, base=base)
    for name, expected in mixed.items():
        assert window.read(1, name).dtype == expected.dtype
        assert torch.equal(window.read(1, name), expected.view(-1))


@pytest.mark.parametrize("position", [10, -1], ids=["header", "weights"])
def test_a_damaged_file_is_named_with_step_and_both_digests(tmp_path, base, fill, position):
    fill(open_store(str(tmp_path / "window")))
    path = tmp_path / "window/steps/step_000002.safetensors"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1
    path.write_bytes(damaged)
    finding = (
        f"window: step 2: steps/step_000002.safetensors is damaged: expected sha256 "
        f"{sha256_bytes(whole)}, found {sha256_bytes(bytes(damaged))}"
    )
    with pytest.raises(WindowError, match=finding):
        check_window(str(tmp_path / "window"), base=base, quick=True)


def test_quick_verification_reads_no_weights(tmp_path, fill):
    fill(open_store(str(tmp_path / "window")))
    path = tmp_path / "window/steps/step_000002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert check_window(str(tmp_path / "window"), quick=True) == 3


def test_the_fit_refuses_a_damaged_window(tmp_path, base, fill):
    fill(open_store(str(tmp_path / "window")))
    path = tmp_path / "window/steps/step_000004.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    window = open_window(str(tmp_path / "window"), base=base)
    with pytest.raises(WindowError, match=r"step 4: .* is damaged: expected sha256 .*, found"):
        fit_factors(window, base, tmp_path / "factors", device="cpu")
    assert not (tmp_path / "factors").exists()


@pytest.mark.parametrize("last", STEPS)
def test_any_prefix_of_a_window_replays(tmp_path, base, fill, tensors, last):
    writer = fill(open_store(str(tmp_path / "window")), STEPS, "float32", 3)
    writer.drop_after(last)
    window = open_window(str(tmp_path / "window"), base=base)
    assert check_window(window.where, base=base) == len(window.steps)
    assert torch.equal(window.read(last, "b.weight"), tensors(last)["b.weight"])
