"""The page in a real browser, for a run that has everything a report can tell."""

from pathlib import Path

import numpy as np
import pytest

from relex.candidates import Candidate
from relex.checkpoints import Checkpoint
from relex.config import SearchConfig
from relex.extrapolation import fit_factors
from relex.report import Link, write_report
from relex.search import Graded, search
from relex.selection import Measured
from relex.selection.facts import Habits
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
NUM_QUESTIONS, NUM_SAMPLES = 100, 4
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(4)]
DESKTOP, PHONE = (1200, 900), (390, 844)
BRIGHTNESS = """([selector, name]) => {
  const parts = getComputedStyle(document.querySelector(selector))[name].match(/\\d+/g);
  return parts.slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
}"""


def answers(candidate: Candidate, num_questions: int) -> Graded:
    """Accuracy rises to step 120 and then falls."""
    accuracy = 0.55 + 0.2 * (1 - abs(np.log2(max(candidate.step, 15) / 120)) / 3)
    ease_QK = np.random.default_rng(candidate.step).random((NUM_QUESTIONS, NUM_SAMPLES))
    correct_QK = (ease_QK < accuracy)[:num_questions]
    return Graded(correct_QK, correct_QK.size * 123)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, summarise) -> Path:
    config = SearchConfig(budget_fraction=0.6)
    found = search(answers, 30, NUM_QUESTIONS, config, tensors=TENSORS)
    levels = ("Level 1", "Level 5", "intermediate algebra", "counting and probability")
    measured = [
        Measured(
            candidate,
            graded.correct_QK,
            Habits(
                truncated_fraction=0.2 if candidate.step == 120 else 0.01,
                repeating_fraction=0.003,
                correct_tokens=312.4,
                format_value=0.97,
            ),
            (levels * NUM_QUESTIONS)[: len(graded.correct_QK)],
        )
        for candidate, graded in found.graded.items()
    ]
    link = Link(name="MLflow run", address=f"http://127.0.0.1:5000/#/runs/{'0123abcd' * 8}")
    told = {"search": found.path, "links": (link,)}
    summary = summarise(measured).model_copy(update=told)
    folder = tmp_path_factory.mktemp("page")
    window, base = open_window(str(GOLDEN / "steps")), Checkpoint(GOLDEN / "base")
    write_report(summary, fit_factors(window, base, folder / "factors"), folder / "report")
    return folder / "report" / "report.html"


@pytest.mark.parametrize(("width", "height"), [DESKTOP, PHONE])
def test_nothing_sticks_out_and_every_picture_loads(open_page, page_file, width, height):
    page = open_page(viewport={"width": width, "height": height})
    page.goto(page_file.as_uri())
    assert page.title() == "toy-12345678"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.clientWidth])")
    assert all(natural > 0 for natural, _ in widths)
    shown = [clients for _, clients in widths if clients]
    # Every picture is drawn for a phone too, and only one of the two is shown.
    assert (len(widths), len(shown)) == (6, 3)
    assert all(clients <= width for clients in shown)
    tables = page.evaluate(
        "[...document.querySelectorAll('table')].map(t => t.scrollWidth - t.clientWidth)"
    )
    assert len(tables) == 7
    assert width < DESKTOP[0] or set(tables) == {0}  # a phone scrolls inside a table


def test_a_pointer_on_a_candidate_is_told_its_name_and_accuracy(open_page, page_file):
    page = open_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(page_file.as_uri())
    title = page.locator(".picture.wide circle title", has_text="observed-30: 0.")
    (words,) = title.all_text_contents()
    assert words.endswith("on 100 questions")
    circle = title.locator("..").bounding_box()
    image = page.locator(".picture.wide img").first.bounding_box()
    assert image["x"] < circle["x"] < image["x"] + image["width"]
    assert image["y"] < circle["y"] < image["y"] + image["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_dark_where_a_reader_wants_that_and_words_stand_out(open_page, page_file, scheme):
    page = open_page(color_scheme=scheme)
    page.goto(page_file.as_uri())
    asked = (("body", "backgroundColor"), ("tr.chosen td", "backgroundColor"), ("td", "color"))
    paper, chosen, words = (page.evaluate(BRIGHTNESS, pair) for pair in asked)
    if scheme == "dark":
        assert max(paper, chosen) < 60
        assert words > 200
    else:
        assert min(paper, chosen) > 220
        assert words < 60
