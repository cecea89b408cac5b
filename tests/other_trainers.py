"""Checkpoints as other trainers write them; the names of files and keys are those of their code.

Run as a script, it is one of the processes of an FSDP2 training over gloo, which save the sharded
layouts: `python -m tests.other_trainers OUT RANK`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from relex.checkpoints import TOY_BASE

ROOT = Path(__file__).parents[1]
STEPS = (1, 2)
NUM_PROCESSES = 2
EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
Tensors = dict[str, torch.Tensor]


def toy_at(step: int) -> Tensors:
    """The toy's weights after a step of a training in float32."""
    random = torch.Generator().manual_seed(step)
    return {
        name: tensor.float() + (torch.rand(tensor.shape, generator=random) < 0.02) * 1e-3
        for name, tensor in load_file(TOY_BASE / "model.safetensors").items()
    }


def state_at(step: int) -> Tensors:
    """The `state_dict()` of the model: the tied output layer is there as well."""
    state = toy_at(step)
    return {**state, OUTPUT: state[EMBEDDING]}


def write(path: Path, content: Any = b"not to be opened") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".safetensors":
        save_file(content, path, {"format": "pt"})
    else:
        torch.save(content, path)


def write_config(folder: Path) -> None:
    """What stands beside the weights: config and tokenizer."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        write(folder / name, (TOY_BASE / name).read_bytes())


def write_hugging_face(folder: Path, step: int) -> None:
    write_config(folder)
    write(folder / "model.safetensors", toy_at(step))


def trl(root: Path, step: int) -> None:
    write_hugging_face(root / f"checkpoint-{step}", step)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        write(root / f"checkpoint-{step}" / name)


def verl(root: Path, step: int, hugging_face: bool = False) -> None:
    """On one process, whose tensors are plain."""
    write(root / "latest_checkpointed_iteration.txt", str(step).encode())
    for role, state in (("actor", state_at(step)), ("critic", {"v_head.weight": torch.ones(3)})):
        folder = root / f"global_step_{step}" / role
        for kind in ("optim", "extra_state"):
            write(folder / f"{kind}_world_size_1_rank_0.pt")
        write(folder / "model_world_size_1_rank_0.pt", state)
        write_config(folder / "huggingface")
    if hugging_face:
        write_hugging_face(root / f"global_step_{step}/actor/huggingface", step)


def verl_merged(root: Path, step: int) -> None:
    verl(root, step, hugging_face=True)


def skyrl_exports(root: Path, step: int) -> None:
    write_hugging_face(root / f"global_step_{step}/policy", step)


def skyrl_older(root: Path, step: int) -> None:
    folder = root / f"global_step_{step}"
    write(folder / "trainer_state.pt")
    write(folder / "policy/model_state.pt", state_at(step))
    write_config(folder / "policy/huggingface")


def nemo_rl_consolidated(root: Path, step: int) -> None:
    folder = root / f"step_{step}/policy"
    write(folder / "weights/model/shard-00001-model-00001-of-00001.safetensors")
    write_hugging_face(folder / "weights/model/consolidated", step)
    write(folder / "optimizer/optim/.metadata")


def prime_rl_weights(root: Path, step: int) -> None:
    write_hugging_face(root / f"step_{step}/weight", step)
    write(root / f"step_{step}/STABLE", b"")
    write(root / f"step_{step}/trainer/.metadata")


def prime_rl_broadcasts(root: Path, step: int) -> None:
    write_hugging_face(root / f"step_{step}", step)
    write(root / f"step_{step}/STABLE", b"")


def openrlhf(root: Path, step: int) -> None:
    write_hugging_face(root / f"global_step{step}_hf", step)
    write(root / f"_actor/global_step{step}/mp_rank_00_model_states.pt")


def areal(root: Path, step: int) -> None:
    write_hugging_face(root / f"epoch0epochstep{step - 1}globalstep{step - 1}", step)


def slime(root: Path, step: int) -> None:
    """`--save-hf .../iter_{rollout_id:07d}`."""
    write_hugging_face(root / f"iter_{step - 1:07d}", step)


WHOLE = {
    layout.__name__: layout
    for layout in (
        trl,
        verl_merged,
        skyrl_exports,
        nemo_rl_consolidated,
        prime_rl_weights,
        prime_rl_broadcasts,
        openrlhf,
        areal,
        slime,
    )
}
"""Safetensors, which need nothing to be said."""

SHARDED = ("verl_fsdp", "skyrl", "nemo_rl", "nemo_rl_v2", "prime_rl", "accelerate")
"""Written by several processes."""


def write_megatron(folder: Path) -> None:
    for name in ("common.pt", ".metadata", "__0_0.distcp", "metadata.json"):
        write(folder / name)


def slime_megatron(root: Path, step: int) -> None:
    write_megatron(root / f"iter_{step - 1:07d}")


def verl_megatron(root: Path, step: int) -> None:
    folder = root / f"global_step_{step}/actor"
    write(folder / "dist_ckpt/__0_0.distcp")
    write_config(folder / "huggingface")


def skyrl_megatron(root: Path, step: int) -> None:
    write_megatron(root / f"global_step_{step}/policy")
    write_config(root / f"global_step_{step}/policy/huggingface")


def nemo_rl_megatron(root: Path, step: int) -> None:
    write_megatron(root / f"step_{step}/policy/weights/iter_0000000")


def nemo_rl_rows(root: Path, step: int) -> None:
    folder = root / f"step_{step}/policy"
    write(folder / "weights/model/shard-00001-model-00001-of-00001.safetensors")
    write(folder / "optimizer/optim/.metadata")


def openrlhf_deepspeed(root: Path, step: int) -> None:
    folder = root / f"global_step{step}"
    write(folder / "mp_rank_00_model_states.pt")
    write(folder / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")


NOT_READ = {
    layout.__name__: (layout, way_out)
    for layout, way_out in (
        (slime_megatron, r"iter_0000000: its weights are Megatron's \(common\.pt\).*--save-hf"),
        (verl_megatron, r"Megatron's \(actor/dist_ckpt/__0_0\.distcp\).*--backend megatron"),
        (skyrl_megatron, r"Megatron's \(policy/common\.pt\)"),
        (nemo_rl_megatron, r"Megatron's .*convert_megatron_to_hf"),
        (nemo_rl_rows, r"NeMo-RL's \(policy/weights/model/shard-0.*save_consolidated: true"),
        (openrlhf_deepspeed, r"DeepSpeed's \(.*_states\.pt\).*zero_to_fp32\.py"),
    )
}
"""Forms whose way out is said."""


def module_of(state: Tensors) -> torch.nn.Module:
    """Modules whose `state_dict()` is `state`, with one parameter for what is tied."""
    root, parameters = torch.nn.Module(), {}
    for name, tensor in state.items():
        module = root
        *path, leaf = name.split(".")
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        known = parameters.setdefault(tensor.data_ptr(), torch.nn.Parameter(tensor))
        module.register_parameter(leaf, known)
    return root


def save_sharded(out: Path, rank: int) -> None:
    """What verl, SkyRL, NeMo-RL, prime-rl and accelerate save of a model that FSDP2 has split."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (NUM_PROCESSES,), mesh_dim_names=("fsdp",))
    for step in STEPS:
        model = module_of(state_at(step))
        fully_shard(model, mesh=mesh)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        for folder in (f"verl_fsdp/global_step_{step}/actor", f"skyrl/global_step_{step}/policy"):
            shard = f"world_size_{NUM_PROCESSES}_rank_{rank}.pt"
            write(out / folder / f"model_{shard}", model.state_dict())
            write(out / folder / f"optim_{shard}", optimizer.state_dict())
            write(out / folder / "fsdp_config.json", json.dumps({"world_size": 2}).encode())
            write_config(out / folder / "huggingface")
        weights = {"model": get_model_state_dict(model)}
        both = dict(zip(("model", "optimizers"), get_state_dict(model, [optimizer]), strict=True))
        for state, folder in (
            (weights, f"nemo_rl/step_{step}/policy/weights"),
            ({"optim": both["optimizers"]}, f"nemo_rl/step_{step}/policy/optimizer"),
            (weights["model"], f"nemo_rl_v2/step_{step}/policy/weights/model"),
            ({"app": {**both, "progress": {"step": step}}}, f"prime_rl/step_{step}/trainer"),
            (weights, f"accelerate/checkpoint-{step}/pytorch_model_fsdp_0"),
        ):
            dcp.save(state, checkpoint_id=out / folder)


def run_sharded(out: Path) -> None:
    """All of SHARDED below `out`, by two processes."""
    # As a module: beside a script in this folder, `tests/relex` would be found for `relex`.
    command = [sys.executable, "-m", "tests.other_trainers", str(out)]
    processes = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(NUM_PROCESSES)]
    assert [process.wait() for process in processes] == [0] * NUM_PROCESSES


if __name__ == "__main__":
    store = f"file://{sys.argv[1]}/rendezvous"
    torch.distributed.init_process_group(
        "gloo", init_method=store, rank=int(sys.argv[2]), world_size=NUM_PROCESSES
    )
    save_sharded(Path(sys.argv[1]), int(sys.argv[2]))
    torch.distributed.destroy_process_group()
