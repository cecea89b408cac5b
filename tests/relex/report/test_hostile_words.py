"""Words from recipes, data and models in reports: shown as they are, and nothing but shown."""

from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest

from relex.checkpoints import Checkpoint
from relex.config import SelectionConfig
from relex.extrapolation import Diagnostics, diagnose, fit_factors
from relex.report import Link, candidate_rows, markdown_table
from relex.report.image import Image
from relex.report.leaderboard import leaderboard_markdown
from relex.report.markdown import report_markdown
from relex.report.page import POLICY, code, plain, report_html
from relex.sweep import Leaderboard, TrialResult, rank, verdict
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "`<img src=x onerror=alert(1)>`",
    "``<svg/onload=alert(1)>``",
    "<script>alert(1)</script>",
    "</code></td></table><script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://example.org/pixel.png)",
    "[x]: javascript:alert(1)",
    "[x][y]",
    "[^1]: note",
    "<javascript:alert(1)>",
    "<https://example.org>",
    "https://example.org/a_b_c",
    "| a | b |",
    "a|b",
    r"a\|b",
    "a\n\n# title",
    "a\r\n<b>\r\n",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "# title",
    "> quoted",
    "---",
    "~~gone~~",
    "**bold** __bold__ _it_ *it*",
    "<!-- gone",
    "<?php",
    "<![CDATA[",
    "&lt;script&gt;",
    "&#60;img&#62;",
    "$x$ $$y$$",
    "`",
    "``` ```",
    "\\",
    "a\\",
    "\u202egnp.exe",
    "\x1b]0;title\x07",
    "\x00",
    "代数 😀",
    "[/INST] [bold] :smile:",
    "x" * 3000,
)
PICTURES = ("accuracy.png", "coefficients.png", "training.png")
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "table"}
TAGS |= {"thead", "tbody", "tr", "th", "td", "img", "span", "ul", "li", "code", "em"}


@pytest.fixture(scope="module")
def diagnostics(tmp_path_factory) -> Diagnostics:
    window, base = open_window(str(GOLDEN / "steps")), Checkpoint(GOLDEN / "base")
    return diagnose(fit_factors(window, base, tmp_path_factory.mktemp("fit") / "factors").table)


def leaderboard_of(words: str) -> Leaderboard:
    """Of a trial that ended with these words."""
    trial = TrialResult(
        label=words,
        variant=f"v {words}",
        seed=0,
        run_id="toy-broken-0",
        status="failed",
        reason=words,
    )
    how = (SelectionConfig(num_resamples=1000), 0)
    variants = tuple(rank([trial], {}, *how))
    return Leaderboard(
        sweep_id="toy-sweep-12345678",
        benchmark="toy",
        num_questions=60,
        samples_per_question=4,
        grader=words,
        confidence=0.95,
        last_step=8,
        base_test_accuracy=0.5,
        variants=variants,
        trials=(trial,),
        verdict=f"{verdict(variants, [trial], 'toy', 0.5, 0.95)}\n{words}",
    )


class Page(HTMLParser):
    """The tags of a page with their attributes, and the words of its body."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def shown(text: str) -> Page:
    return Page(markdown.markdown(text, extensions=["tables"]))


def as_read(words: str) -> str:
    """In one line, and what cannot be seen written out."""
    escapes = {"\u202e": r"\u202e", "\x1b": r"\x1b", "\x07": r"\x07", "\x00": r"\x00"}
    return "".join(escapes.get(each, each) for each in " ".join(words.split()))


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_a_paragraph_a_list_a_line_of_code_and_a_cell_show_it_as_it_is(words: str) -> None:
    table = markdown_table([{"column": words}])
    for text, tags in (
        (plain(words), ["p"]),
        (f"**{plain(words)}**", ["p", "strong"]),
        (f"- {plain(words)}", ["ul", "li"]),
        (f"- model: {code(words)}", ["ul", "li", "code"]),
        (table, ["table", "thead", "tr", "th", "tbody", "tr", "td"]),
    ):
        page = shown(text)
        assert [tag for tag, _ in page.tags] == tags
        assert as_read(words) in page.words
    header = shown(markdown_table([{words: "cell"}]))
    assert as_read(words) in header.words


def check_page(text: str, words: str) -> None:
    """No tag that the report has not by itself, and nothing on it that runs or loads."""
    page = Page(report_html("title", text, dict.fromkeys(PICTURES, Image(b""))))
    assert {tag for tag, _ in page.tags} <= TAGS
    allowed = {"src", "alt", "class", "lang", "charset", "name", "content", "http-equiv"}
    for tag, attributes in page.tags:
        assert attributes.keys() <= allowed
        assert tag != "img" or attributes["src"] in ("data:image/png;base64,", "curves.png")
    assert as_read(words) in page.words


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_a_report_of_hostile_words_is_a_page_without_them_as_tags(
    words: str, summary, flagged, diagnostics
) -> None:
    where = Link(name="model", address=f"s3://bucket/{words}/model")
    for told in (summary, flagged):
        hostile = told.model_copy(
            update={"links": (where,), "champion": words, "versions": {"grader": words}}
        )
        decision = hostile.decision
        results = tuple(
            result.model_copy(
                update={
                    "by_group": tuple(
                        group.model_copy(update={"group": words}) for group in result.by_group
                    ),
                    "flags": tuple(
                        flag.model_copy(update={"words": words}) for flag in result.flags
                    ),
                }
            )
            for result in decision.results
        )
        decision = decision.model_copy(update={"reason": words, "results": results})
        hostile = hostile.model_copy(update={"decision": decision})
        check_page(report_markdown(hostile, diagnostics), words)


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_a_leaderboard_of_hostile_words_too(words: str) -> None:
    check_page(leaderboard_markdown(leaderboard_of(words)), words)


def test_a_page_lets_nothing_run_and_nothing_load() -> None:
    page = Page(report_html("<b>title", "words", {}))
    (policy,) = [one for _, one in page.tags if one.get("http-equiv")]
    assert policy["content"] == POLICY
    assert "script" not in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_a_star_in_words_is_no_choice(summary) -> None:
    rows = [{**row, "candidate": "a ★ b"} for row in candidate_rows(summary)]
    assert report_html("t", markdown_table(rows), {}).count('class="chosen"') == 1
