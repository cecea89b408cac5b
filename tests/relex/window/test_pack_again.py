"""Packing into a window that is there: the same run goes on, everything else is refused."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.errors import UploadError, WindowError
from relex.storage import open_store
from relex.storage.manifest import MANIFEST
from relex.window import open_source, open_window, pack
from relex.window.sources import FolderSource
from tests.snapshots import READS_IN_PLACE, folder_source

STEPS = (1, 2, 4)
PRECISIONS = ("exact", "float32", "bfloat16", "rounded")
MADE_OF_ANOTHER = "holds a window whose step {step} was made of another snapshot than that of"


class Interrupted(FolderSource):
    """A source whose checkpoints from some step on cannot be read."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder, READS_IN_PLACE)
        self._first_unreadable = step

    def open(self, step: int):
        if step >= self._first_unreadable:
            raise UploadError("gone")
        return super().open(step)


def begin(run: Path, base: Checkpoint, store, num_steps: int, precision: str = "exact") -> None:
    """Pack the first steps of a run, as if it had been interrupted."""
    if num_steps == len(STEPS):
        pack(folder_source(run), base, store, precision=precision)
        return
    with pytest.raises(UploadError):
        pack(Interrupted(run, STEPS[num_steps]), base, store, precision=precision)


def objects(store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}


@pytest.fixture
def runs(tmp_path, checkpoints, tensors):
    """Two runs of the same base and steps; of the second, only the given steps differ."""

    def write(different_steps: tuple[int, ...]) -> tuple[Path, Path]:
        both = [{f"step_{step}": tensors(step) for step in STEPS} for _ in range(2)]
        for step in different_steps:
            both[1][f"step_{step}"]["b.weight"][-1] += 1
        folders = []
        for name, by_name in zip(("a", "b"), both, strict=True):
            checkpoints(by_name).rename(tmp_path / name)
            folders.append(tmp_path / name)
        return folders[0], folders[1]

    return write


SUBSETS = [s for n in range(1, 4) for s in itertools.combinations(STEPS, n)]


@pytest.mark.parametrize("num_packed", [1, 2, 3])
@pytest.mark.parametrize("different_steps", SUBSETS, ids=str)
def test_one_element_of_a_packed_step_is_enough_to_refuse_another_run(
    request, runs, base, store, num_packed, different_steps
):
    """And where only steps that are still missing differ, the window is of both: it goes on."""
    run_a, run_b = runs(different_steps)
    begin(run_a, base, store, num_packed)
    packed_and_different = sorted(set(STEPS[:num_packed]) & set(different_steps))
    if packed_and_different:
        before = objects(store)
        message = MADE_OF_ANOTHER.format(step=packed_and_different[0])
        with pytest.raises(WindowError, match=message):
            pack(folder_source(run_b), base, store)
        assert objects(store) == before
        pack(folder_source(run_a), base, store)
    else:
        pack(folder_source(run_b), base, store)
    connection = request.getfixturevalue("s3").connection if "s3://" in store.uri else None
    window = open_window(store.uri, connection, base)
    expected = open_window(str(run_a if packed_and_different else run_b))
    for step, name in itertools.product(STEPS, window.tensors):
        assert torch.equal(window.read(step, name), expected.read(step, name))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("num_packed", [0, 1, 2, 3])
def test_the_same_run_goes_on_to_the_bytes_of_an_uninterrupted_one(
    runs, base, tmp_path, precision, num_packed
):
    run, _ = runs(STEPS)
    whole, again = (open_store(str(tmp_path / name)) for name in ("whole", "again"))
    pack(folder_source(run), base, whole, precision=precision)
    begin(run, base, again, num_packed, precision)
    pack(folder_source(run), base, again, precision=precision)
    steps = [key for key in whole.list() if key != MANIFEST]
    assert [again.get(key) for key in steps] == [whole.get(key) for key in steps]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_a_precision_would_round_away_is_another_snapshot_too(runs, base, tmp_path, precision):
    run_a, run_b = runs(STEPS)
    store = open_store(str(tmp_path / "window"))
    begin(run_a, base, store, 1, precision)
    with pytest.raises(WindowError, match=MADE_OF_ANOTHER.format(step=1)):
        pack(folder_source(run_b), base, store, precision=precision)


