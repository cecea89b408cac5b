"""What the commands print holds paths of the user's, which are no mark-up."""

import io

import pytest

from flows.run import ends_in_one_line
from relex.errors import RecipeError
from relex.terminal import open_terminal

WORDS = ["/a[/x]/b", "/a[old]/b", "[link=x]y", ":smile:", "[/INST]", "a\\[b]"]


@pytest.mark.parametrize("words", WORDS)
def test_a_line_is_printed_as_it_is(words: str) -> None:
    console = open_terminal()
    console.file = io.StringIO()
    console.print(words, soft_wrap=True)
    assert console.file.getvalue() == f"{words}\n"


@pytest.mark.parametrize("words", WORDS)
def test_an_error_is_one_line_as_it_is(words: str, capsys) -> None:
    with pytest.raises(SystemExit), ends_in_one_line(open_terminal(), "interrupted"):
        raise RecipeError(f"{words}: cannot be read\x1b[31m")
    assert capsys.readouterr().err == f"error: {words}: cannot be read\\x1b[31m\n"
