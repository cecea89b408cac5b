"""The leaderboard as it is read: in tables, in Markdown, as a page and as a picture."""

import io

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.report import terminal_table, trial_rows, variant_rows, write_leaderboard
from relex.report.leaderboard import leaderboard_markdown
from relex.report.leaderboard_plot import sweep_picture
from relex.sweep import (
    CurvePoint,
    Leaderboard,
    TrialMeasures,
    TrialResult,
    rank,
    verdict,
)

HOW = (SelectionConfig(num_resamples=1000), 0)
ACCURACIES = {"exact-match": (0.89, 0.91), "terse": (0.72, 0.74)}


def trial_of(variant: str, seed: int, accuracy: float) -> TrialResult:
    steps = {4: 0.3, 8: 0.6}
    curve = {BASE: 0.5}
    curve |= {Candidate(step=s): 0.5 + f * (accuracy - 0.5) for s, f in steps.items()}
    chosen = Candidate(step=16, method="line")
    curve |= {chosen: accuracy, Candidate(step=24, method="line"): accuracy - 0.1}
    return TrialResult(
        label=f"{variant}, seed {seed}",
        variant=variant,
        seed=seed,
        run_id=f"toy-{variant}-{seed}",
        status="finished",
        measures=TrialMeasures(
            chosen=chosen,
            validation_accuracy=accuracy,
            last_observed_accuracy=curve[Candidate(step=8)],
            test_accuracies={"toy": accuracy - 0.01, "other": 0.25},
            base_test_accuracy=0.5,
            curve=tuple(CurvePoint(candidate=c, accuracy=a) for c, a in curve.items()),
        ),
    )


def failed(seed: int) -> TrialResult:
    return TrialResult(
        label=f"broken, seed {seed}",
        variant="broken",
        seed=seed,
        run_id=f"toy-broken-{seed}",
        status="failed",
        reason="reward broken: raised ZeroDivisionError",
    )


def leaderboard_of(trials: list[TrialResult]) -> Leaderboard:
    rng = np.random.default_rng(0)
    answers = {
        trial.run_id: rng.random((60, 4)) < trial.measures.test_accuracies["toy"]
        for trial in trials
        if trial.measures
    }
    variants = tuple(rank(trials, answers, *HOW))
    return Leaderboard(
        sweep_id="toy-sweep-12345678",
        benchmark="toy",
        num_questions=60,
        samples_per_question=4,
        grader="exact_match/1",
        confidence=0.95,
        last_step=8,
        base_test_accuracy=0.5,
        variants=variants,
        trials=tuple(trials),
        verdict=verdict(variants, trials, "toy", 0.5, 0.95),
    )


@pytest.fixture(scope="module")
def leaderboard() -> Leaderboard:
    trials = [failed(0), failed(1)]
    trials += [
        trial_of(v, seed, a) for v, pair in ACCURACIES.items() for seed, a in enumerate(pair)
    ]
    return leaderboard_of(trials)


def column(rows: list[dict[str, str]], title: str) -> list[str]:
    return [row[title] for row in rows]


def test_variants_stand_in_the_order_of_their_rank(leaderboard):
    rows = variant_rows(leaderboard)
    assert column(rows, "reward") == ["exact-match", "terse", "broken"]
    assert column(rows, "rank") == ["1", "2", "-"]
    assert column(rows, "trials") == ["2 of 2", "2 of 2", "0 of 2"]
    assert column(rows, "winner") == ["★", "", ""]
    assert column(rows, "validation") == ["0.900 ± 0.014", "0.730 ± 0.014", "-"]
    assert column(rows, "test (other)") == ["0.250", "0.250", "-"]
    assert column(rows, "behind the winner")[0] == "-"
    assert rows[1]["behind the winner"].startswith("+0.")


