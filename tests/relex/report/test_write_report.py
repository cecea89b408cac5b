"""The folder that a person opens."""

import re
from pathlib import Path

import pytest
from matplotlib.image import imread

from relex.checkpoints import Checkpoint
from relex.extrapolation import Factors, diagnose, fit_factors
from relex.report import RunSummary, write_report
from relex.report.coefficient_plot import NUM_COLUMNS, NUM_ROWS, choose_tensors
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"


@pytest.fixture(scope="module")
def factors(tmp_path_factory) -> Factors:
    out = tmp_path_factory.mktemp("fit") / "factors"
    return fit_factors(open_window(str(GOLDEN / "steps")), Checkpoint(GOLDEN / "base"), out)


@pytest.fixture(scope="module")
def report(tmp_path_factory, summary, factors) -> Path:
    out = tmp_path_factory.mktemp("written") / "report"
    write_report(summary, factors, out)
    return out


def test_the_choice_comes_first(report, summary):
    first, second = (report / "report.md").read_text().split("\n\n")[:2]
    assert first == f"# {summary.run_id}"
    assert second == f"**{summary.decision.reason}**"


def test_every_candidate_is_in_the_text(report, summary):
    text = (report / "report.md").read_text()
    assert all(f"| {result.candidate.key} |" in text for result in summary.decision.results)


def test_the_first_and_the_last_step_of_training_are_told(report):
    text = (report / "report.md").read_text()
    assert re.search(r"^\| 1 \| 0\.503 ", text, re.MULTILINE)
    assert re.search(r"^\| 30 \| 0\.6 ", text, re.MULTILINE)


def test_the_forecast_stands_beside_the_fit(report, factors):
    text = (report / "report.md").read_text()
    overall = diagnose(factors.table).overall
    assert "The line forecasts steps 10 to 12 no better than staying at step 9" in text
    assert f"| forecast skill | {overall.forecast_skill.over_staying:.2f} |" in text
    assert f"| half cosine | {overall.half_cosine:.2f} |" in text
    assert f"| R2 | {overall.r2:.4f} |" in text
    assert "- **consecutive updates have little in common" in text


@pytest.mark.parametrize("name", ["accuracy.png", "coefficients.png"])
def test_a_picture_is_sharp_at_900_pixels(report, name):
    height, width, _ = imread(report / name).shape
    assert width == 1800
    assert height < width


def test_the_page_needs_no_other_file(report):
    page = (report / "report.html").read_text()
    assert set(re.findall(r'src="([^:"]*)', page)) == {"data"}
    assert page.count('<tr class="chosen">') == 2


def test_the_summary_reads_back(report, summary):
    assert RunSummary.model_validate_json((report / "summary.json").read_bytes()) == summary


def test_the_pictures_of_one_summary_are_the_same_bytes(report, summary, factors, tmp_path):
    write_report(summary, factors, tmp_path / "again")
    for name in ("accuracy.png", "coefficients.png", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (report / name).read_bytes()


def test_a_kept_step_is_said_in_the_page(build_summary, factors, tmp_path):
    kept = build_summary({60: 0.4, 120: 0.1})
    write_report(kept, factors, tmp_path / "kept")
    assert (
        "observed-30, the last step trained, is kept"
        in (tmp_path / "kept" / "report.md").read_text()
    )


def test_pictures_show_different_kinds_of_modules_from_most_to_least(factors):
    names = choose_tensors(factors)
    kinds = [re.sub(r"\.\d+\.", ".", name) for name in names]
    assert len(set(kinds)) == len(kinds) == NUM_ROWS * NUM_COLUMNS
    sigmas = [factors.table.tensors[name].directions[0].sigma for name in names]
    assert sigmas == sorted(sigmas, reverse=True)
