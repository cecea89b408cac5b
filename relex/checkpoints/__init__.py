"""Hugging Face checkpoints: lazy reading, streaming writing."""

from relex.checkpoints.locate import (
    TOY_BASE,
    base_here,
    check_digest,
    find_base,
    locate_base,
    open_base,
)
from relex.checkpoints.reader import Checkpoint
from relex.checkpoints.same_tensors import check_same_tensors
from relex.checkpoints.tensor_file import TensorFile, TensorInfo
from relex.checkpoints.tensor_writer import TensorFileWriter, all_finite
from relex.checkpoints.writer import (
    Fill,
    NamedTensor,
    fill_checkpoint,
    write_checkpoint,
    write_tensor_file,
)