def test_the_same_run_goes_on_from_wherever_it_lies(runs, base, tmp_path, s3):
    """The address does not count, and neither does the sharding."""
    run, _ = runs(STEPS)
    for path in run.rglob("*.safetensors"):
        s3.store("run").put_file(path.relative_to(run).as_posix(), path)
    source = open_source(f"{s3.uri}/run", s3.connection, tmp_path)
    store = open_store(str(tmp_path / "window"))
    begin(run, base, store, 2)
    assert pack(source, base, store) == STEPS
    assert pack(folder_source(run), base, store) == STEPS


def test_a_window_of_more_or_fewer_steps_is_refused(checkpoints, runs, base, store, tensors):
    run, _ = runs(STEPS)
    pack(folder_source(run), base, store)
    before = objects(store)
    longer = checkpoints({f"step_{step}": tensors(step) for step in (*STEPS, 8)})
    with pytest.raises(WindowError, match="holds a window of another plan of steps"):
        pack(folder_source(longer), base, store)
    assert objects(store) == before


@pytest.mark.parametrize("num_packed", [1, 3])
def test_a_refused_pack_does_not_take_the_window_from_its_writer(
    runs, base, tmp_path, num_packed, snapshot
):
    run_a, run_b = runs(STEPS)
    store = open_store(str(tmp_path / "window"))
    begin(run_a, base, store, num_packed)
    manifest = store.get(MANIFEST)
    with pytest.raises(WindowError):
        pack(folder_source(run_b), base, store)
    assert store.get(MANIFEST) == manifest


KILLED = """
import os, signal, sys
from pathlib import Path
from relex.checkpoints import Checkpoint
from relex.storage import open_store
from relex.window import pack
from relex.window.sources import FolderSource
from relex.window.trainers import KNOWN_NAMES, CheckpointOpener

class Killed(FolderSource):
    def open(self, step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(step)

run, base, window = sys.argv[1:]
opener = CheckpointOpener(KNOWN_NAMES, Path(run) / 'work')
pack(Killed(Path(run), opener), Checkpoint(Path(base)), open_store(window))
"""


def test_after_a_kill_another_run_is_refused_and_the_same_goes_on(runs, base, tmp_path):
    run_a, run_b = runs((1,))
    store = open_store(str(tmp_path / "window"))
    command = [sys.executable, "-c", KILLED, run_a, base.folder, store.uri]
    assert subprocess.run(list(map(str, command))).returncode < 0
    with pytest.raises(WindowError, match=MADE_OF_ANOTHER.format(step=1)):
        pack(folder_source(run_b), base, store)
    assert pack(folder_source(run_a), base, store) == STEPS
    assert torch.equal(
        open_window(store.uri, base=base).read(4, "a.weight"),
        open_window(str(run_a)).read(4, "a.weight"),
    )


def test_files_of_no_window_are_not_written_over(runs, base, store):
    run, _ = runs(STEPS)
    store.put("steps/step_000002.safetensors", b"mine")
    with pytest.raises(WindowError, match=r"holds no window, but steps/step_000002\.safetensors"):
        pack(folder_source(run), base, store)
    assert objects(store) == {"steps/step_000002.safetensors": b"mine"}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8])
def test_a_quantised_base_is_refused_before_anything_is_written(runs, tmp_path, tensors, dtype):
    run, _ = runs(STEPS)
    (tmp_path / "quantised").mkdir()
    weights = tensors(0) | {"a.weight": tensors(0)["a.weight"].to(dtype)}
    save_file(weights, tmp_path / "quantised/model.safetensors")
    store = open_store(str(tmp_path / "window"))
    with pytest.raises(WindowError, match=r"quantised: a\.weight is .*the weights are quantised"):
        pack(folder_source(run), Checkpoint(tmp_path / "quantised"), store)
    assert store.list() == []
