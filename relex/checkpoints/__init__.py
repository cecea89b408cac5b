"""Hugging Face checkpoints: lazy reading, streaming writing."""

from relex.checkpoints.locate import TOY_BASE, find_base, locate_base, open_base
from relex.checkpoints.reader import Checkpoint, check_same_tensors
from relex.checkpoints.tensor_file import TensorFile, TensorInfo
from relex.checkpoints.tensor_writer import TensorFileWriter, all_finite
from relex.checkpoints.writer import (
    Fill,
    NamedTensor,
    fill_checkpoint,
    write_checkpoint,
    write_tensor_file,
)

__all__ = [
    "TOY_BASE",
    "Checkpoint",
    "Fill",
    "NamedTensor",
    "TensorFile",
    "TensorFileWriter",
    "TensorInfo",
    "all_finite",
    "check_same_tensors",
    "fill_checkpoint",
    "find_base",
    "locate_base",
    "open_base",
    "write_checkpoint",
    "write_tensor_file",
]
