"""A training that is not ours, with KeepWindow beside a callback that saves what the model is.

Run in several processes: `python -m torch.distributed.run ... -m tests.window_training OUT KIND`.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from relex.checkpoints import TOY_BASE
from relex.training.sharding import set_up
from relex.trl import KeepWindow

NUM_STEPS = 4


class Saved(TrainerCallback):
    """The state of the model after every step, gathered, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        whole = {
            name: (it.full_tensor() if isinstance(it, DTensor) else it).detach().clone()
            for name, it in getattr(model, "module", model).state_dict().items()
        }
        if state.is_world_process_zero:
            torch.save(whole, self._folder / f"state-{state.global_step}.pt")


class OnCpu(Trainer):
    """Also shards on the CPU."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.fsdp:
            set_up(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True


def trainer(out: Path, kind: str, keep: TrainerCallback, **arguments: Any) -> Trainer:
    """`kind` names what is special of plain, ddp, fsdp2, lora and lora-fsdp2."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(TOY_BASE, dtype=torch.float32)
    if "lora" in kind:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    rows = torch.randint(3, 20, (64, 6), generator=torch.Generator().manual_seed(1))
    sharded = {}
    if "fsdp2" in kind:
        loading = {"version": 2, "cpu_ram_efficient_loading": False}
        sharded = {"fsdp": True, "fsdp_config": loading}
    plan = {
        "max_steps": NUM_STEPS,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
        **arguments,
    }
    return OnCpu(
        model,
        TrainingArguments(str(out / "trainer"), **plan, **sharded),
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        callbacks=[Saved(out), keep],
    )


if __name__ == "__main__":
    place = Path(sys.argv[1])
    callback = KeepWindow(str(place / "window"), str(TOY_BASE), snapshot_dtype="float32")
    trainer(place, sys.argv[2], callback).train()
