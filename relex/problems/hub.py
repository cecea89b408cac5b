"""Problems in a dataset of the Hugging Face Hub."""

from collections.abc import Iterator

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.rows import Row


def hub_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of one split; raises ProblemError where the Hub or the dataset refuses."""
    where = f"{source.path} (split {source.split})"
    # Imported here because it takes a second that no other source needs.
    import datasets

    try:
        dataset = datasets.load_dataset(
            source.path, source.config or None, split=source.split, revision=source.revision
        )
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            f"{where}: cannot be loaded ({type(error).__name__}: {reason}); "
            "check path, config, split and revision, and that the Hub is reachable"
        ) from error
    for index, columns in enumerate(dataset):
        yield Row(f"{where}, row {index}", columns)
