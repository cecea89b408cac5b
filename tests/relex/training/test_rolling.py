from pathlib import Path

from relex.training.rolling import (
    checkpoint_step,
    mark_whole,
    newest_checkpoint,
    remove_checkpoints,
)


def checkpoint(root: Path, step: int) -> Path:
    folder = root / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(b"state")
    return folder


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "absent") is None


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10)
    assert newest_checkpoint(tmp_path) is None


def test_the_one_before_counts_while_the_next_is_half_written(tmp_path: Path) -> None:
    mark_whole(checkpoint(tmp_path, 10))
    checkpoint(tmp_path, 20)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None and checkpoint_step(newest) == 10


def test_a_whole_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    mark_whole(checkpoint(tmp_path, 90))
    newest = checkpoint(tmp_path, 100)
    mark_whole(newest)
    assert list(tmp_path.iterdir()) == [newest]
    assert newest_checkpoint(tmp_path) == newest


def test_the_higher_step_wins_after_a_kill_between_mark_and_removal(tmp_path: Path) -> None:
    older = checkpoint(tmp_path, 90)
    mark_whole(checkpoint(tmp_path, 100))
    older.mkdir()
    (older / "relex-whole").touch()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None and checkpoint_step(newest) == 100


def test_all_are_removed_whole_or_not(tmp_path: Path) -> None:
    mark_whole(checkpoint(tmp_path, 10))
    checkpoint(tmp_path, 20)
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []
