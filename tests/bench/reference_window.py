"""The reference window of the benches: a Qwen3 of 116 M parameters that moves as in RL.

Every step moves the float32 master weights along one direction per tensor, plus noise, at the size
of an Adam step at the learning rates of RL; the snapshots are the masters in bfloat16. So about
1.5 % of the elements change from one step to the next, most of them by one unit in the last place,
and the displacements are close to rank 1. The same seed gives the same bytes.

    python tests/bench/reference_window.py FOLDER

N elements of one tensor.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from relex.checkpoints import TensorFileWriter, TensorInfo

HIDDEN = 768
INTERMEDIATE = 3072
NUM_HEADS = 12
NUM_KEY_VALUE_HEADS = 4
HEAD_DIM = 64
VOCABULARY = 16384
WEIGHT_SPREAD = 0.02
HF_METADATA = {"format": "pt"}


@dataclass(frozen=True)
class Motion:
    """How the masters move in one step."""

    drift: float = 4.4e-7
    """Standard deviation of the move along the tensor's direction."""

    noise: float = 2.8e-7
    """Standard deviation of the move that is new at every step."""


def build_reference_window(
    folder: Path,
    *,
    num_layers: int = 12,
    num_steps: int = 24,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    motion: Motion = Motion(),
) -> None:
    """Write `base/` and `step_1/` .. `step_<num_steps>/` into `folder`, one tensor in memory.

    The base is bfloat16; `dtype` is that of the snapshots.
    """
    schema = dict(qwen3_schema(num_layers, torch.bfloat16))
    with ExitStack() as stack:

        def open_writer(name: str, dtype: torch.dtype) -> TensorFileWriter:
            checkpoint = folder / name
            checkpoint.mkdir(parents=True)
            config = json.dumps(qwen3_config(num_layers), indent=2)
            (checkpoint / "config.json").write_text(config)
            Tokenizer(WordLevel({}, "")).save(str(checkpoint / "tokenizer.json"))
            schema = dict(qwen3_schema(num_layers, dtype))
            path = checkpoint / "model.safetensors"
            return stack.enter_context(TensorFileWriter(path, schema, HF_METADATA))

        base = open_writer("base", torch.bfloat16)
        snapshots = [open_writer(f"step_{step}", dtype) for step in range(1, num_steps + 1)]
        for index, (name, info) in enumerate(schema.items()):
            random = np.random.Generator(np.random.SFC64([seed, index]))
            master_N = _first_weights(info, random)
            base.append(name, master_N)
            steps = moves(info.num_elements, motion, random)
            for snapshot, move_N in zip(snapshots, steps, strict=False):
                master_N += move_N
                snapshot.append(name, master_N)


def qwen3_schema(num_layers: int, dtype: torch.dtype) -> Iterator[tuple[str, TensorInfo]]:
    """Names and shapes of a Qwen3 with tied embeddings, in the order of its checkpoints."""
    queries, keys = NUM_HEADS * HEAD_DIM, NUM_KEY_VALUE_HEADS * HEAD_DIM
    layer = {
        "input_layernorm": (HIDDEN,),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "post_attention_layernorm": (HIDDEN,),
        "self_attn.k_norm": (HEAD_DIM,),
        "self_attn.k_proj": (keys, HIDDEN),
        "self_attn.o_proj": (HIDDEN, queries),
        "self_attn.q_norm": (HEAD_DIM,),
        "self_attn.q_proj": (queries, HIDDEN),
        "self_attn.v_proj": (keys, HIDDEN),
    }
    yield "model.embed_tokens.weight", TensorInfo((VOCABULARY, HIDDEN), dtype)
    for index in range(num_layers):
        for name, shape in layer.items():
            yield f"model.layers.{index}.{name}.weight", TensorInfo(shape, dtype)
    yield "model.norm.weight", TensorInfo((HIDDEN,), dtype)


def qwen3_config(num_layers: int) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": num_layers,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": NUM_KEY_VALUE_HEADS,
        "head_dim": HEAD_DIM,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }


def _first_weights(info: TensorInfo, random: np.random.Generator) -> torch.Tensor:
    """float32 masters that bfloat16 holds exactly, as after loading a base."""
    if len(info.shape) == 1:
        return torch.ones(info.num_elements)
    weights_N = random.standard_normal(info.num_elements, dtype=np.float32) * WEIGHT_SPREAD
    return torch.from_numpy(weights_N).bfloat16().float()


def moves(num_elements: int, motion: Motion, random: np.random.Generator) -> Iterator[torch.Tensor]:
    """Endless moves of one tensor's masters.

    The noise is uniform with 256 values: enough for what is measured, and fast to draw.
    """
    drift_N = torch.from_numpy(random.standard_normal(num_elements, dtype=np.float32))
    drift_N *= motion.drift
    noise_step = motion.noise / (((256**2 - 1) / 12) ** 0.5)
    while True:
        noise_N = torch.frombuffer(bytearray(random.bytes(num_elements)), dtype=torch.uint8)
        yield drift_N + (noise_N.float() - 127.5) * noise_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    options = parser.parse_args()
    build_reference_window(
        options.folder,
        num_layers=options.layers,
        num_steps=options.steps,
        seed=options.seed,
        dtype=getattr(torch, options.dtype),
    )


if __name__ == "__main__":
    main()