def test_a_variant_that_made_the_model_worse_stands_last_however_good_its_base_is():
    bad = trial_of("bad", 0, 0.95)
    measures = bad.measures.model_copy(update={"chosen": BASE})
    trials = [bad.model_copy(update={"measures": measures}), trial_of("good", 0, 0.6), failed(0)]
    leaderboard = leaderboard_of(trials)
    rows = variant_rows(leaderboard)
    assert column(rows, "reward") == ["good", "bad", "broken"]
    assert column(rows, "rank") == ["1", "harmful", "-"]
    assert column(trial_rows(leaderboard), "ended") == ["finished", "harmful", "failed"]
    alone = leaderboard_of(trials[:1])
    assert (alone.winner, alone.is_harmful) == (None, True)
    assert column(variant_rows(alone), "winner") == [""]
    assert sweep_picture(alone).png.startswith(b"\x89PNG")


def test_every_row_has_the_same_columns(leaderboard):
    for rows in (variant_rows(leaderboard), trial_rows(leaderboard)):
        assert {tuple(row) for row in rows} == {tuple(rows[0])}


def test_every_trial_has_a_row_and_an_end(leaderboard):
    rows = trial_rows(leaderboard)
    assert len(rows) == 6
    assert column(rows, "ended") == ["finished"] * 4 + ["failed"] * 2
    assert rows[0]["chosen"] == "line-16"
    assert rows[-1]["chosen"] == "-"


def test_the_markdown_says_the_verdict_first_and_why_trials_failed(leaderboard):
    text = leaderboard_markdown(leaderboard)
    first, *others = leaderboard.verdict.splitlines()
    assert text.splitlines()[2:5] == [f"**{first}**", "", f"- {others[0]}"]
    assert first.startswith("exact-match is best on validation")
    assert "- broken: 2 of 2 trials failed (reward broken: raised ZeroDivisionError)." in text
    assert "graded by `exact_match/1`, whatever it was paid for" in text


def test_the_terminal_table_breaks_no_cell_in_a_hundred_columns(leaderboard):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(variant_rows(leaderboard)))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert len(lines) == 2 + 3
    assert "…" not in "".join(lines)


def test_where_a_terminal_is_narrow_names_go_on_in_a_second_line_and_numbers_stay_whole(
    leaderboard,
):
    console = Console(width=80, record=True, file=io.StringIO())
    rows = [row | {"reward": "a-reward-with-a-long-name"} for row in variant_rows(leaderboard)]
    console.print(terminal_table([{t: row[t] for t in row if "other" not in t} for row in rows]))
    assert "…" not in console.export_text()


def test_the_folder_holds_a_page_that_stands_alone(leaderboard, tmp_path):
    write_leaderboard(leaderboard, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"leaderboard.html", "leaderboard.md", "leaderboard.json", "curves.png"}
    assert "data:image/png;base64," in (tmp_path / "out" / "leaderboard.html").read_text()
    stored = (tmp_path / "out" / "leaderboard.json").read_bytes()
    assert Leaderboard.model_validate_json(stored) == leaderboard


def test_what_a_model_wrote_is_shown_as_it_wrote_it(open_page, tmp_path):
    words = r"completion: '<think>\boxed{17}</think> **_it_ [/INST] | `x`'"
    broken = failed(0).model_copy(update={"reason": words})
    write_leaderboard(leaderboard_of([broken, trial_of("terse", 0, 0.7)]), tmp_path / "out")
    page = open_page()
    page.goto((tmp_path / "out" / "leaderboard.html").as_uri())
    shown = page.locator("li").all_inner_texts()
    assert shown[-1] == f"broken: 1 of 1 trial failed ({words})."


def test_a_sweep_of_which_nothing_is_left_has_no_picture(tmp_path):
    write_leaderboard(leaderboard_of([failed(0)]), tmp_path / "out")
    assert not (tmp_path / "out" / "curves.png").exists()
    assert "curves.png" not in (tmp_path / "out" / "leaderboard.md").read_text()


def test_the_picture_is_sharp_and_the_same_every_time(leaderboard):
    picture = sweep_picture(leaderboard).png
    assert matplotlib.image.imread(io.BytesIO(picture)).shape[1] == 1800
    assert picture == sweep_picture(leaderboard).png


@pytest.mark.parametrize("num_variants", [1, 9])
def test_more_variants_than_colours_are_drawn_too(num_variants):
    trials = [
        trial_of(f"reward-{n}", seed, 0.9 - n / 50) for n in range(num_variants) for seed in (0, 1)
    ]
    assert sweep_picture(leaderboard_of(trials)).png.startswith(b"\x89PNG")
