"""Problems in a Parquet file."""

from collections.abc import Iterator
from pathlib import Path

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.rows import Row


def parquet_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of a file in its order; raises ProblemError when it is missing or no Parquet."""
    path = Path(source.path)
    # Imported here because it takes half a second that no other source needs.
    import pyarrow
    from pyarrow import parquet

    try:
        batches = parquet.ParquetFile(path).iter_batches()
        rows = [row for batch in batches for row in batch.to_pylist()]
    except (OSError, pyarrow.ArrowException) as error:
        raise ProblemError(f"{path}: cannot be read ({error}); give a Parquet file") from error
    for index, columns in enumerate(rows):
        yield Row(f"{path}, row {index}", columns)
