"""Engines and trainers of the user's are looked at before GPU time is spent."""

from pathlib import Path

import pytest

from relex.doors import ENGINE, TRAINER
from relex.doors.door import Door
from relex.errors import InputError
from relex.own_code import check_own_code


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_code.py").write_text("print('loaded')\ndef mine(*_):\n    return None\n")
    (tmp_path / "my_broken_code.py").write_text("import no_such_library\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("door", [ENGINE, TRAINER], ids=lambda door: door.kind)
def test_what_imports_passes_and_what_it_prints_is_a_log_line(own: None, door: Door) -> None:
    lines: list[str] = []
    check_own_code(door, "my_code:mine", lines.append)
    assert lines == ["loaded"]


@pytest.mark.parametrize("door", [ENGINE, TRAINER], ids=lambda door: door.kind)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_code:absent", "module 'my_code' has no function 'absent'"),
        ("my_broken_code:f", r"does not import \(ModuleNotFoundError: No module named 'no_such_"),
        ("no_such_module:f", "does not import"),
    ],
)
def test_what_does_not_import_is_refused(own: None, door: Door, name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{door.kind} {name}: .*{message}"):
        check_own_code(door, name, print)


def test_code_that_changed_has_another_version(own: None, tmp_path: Path) -> None:
    before = ENGINE.own_version("my_code:mine")
    assert before.startswith("my_code:mine/")
    assert ENGINE.own_version("my_code:mine") == before
    (tmp_path / "my_code.py").write_text("def mine(*_):\n    return 1\n")
    assert ENGINE.own_version("my_code:mine") != before
    assert ENGINE.own_version("auto") == "auto"
