"""What a person reads at the end of a run."""

from relex.report.costs import Cost, Costs, training_cost
from relex.report.leaderboard import (
    LEADERBOARD_HTML,
    LEADERBOARD_MARKDOWN,
    trial_rows,
    variant_rows,
    verdict_markdown,
    write_leaderboard,
)
from relex.report.markdown import HTML_FILE, MARKDOWN_FILE, SUMMARY_FILE, write_report
from relex.report.outcome import cost_words, outcome_lines
from relex.report.page import ALARM, CHOSEN_MARK, address, markdown_table, plain, terminal_table
from relex.report.shown_answers import ShownQuestion, shown_answer, shown_questions
from relex.report.summary import (
    BenchmarkResult,
    Link,
    Round,
    RunSummary,
    TrainingStep,
    benchmark_results,
)
from relex.report.tables import FLAG_MARK, GREEDY_ROW, candidate_rows, round_rows
from relex.report.trajectory import (
    concerns,
    overall_rows,
    settled,
    tensor_table,
    verdict,
    write_trajectory_pictures,
)
