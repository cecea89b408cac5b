"""Where a window comes from that is not trained."""

from pydantic import Field

from relex.config.addresses import NO_CREDENTIALS
from relex.config.strict import Section


class WindowConfig(Section):
    """Snapshots that are there already."""

    uri: str = Field(min_length=1, json_schema_extra={"pattern": NO_CREDENTIALS})
    """A window that relex wrote (a folder or `s3://bucket/prefix`), or checkpoints named
    `checkpoint-N`, `global_step_N`, `step_N` or as other trainers do: in a folder, below
    `s3://bucket/prefix`, or as branches of a repository on the Hub; or a folder of LoRA adapters of
    these names. What is on S3 is read with the recipe's `storage`."""

    step_pattern: str = Field(default="", max_length=200)
    r"""Other names of steps, as a regular expression with one group: `run_(\d+)`; with
    `run_(?P<index>\d+)` the first step has the number 0."""

    allow_pickle: bool = False
    """Whether pickled weights of another trainer may be read: tensors only, in a process of their
    own."""
