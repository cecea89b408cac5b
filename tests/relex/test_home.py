"""Where relex keeps what has no better place."""

from pathlib import Path

import pytest

from relex.errors import ResourceError
from relex.home import open_home


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
