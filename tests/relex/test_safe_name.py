"""One name for each text, which every place that names are written to takes."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relex.safe_name import safe_name, safe_path

PLAIN = (
    "Level 5",
    "algebra",
    "Algebra",
    "gsm8k",
    "pass_at_4",
    "Qwen2.5-Math-1.5B",
    "_",
    "代数",
    "é",
)
WORDS = """
. .. ... / // a//b /a a/ train/ ./a ../../etc/passwd C:\\x ~ .hidden a. Level5. a/b - --help
https://example.org/p http://example.org/p https://example.org/q a-0123456789 name-e3b0c44298
代数 几何 代數 é e\u0301 ß İ 👩‍💻 👩 \u202eabc \u200b \ufeff \x00 \x01 \x7f \ud800 \udfff
$x$ $\\frac$ [bold] [/x] <b> a|b ` a`b * %2e % # ? & a=b,c pass@1 ' \" a'b ;drop con:
"""
HOSTILE = (
    *WORDS.split(),
    *("", " ", "  ", "\t", "\n", "a ", " a", "a\n", "LEVEL 5", "level 5", "\x1b[31m"),
    *("代" * 80, "代" * 81, "𠀀" * 80, "x" * 80, "x" * 81, "x" * 300, "/" * 300, "代" * 300),
)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_plain_stays(text: str) -> None:
    assert safe_name(text) == safe_path(text) == text
    assert safe_path(f"accuracy/{text}") == f"accuracy/{text}"


def test_what_is_not_plain_can_still_be_read() -> None:
    assert safe_name("https://example.org/p").startswith("https_example_org_p-")
    assert safe_path("training/reward/a=b").startswith("training_reward_a_b-")
    assert safe_name("代数/几何").startswith("代数_几何-")
    assert safe_name("😀").startswith("name-")


@pytest.mark.parametrize("name_of", [safe_name, safe_path])
def test_two_names_never_become_one(name_of) -> None:
    texts = {*PLAIN, *HOSTILE}
    # What one becomes may itself be the name of another.
    texts |= {name_of(text) for text in texts} | {name_of(name_of(text)) for text in texts}
    assert len({name_of(text) for text in texts}) == len(texts)


@given(st.text())
@example("a\n")
@example("a-0123456789\n")
def test_a_name_is_fit_for_a_file_and_one_part_of_a_key(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= 80
    assert len(name.encode()) <= 255
    assert unicodedata.is_normalized("NFC", name)
    assert name.isprintable()
    assert Path(name).name == name.strip(" .") == name
    assert not set(name) & set("/\\:*?\"'<>|%#$@`[]{}&=,")


@given(st.lists(st.text(alphabet="ab-/ .代0", max_size=12), unique=True))
def test_short_names_that_are_alike_stay_apart(texts: list[str]) -> None:
    assert len(set(map(safe_name, texts))) == len(set(map(safe_path, texts))) == len(texts)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_disk_takes_every_name(text: str, tmp_path: Path) -> None:
    (tmp_path / safe_name(text)).write_text("there")
    assert [path.name for path in tmp_path.iterdir()] == [safe_name(text)]
