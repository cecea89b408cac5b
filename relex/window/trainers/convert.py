"""The child that reads pickled weights: `python -m relex.window.trainers.convert FOLDER FORM OUT`.

It unpickles tensors and nothing else, maps files into memory and joins one tensor at a time, so
that a step of any size is read in the memory of its largest tensor.
"""

import re
import sys
from pathlib import Path

from relex.checkpoints import write_tensor_file
from relex.checkpoints.tensor_file import DTYPES
from relex.child_side import child_main
from relex.errors import WindowError
from relex.window.trainers.distributed import DistributedCheckpoint
from relex.window.trainers.shards import Shards

HF_METADATA = {"format": "pt"}
WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|^module)\.")
"""Names of modules that are wrapped around others; they mean nothing."""


def convert(folder: Path, form: str, out: Path) -> None:
    """Write the weights in `folder` as one safetensors file; raises WindowError when they cannot be
    read."""
    found = Shards(folder) if form == "shards" else DistributedCheckpoint(folder)
    name_of = {WRAPPERS.sub("", name): name for name in found}
    for name, info in found.schema.items():
        if info.dtype not in DTYPES.values():
            raise WindowError(f"{folder}: {name} is {info}, which cannot be a weight")
    schema = {plain: found.schema[name] for plain, name in name_of.items()}
    tensors = ((plain, found[name]) for plain, name in name_of.items())
    write_tensor_file(out, schema, tensors, HF_METADATA)


def main() -> None:
    convert(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))


if __name__ == "__main__":
    child_main(main, "reading pickled weights")
