"""How long a candidate takes into an engine that runs, and its proof by checksums: `make bench`.

    python tests/bench/bench_swaps.py [--repeats 4]

The toy, and a random model of 99 M parameters, each with a window of three steps in which 3 % more
of the elements move at every step. Seconds are those of this process's processor time, the least of
the repeats.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE, Checkpoint, NamedTensor, write_checkpoint
from relex.config.recipe import EvaluationConfig
from relex.evaluation.engine import EngineConfig
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.weight_source import WeightSource
from relex.extrapolation import fit_factors
from relex.window import open_window

CANDIDATES = (BASE, Candidate(step=3), Candidate(step=9, method="line"))
SIZES = {
    "vocab_size": 32_000,
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 10,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "eos_token_id": 1,
}


def random_base(folder: Path) -> Path:
    model = Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True))
    model.bfloat16().save_pretrained(folder)
    AutoTokenizer.from_pretrained(TOY_BASE).save_pretrained(folder)
    return folder


def source_of(base: Checkpoint, folder: Path) -> WeightSource:
    for step in (1, 2, 3):
        write_checkpoint(folder / "window" / f"checkpoint-{step}", base, moved(base, step))
    fit_factors(open_window(str(folder / "window")), base, folder / "factors")
    return WeightSource(
        base=str(base.folder), window=str(folder / "window"), factors=str(folder / "factors")
    )


def moved(base: Checkpoint, step: int) -> Iterator[NamedTensor]:
    for number, name in enumerate(base.tensors):
        weights = base.read_tensor(name)
        chance = torch.rand(weights.shape, generator=torch.Generator().manual_seed(number))
        farther = (weights.float() * (1 + 0.01 * step)).to(weights.dtype)
        yield name, torch.where(chance < 0.03 * step, farther, weights)


def least_seconds(work: Callable[[], object], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=4)
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)
    torch.set_num_threads(1)
    labels = [candidate.key for candidate in CANDIDATES]
    table = Table("parameters", "computes in", *labels, "checksums", title="seconds of a swap")
    with tempfile.TemporaryDirectory() as folder:
        for number, base_folder in enumerate((TOY_BASE, random_base(Path(folder) / "base"))):
            base = Checkpoint(base_folder)
            source = source_of(base, Path(folder) / str(number))
            num_elements = sum(info.num_elements for info in base.tensors.values())
            for dtype in ("bfloat16", "float32"):
                evaluation = EvaluationConfig(max_completion_tokens=8, max_context_tokens=64)
                config = EngineConfig(source=source, evaluation=evaluation, dtype=dtype)
                engine = TransformersEngine(config, "cpu")
                swaps = [least_seconds(partial(engine.swap, each), repeats) for each in CANDIDATES]
                figures = [*swaps, least_seconds(engine.unlike_layers, repeats)]
                cells = [f"{seconds:.3f}" for seconds in figures]
                table.add_row(f"{num_elements / 1e6:.1f} M", dtype, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
