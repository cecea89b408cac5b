"""What the commands print holds paths of the user's, which are no mark-up."""

import io
import sys

import pytest

from relex.cli.app import main
from relex.terminal import open_terminal

WORDS = ["/a[/x]/b", "/a[old]/b", "[link=x]y", ":smile:", "[/INST]", "a\\[b]"]


@pytest.mark.parametrize("words", WORDS)
def test_a_line_is_printed_as_it_is(words: str) -> None:
    console = open_terminal()
    console.file = io.StringIO()
    console.print(words, soft_wrap=True)
    assert console.file.getvalue() == f"{words}\n"


@pytest.mark.parametrize("words", WORDS)
def test_an_error_is_one_line_as_it_is(words: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["relex", "run", f"{words}\x1b[31m"])
    with pytest.raises(SystemExit):
        main()
    error = capsys.readouterr().err
    assert error.startswith(f"relex: {words}\\x1b[31m: cannot be read") and error.count("\n") == 1
