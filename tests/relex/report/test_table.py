"""The table of candidates, in its three forms."""

from io import StringIO

from rich.console import Console

from relex.report import candidate_rows, markdown_table, rich_table


def test_every_candidate_has_a_row_in_the_order_of_its_steps(summary):
    labels = [row["candidate"] for row in candidate_rows(summary)]
    assert labels == ["base", "step 10", "step 30", "k = 60", "k = 120", "k = 300"]


def test_an_extrapolated_candidate_cost_the_steps_of_the_window(summary):
    steps = [row["steps trained"] for row in candidate_rows(summary)]
    assert steps == ["0", "10", "30", "30", "30", "30"]


def test_only_the_chosen_one_is_marked(summary):
    marked = [row["candidate"] for row in candidate_rows(summary) if row["chosen"]]
    assert marked == [summary.decision.chosen.label] == ["k = 120"]


def test_test_accuracy_stands_beside_the_finalists_only(summary):
    tested = [row["candidate"] for row in candidate_rows(summary) if row["test (held_out)"] != "-"]
    assert tested == ["base", "step 30", "k = 120"]


def test_the_markdown_table_has_a_cell_for_every_column(summary):
    lines = markdown_table(candidate_rows(summary)).splitlines()
    assert len(lines) == 2 + 6
    assert {line.count("|") for line in lines} == {7}


def test_the_terminal_table_fits_eighty_columns_without_breaking_a_cell(summary):
    console = Console(width=80, record=True, file=StringIO())
    console.print(rich_table(candidate_rows(summary)))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert len(lines) == 2 + 6
    assert any("0.740 [0." in line and "★" in line for line in lines)
