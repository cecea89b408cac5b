"""The home may be any folder: what relex did not make there stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relex.errors import ResourceError, StorageError
from relex.home import MADE, MARK, clear_home, in_home, make_home, open_home

MINE = ["notes.txt", "s3/relex/mine/model.safetensors", "s3/other/a", "models/a/config.json"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def fill(root: Path, names) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_looking_at_a_home_makes_nothing(root) -> None:
    open_home()
    assert not root.exists()


@pytest.mark.parametrize("is_there", [False, True])
def test_what_relex_made_is_removed_and_with_it_the_folder(root, is_there) -> None:
    if is_there:
        root.mkdir()
    home = make_home()
    fill(root, [name if "." in name else f"{name}/inside/a.bin" for name in MADE])
    make_home()
    assert clear_home(home) == []
    assert not root.exists()


@pytest.mark.parametrize("mine", MINE)
def test_what_others_put_there_later_stays_and_is_said(root, mine) -> None:
    home = make_home()
    fill(root, ["s3/relex/runs/toy/a", "work/toy/b", mine])
    assert clear_home(home) == [root / mine]
    assert files(root) == {mine, MARK}
    assert clear_home(home) == [root / mine]


@pytest.mark.parametrize("mine", [*MINE, "work/report.odt", "reports/2026.pdf", "s3/relex/runs/a"])
def test_a_folder_that_held_something_is_never_cleared(root, mine) -> None:
    fill(root, [mine])
    home = make_home()
    fill(root, ["locks/toy.lock", "work/toy/a"])
    before = files(root)
    with pytest.raises(StorageError, match="was not made by relex, so nothing there was removed"):
        clear_home(home)
    assert files(root) == before


def test_clearing_what_is_not_there_is_no_error(root) -> None:
    assert clear_home(open_home()) == []


def test_what_a_link_points_to_stays(root, tmp_path) -> None:
    fill(tmp_path / "mine", ["a.txt"])
    home = make_home()
    (root / "work").symlink_to(tmp_path / "mine")
    clear_home(home)
    assert files(tmp_path / "mine") == {"a.txt"}
    assert not root.exists()


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        ([MARK, "work/a", "notes.txt"], 0, "left 1 files"),
        ([MARK, "work/a"], 0, "removed"),
        (["work/a"], 2, "was not made by relex"),
    ],
)
def test_the_command_of_make_clean(root, names, code, said) -> None:
    fill(root, names)
    done = subprocess.run(
        [sys.executable, "-m", "flows.program", "clean"],
        env={**os.environ, "RELEX_HOME": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert (root / "work/a").exists() == (code != 0)
    assert (root / "notes.txt").exists() == ("notes.txt" in names)


@pytest.mark.parametrize("value", [None, "", " ", "\t"])
def test_without_a_value_it_is_a_folder_of_its_own_here(value, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELEX_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("RELEX_HOME", value)
    assert open_home().root == tmp_path / ".relex"


@pytest.mark.parametrize("name", ["a?b", "a%20b", "%", "?", "a?mode=memory"])
def test_what_the_address_of_a_database_cannot_name_is_refused(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / name))
    with pytest.raises(ResourceError, match=r"RELEX_HOME .* choose a folder without") as error:
        open_home()
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a[/x]b", "a[old]b", "a b", "a#b", "a$b", "代数 😀", "a'b", ":a:"]
)
def test_any_other_name_is_as_good(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / name))
    assert open_home().root == Path(tmp_path / name)


def test_an_address_of_the_homes_own_server_is_a_folder_of_it_and_another_stays(root) -> None:
    address = "s3://relex/runs/toy-1/window"
    assert in_home(address) == address
    fill(root, ["s3/relex/runs/toy-1/window/manifest.json"])
    assert in_home(address) == str(root / "s3/relex/runs/toy-1/window")
    for other in ("s3://mine/window", "window", "/data/relex", "owner/name"):
        assert in_home(other) == other
