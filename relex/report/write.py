"""Writes the folder that a person opens."""

from pathlib import Path

from relex.extrapolation import Factors, diagnose
from relex.report.accuracy_plot import accuracy_picture
from relex.report.coefficient_plot import coefficient_picture
from relex.report.files import write_files
from relex.report.html import report_html
from relex.report.markdown import ACCURACY_PICTURE, COEFFICIENT_PICTURE, report_markdown
from relex.report.summary import RunSummary

MARKDOWN_FILE = "report.md"
HTML_FILE = "report.html"
SUMMARY_FILE = "summary.json"


def write_report(summary: RunSummary, factors: Factors, out: Path) -> None:
    """`report.html`, `report.md` with its two pictures, and `summary.json`, in the new folder."""
    last_step = max(result.candidate.step for result in summary.decision.results)
    diagnostics = diagnose(factors.table)
    pictures = {
        ACCURACY_PICTURE: accuracy_picture(summary),
        COEFFICIENT_PICTURE: coefficient_picture(factors, diagnostics.overall, last_step),
    }
    text = report_markdown(summary, diagnostics)
    stored = {SUMMARY_FILE: summary.model_dump_json(indent=1)}
    pages = {MARKDOWN_FILE: text, HTML_FILE: report_html(summary.run_id, text, pictures)}
    write_files(out, pictures, pages | stored)
