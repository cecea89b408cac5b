"""The table of candidates, in its three forms."""

import re
from io import StringIO

from rich.console import Console

from relex.candidates import parse_candidate
from relex.report import candidate_rows, markdown_table, round_rows, terminal_table
from relex.report.tables import answer_rows, flag_lines, group_rows, way_rows
from relex.search import SearchPath, Trial
from relex.selection import Measured


def test_every_candidate_has_a_row_in_the_order_of_its_steps(summary):
    labels = [row["candidate"] for row in candidate_rows(summary)]
    assert labels == ["base", "observed-10", "observed-30", "line-60", "line-120", "line-300"]


def test_an_extrapolated_candidate_cost_the_steps_of_the_window(summary):
    steps = [row["steps"] for row in candidate_rows(summary)]
    assert steps == ["0", "10", "30", "30", "30", "30"]


def test_only_the_chosen_one_is_marked(summary):
    marked = [row["candidate"] for row in candidate_rows(summary) if row["chosen"]]
    assert marked == [summary.decision.chosen.key] == ["line-120"]


def test_test_accuracy_stands_beside_the_finalists_only(summary):
    tested = [row["candidate"] for row in candidate_rows(summary) if row["test (held_out)"] != "-"]
    assert tested == ["base", "observed-30", "line-120"]


def test_the_markdown_table_has_a_cell_for_every_column(summary):
    lines = markdown_table(candidate_rows(summary)).splitlines()
    assert len(lines) == 2 + 6
    assert {line.count("|") for line in lines} == {7}


def test_the_terminal_table_fits_eighty_columns_without_breaking_a_cell(summary):
    console = Console(width=80, record=True, file=StringIO())
    console.print(terminal_table(candidate_rows(summary)))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert len(lines) == 2 + 6
    assert any("0.740 [0." in line and "★" in line for line in lines)


def test_a_candidate_that_a_red_flag_stops_is_marked_and_not_chosen(flagged):
    cells = {row["candidate"]: row["chosen"] for row in candidate_rows(flagged)}
    assert (cells["line-120"], cells["line-60"]) == ("⚑", "★")


def test_the_answers_of_every_candidate_have_a_row(flagged):
    rows = {row["candidate"]: row for row in answer_rows(flagged)}
    assert list(rows) == ["base", "observed-10", "observed-30", "line-60", "line-120", "line-300"]
    assert rows["observed-30"]["against observed-30"] == "-"
    assert rows["line-120"]["cut"] == "30.0%"
    test = flagged.decision.result(flagged.decision.chosen).to_last_observed
    assert rows["line-60"]["against observed-30"] == f"+{test.repairs} / -{test.regressions}"
    assert list(rows["base"])[1:] == [
        "pass at 4",
        "against observed-30",
        "against base",
        "cut",
        "in a loop",
        "tokens if right",
        "chosen",
    ]


def test_groups_are_told_for_the_base_the_last_observed_and_the_chosen(flagged):
    rows = group_rows(flagged)
    assert [(row["group"], row["questions"]) for row in rows] == [("easy", "50"), ("hard", "50")]
    assert list(rows[0])[2:] == ["base", "observed-30", "line-60"]


def test_without_groups_there_is_no_table_of_them(summary):
    assert group_rows(summary) == []


def test_a_flag_is_told_with_its_numbers(flagged):
    assert flag_lines(flagged) == [
        "line-120: 30% of its answers are cut at the token limit, before 1%"
    ]


def test_a_candidate_that_answered_fewer_questions_says_so(measured_for, summarise):
    first, *others = measured_for({60: 0.68, 120: 0.74})[::-1]
    fewer = Measured(first.candidate, first.correct_QK[:20])
    cells = {
        row["candidate"]: row["validation"] for row in candidate_rows(summarise([*others, fewer]))
    }
    assert re.fullmatch(r"0\.\d{3} on 20", cells["line-120"])
    assert cells["line-60"].endswith("]")


def test_what_moved_on_each_way_is_told_with_its_best_point():
    def trial(key: str, accuracy: float) -> Trial:
        return Trial(
            candidate=parse_candidate(key),
            num_questions=20,
            accuracy=accuracy,
            num_tokens=9,
            why="",
            end="",
        )

    accuracies = {
        "observed-30": 0.6,
        "line-60": 0.7,
        "line-120": 0.5,
        "secant-240@2-3.mlp": 0.8,
        "secant-960@2-3.mlp": 0.9,
        "secant-960@3": 0.4,
    }
    path = SearchPath(
        trials=tuple(trial(*item) for item in accuracies.items()),
        stopped="",
        num_questions=20,
        num_grid_targets=13,
        num_grid_tokens=1,
    )
    assert [tuple(row.values()) for row in way_rows(path)] == [
        ("MLPs of layers 2 to 3", "secant", "960", "960", "0.900 on 20"),
        ("all", "line", "120", "60", "0.700 on 20"),
        ("layer 3", "secant", "960", "960", "0.400 on 20"),
    ]


def test_rounds_are_told_with_what_each_was_worth(build_summary):
    first, second = build_summary({60: 0.7, 120: 0.6}), build_summary({60: 0.68, 120: 0.4})
    assert round_rows(first) == []
    second = second.model_copy(update={"run_id": "toy-r2", "earlier": first.rounds})
    rows = round_rows(second)
    assert [row["round"] for row in rows] == ["1", "2"]
    assert [row["run"] for row in rows] == ["toy-12345678", "toy-r2"]
    assert [row["chosen"] for row in rows] == ["line-60", "line-60"]
    assert [row["trained steps"] for row in rows] == ["30, in all 30", "30, in all 60"]
    assert [row["held_out, chosen"][:5] for row in rows] == ["0.700", "0.680"]
    assert {row["held_out, where it began"][:5] for row in rows} == {"0.510"}
    third = second.model_copy(update={"earlier": second.rounds})
    assert [row["trained steps"] for row in round_rows(third)][-1] == "30, in all 90"
