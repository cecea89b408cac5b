"""Where in the folder of a step its weights are, and in which form.

Read in the sources of the trainers; docs/other-trainers.md has the table.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from relex.checkpoints.weight_files import SUFFIX
from relex.errors import WindowError
from relex.window.adapter_config import CONFIG_FILE

Form = Literal["safetensors", "adapter", "shards", "distributed"]
"""A Hugging Face checkpoint; a LoRA adapter; what `torch.save` wrote, one file for each process; a
checkpoint of `torch.distributed.checkpoint`. The last two are pickled."""

ADAPTERS = ("", "actor/lora_adapter", "policy/lora_adapter", "actor/huggingface/lora_adapter")
SAFETENSORS = (
    "actor/huggingface",  # verl
    "policy/huggingface",
    "policy",  # SkyRL's exports
    "policy/weights/model/consolidated",  # NeMo-RL
    "policy/weights/model",
    "weight",  # prime-rl
    "weights",
    "",
)
PICKLED = (
    "actor",  # verl
    "policy",  # SkyRL
    "policy/weights",  # NeMo-RL
    "policy/weights/model",
    "trainer",  # prime-rl
    "pytorch_model_fsdp_0",  # accelerate
    "",
)
OTHERS = ("actor/dist_ckpt", "policy/weights/iter_0000000")
FOLDERS = tuple(dict.fromkeys((*ADAPTERS, *SAFETENSORS, *PICKLED, *OTHERS)))

SHARD = re.compile(r"model_world_size_\d+_rank_\d+\.pt|model_state\.pt")
METADATA_FILE = ".metadata"

MERGES = {
    "NeMo-RL": (
        re.compile(r"(.*/)?shard-\d+-model-.*\.safetensors"),
        "each file holds rows of every tensor: let it save whole ones "
        "(checkpointing.save_consolidated: true), or torch's (model_save_format: torch_save)",
    ),
    "Megatron": (
        re.compile(r"(.*/)?(common\.pt|mp_rank_\d+(_\d+)?)|actor/dist_ckpt/.+"),
        "names and layers are Megatron's own: convert every step to a Hugging Face checkpoint with "
        "the trainer's tool (verl: python -m verl.model_merger merge --backend megatron; slime: "
        "tools/convert_torch_dist_to_hf.py, or train with --save-hf; NeMo-RL: "
        "examples/converters/convert_megatron_to_hf.py)",
    ),
    "DeepSpeed": (
        re.compile(r"(.*/)?(\w*mp_rank_\d+_model_states|zero_pp_rank_.*)\.pt"),
        "merge every step with the zero_to_fp32.py that lies beside it (--safe_serialization), or "
        "let the trainer save Hugging Face checkpoints (OpenRLHF: --ckpt.save_hf)",
    ),
}
"""Forms that are not read: a file that only they have, and the way out."""


@dataclass(frozen=True)
class Place:
    """Weights in the folder of a step."""

    folder: str
    """Relative, with forward slashes; nothing for the step's own."""

    form: Form

    @property
    def is_pickled(self) -> bool:
        return self.form in ("shards", "distributed")

    def is_needed(self, name: str) -> bool:
        """Whether a file of the step, by its name in it, belongs to the weights."""
        path = PurePosixPath(name)
        if path.parent != PurePosixPath(self.folder):
            return False
        if self.form == "shards":
            return SHARD.fullmatch(path.name) is not None
        return path.name == METADATA_FILE or path.suffix == ".distcp"


def names_in(step: Path) -> list[str]:
    """What lies in the folders of a step where weights can be, by its name in the step."""
    return [
        path.relative_to(step).as_posix()
        for folder in FOLDERS
        for path in (step / folder).glob("*")
    ]


def weight_place(where: str, names: Collection[str]) -> Place:
    """Where the weights of a step are, of which `names` are the files.

    An adapter goes before whole weights, which beside it are the base's, and whole weights before
    shards. Where there is nothing, the place is the one that should hold it. Raises WindowError
    when the weights are in a form that is not read.
    """
    for form, folders in _candidates(names):
        for folder in folders:
            return Place(folder, form)
    for trainer, (sign, way_out) in MERGES.items():
        for name in sorted(filter(sign.fullmatch, names)):
            raise WindowError(f"{where}: its weights are {trainer}'s ({name}); {way_out}")
    inner = next((it for it in SAFETENSORS if any(n.startswith(f"{it}/") for n in names)), "")
    return Place(inner, "safetensors")


def _candidates(names: Collection[str]) -> Iterator[tuple[Form, list[str]]]:
    def having(folders: tuple[str, ...], found: set[str]) -> list[str]:
        return [folder for folder in folders if str(PurePosixPath(folder)) in found]

    def parents(is_meant: re.Pattern[str]) -> set[str]:
        paths = map(PurePosixPath, names)
        return {str(path.parent) for path in paths if is_meant.fullmatch(path.name)}

    yield "adapter", having(ADAPTERS, parents(re.compile(re.escape(CONFIG_FILE))))
    yield (
        "safetensors",
        having(SAFETENSORS, parents(re.compile(rf"(?!shard-\d).*{re.escape(SUFFIX)}"))),
    )
    yield "shards", having(PICKLED, parents(SHARD))
    of_megatron = parents(re.compile(r"common\.pt"))
    distributed = parents(re.compile(re.escape(METADATA_FILE))) - of_megatron
    yield "distributed", having(PICKLED, distributed)
