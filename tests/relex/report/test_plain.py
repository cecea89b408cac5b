"""Words of programs and models in Markdown."""

import html
import re

import markdown
import pytest

from relex.report.page import plain


@pytest.mark.parametrize(
    "words",
    [
        "<think>17</think> & <b>",
        r"\boxed{17} \\ \[x\] \(",
        "**bold** _slanted_ `code` reward_of_mine",
        "[a link](javascript:alert) [one][two] [three]: four, 0.7 [0.6, 0.8]",
        "&lt; is written so",
        "an unclosed ` and * and <",
    ],
)
def test_they_are_shown_as_they_are(words):
    shown = re.sub("</?p>", "", markdown.markdown(f"so: {plain(words)}", extensions=["tables"]))
    assert html.unescape(shown) == f"so: {words}"


def test_lines_become_one():
    assert plain("one\n\n# two\n") == "one # two"


def test_intervals_and_names_stay_readable_in_the_file():
    assert plain("exact_match 0.740 [0.708, 0.771]") == "exact_match 0.740 [0.708, 0.771]"
