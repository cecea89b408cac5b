"""What the search tried and what it cost, in the report."""

from relex.report.table import markdown_table
from relex.search.trials import SearchPath, Trial

SEARCH_TITLE = "## How the candidates were found"


def search_markdown(path: SearchPath) -> str:
    """A sentence on the cost and the end, and one row per candidate in the order of the trials."""
    cost = (
        f"The search spent **{path.num_tokens:,} tokens, {path.token_fraction:.0%} of the full "
        f"grid** ({path.num_grid_targets} targets on all {path.num_questions} questions, about "
        f"{path.num_grid_tokens:,} tokens). It ended because {path.stopped}."
    )
    rows = [_row(trial, path) for trial in path.trials]
    return f"{cost}\n\n{markdown_table(rows)}"


def _row(trial: Trial, path: SearchPath) -> dict[str, str]:
    return {
        "tried": trial.candidate.label,
        "for": trial.why,
        "questions": f"{trial.num_questions} of {path.num_questions}",
        "accuracy": f"{trial.accuracy:.3f}",
        "tokens": f"{trial.num_tokens:,}",
        "went no further": trial.end,
    }
