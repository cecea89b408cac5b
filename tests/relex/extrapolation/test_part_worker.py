"""A part of a fit as a node does it: what all publish, joined, is the fit of one machine."""

from pathlib import Path

import pytest

from relex.checkpoints import Checkpoint
from relex.errors import CheckpointError, InputError
from relex.extrapolation import KIND, fit_factors, fit_inputs, merge_factors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from relex.extrapolation.part_worker import PartJob, fit_part
from relex.storage import S3Connection, open_store
from relex.storage.manifest import fetch_folder, finished_manifest
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
METHODS = ("line", "secant")
PARTS = [(1, 3), (2, 3), (3, 3)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def job(out: Path, part: tuple[int, int], **changes: object) -> PartJob:
    return PartJob.model_validate(
        {
            "window": str(GOLDEN / "steps"),
            "connection": S3Connection(),
            "base": str(GOLDEN / "base"),
            "base_digest": Checkpoint(GOLDEN / "base").digest(),
            "out": str(out / str(part[0])),
            "methods": METHODS,
            "part": part,
            "memory_bytes": None,
            "device": "cpu",
            **changes,
        }
    )


def test_what_nodes_publish_joined_is_the_fit_of_one_machine(tmp_path: Path, home: Path) -> None:
    base, window = Checkpoint(GOLDEN / "base"), open_window(str(GOLDEN / "steps"))
    whole = fit_factors(window, base, tmp_path / "whole", methods=METHODS, device="cpu")
    folders = []
    for part in PARTS:
        asked = job(tmp_path / "published", part)
        fit_part(asked)
        store = open_store(asked.out)
        inputs = fit_inputs(window, base, window.steps, methods=METHODS, part=part)
        assert finished_manifest(store, KIND, inputs) is not None
        folders.append(tmp_path / "fetched" / str(part[0]))
        fetch_folder(store, folders[-1], KIND)
    joined = merge_factors(folders, tmp_path / "joined")
    for name in (TABLE_FILE, BASIS_FILE):
        assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert [path for path in home.rglob("*") if path.name in (TABLE_FILE, BASIS_FILE)] == []


def test_a_node_with_another_base_fits_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is another base than the run's"):
        fit_part(job(tmp_path / "published", PARTS[0], base_digest="0" * 64))
    assert not (tmp_path / "published").exists()


def test_a_node_without_the_window_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        fit_part(job(tmp_path / "published", PARTS[0], window="/nowhere"))
