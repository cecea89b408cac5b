"""What nodes share while they train: whole checkpoints only, whenever a node dies."""

from pathlib import Path
from typing import Any

import pytest

from relex.storage.folder import FolderStore
from relex.training.job import TrainingJob
from relex.training.rolling import MARK, newest_checkpoint
from relex.training.shared import SharedPlace, shared_place
from tests.relex.training.test_process import small_recipe

FILES = {0: {"model-0": b"rows 0", "rng/0": b"state 0"}, 1: {"model-1": b"rows 1"}}
"""What each node writes of a checkpoint."""


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    return TrainingJob(
        recipe=small_recipe(), base="toy", window="", shared=str(tmp_path / "shared"), work=""
    )


def node(job: TrainingJob, tmp_path: Path, number: int) -> tuple[SharedPlace, Path]:
    """The place as a node sees it, and where its checkpoints are."""
    its = job.model_copy(update={"work": str(tmp_path / f"node-{number}")})
    return SharedPlace(its), its.checkpoints


def written(root: Path, step: int, files: dict[str, bytes]) -> Path:
    folder = root / f"checkpoint-{step}"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + str(step).encode())
    return folder


def give(job: TrainingJob, tmp_path: Path, step: int) -> None:
    """Both nodes give what they wrote; nothing is marked yet."""
    for number, files in FILES.items():
        place, checkpoints = node(job, tmp_path, number)
        place.give_checkpoint(written(checkpoints, step, files))


def mark(job: TrainingJob, tmp_path: Path, step: int) -> None:
    place, checkpoints = node(job, tmp_path, 0)
    place.mark_whole(checkpoints / f"checkpoint-{step}")


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def whole(step: int) -> dict[str, bytes]:
    files = {
        name: its + str(step).encode() for each in FILES.values() for name, its in each.items()
    }
    return {**files, MARK: b""}


def taken(job: TrainingJob, tmp_path: Path) -> Path | None:
    """The newest checkpoint of a new node, once it has taken what is shared."""
    place, checkpoints = node(job, tmp_path, 2)
    place.take_checkpoint()
    return newest_checkpoint(checkpoints)


def test_a_job_of_one_machine_shares_nothing(job: TrainingJob) -> None:
    assert shared_place(job.model_copy(update={"shared": ""})) is None
    assert shared_place(job) is not None


def test_another_node_takes_what_all_wrote_in_place_of_its_own(job, tmp_path: Path) -> None:
    give(job, tmp_path, 10)
    mark(job, tmp_path, 10)
    own = written(node(job, tmp_path, 2)[1], 99, {MARK: b""})
    newest = taken(job, tmp_path)
    assert newest is not None and newest.name == "checkpoint-10"
    assert content(newest) == whole(10)
    assert not own.exists()


def test_what_is_not_marked_is_not_taken(job, tmp_path: Path) -> None:
    give(job, tmp_path, 10)
    assert taken(job, tmp_path) is None
    mark(job, tmp_path, 10)
    give(job, tmp_path, 20)
    newest = taken(job, tmp_path)
    assert newest is not None and content(newest) == whole(10)


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_longest_name(job, tmp_path) -> None:
    for step in (9, 10):
        give(job, tmp_path, step)
        store = FolderStore(tmp_path / "shared")
        store.put(f"checkpoint-{step}/{MARK}", b"")
    newest = taken(job, tmp_path)
    assert newest is not None and newest.name == "checkpoint-10"


def test_a_node_that_dies_at_any_deletion_leaves_a_whole_checkpoint(
    job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for num_deleted in range(len(whole(10)) + 1):
        give(job, tmp_path, 10)
        mark(job, tmp_path, 10)
        give(job, tmp_path, 20)
        left = [num_deleted]
        delete = FolderStore.delete

        def dying(self: FolderStore, key: str, left=left, delete: Any = delete) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            delete(self, key)

        with monkeypatch.context() as patch:
            patch.setattr(FolderStore, "delete", dying)
            if num_deleted < len(whole(10)):
                with pytest.raises(KeyboardInterrupt):
                    mark(job, tmp_path, 20)
            else:
                mark(job, tmp_path, 20)
        newest = taken(job, tmp_path)
        assert newest is not None and content(newest) == whole(20)
        node(job, tmp_path, 0)[0].remove_checkpoints()
        assert taken(job, tmp_path) is None


def test_a_part_of_a_snapshot_moves_from_node_to_node(job, tmp_path: Path) -> None:
    place, _ = node(job, tmp_path, 0)
    sent, received = tmp_path / "a" / "part", tmp_path / "b" / "part"
    for folder in (sent.parent, received.parent):
        folder.mkdir()
    sent.write_bytes(b"rows")
    place.give_part(sent)
    assert not sent.exists()
    place.take_part(received)
    assert received.read_bytes() == b"rows"
    assert content(tmp_path / "shared") == {}
