"""What a person reads at the end of a run."""

from relex.report.leaderboard import (
    LEADERBOARD_HTML,
    LEADERBOARD_MARKDOWN,
    terminal_leaderboard,
    trial_rows,
    variant_rows,
    verdict_markdown,
    write_leaderboard,
)
from relex.report.outcome import outcome_lines
from relex.report.plain import code, plain
from relex.report.summary import (
    BenchmarkResult,
    Link,
    RunSummary,
    TrainingStep,
    benchmark_results,
)
from relex.report.table import candidate_rows, markdown_table, rich_table
from relex.report.trajectory import concerns, overall_rows, tensor_table, verdict
from relex.report.trajectory_pictures import write_trajectory_pictures
from relex.report.write import HTML_FILE, MARKDOWN_FILE, SUMMARY_FILE, write_report
