"""What a machine with a GPU shows: `make gpu-check` runs it.

    python tests/bench/gpu_check.py [--work FOLDER] [--only PART]

Each part is a process of its own and becomes rows of one table. A part that lacks a package is
skipped by that package's name; nothing else is. Without vLLM answers are generated with
transformers. The models have true shapes and random weights, so that nothing is fetched. Without a
GPU the same runs on the processor with a model that is tiny, to see that it runs.
"""

import argparse
import importlib
import json
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
GB = 1e9
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The shape of Qwen2.5-0.5B, and one for a machine without a GPU.
HALF_BILLION = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
}
TINY = HALF_BILLION | {"hidden_size": 56, "intermediate_size": 64, "num_hidden_layers": 2}
SHAPE = HALF_BILLION if DEVICE == "cuda" else TINY | {"vocab_size": 64}
# The shape of Qwen2.5-1.5B, for a card that holds its training.
BILLION_AND_HALF = HALF_BILLION | {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
}
BYTES_FOR_LARGE = 70e9
Row = tuple[str, str]


@contextmanager
def peak_of_card() -> Iterator[list[float]]:
    """The most memory of the card that is taken in the block beside what was taken before it, by
    any process, in bytes."""
    peak, ended, before = [0.0], threading.Event(), 0.0
    if DEVICE == "cuda":
        torch.cuda.empty_cache()  # of a model that was built here
        free, total = torch.cuda.mem_get_info()
        before = float(total - free)

    def watch() -> None:
        while DEVICE == "cuda" and not ended.wait(0.05):
            free, total = torch.cuda.mem_get_info()
            peak[0] = max(peak[0], float(total - free) - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def build_base(folder: Path, **shape: int) -> float:
    """A Qwen2 in bfloat16 with random weights and the toy's tokenizer; returns its parameters."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from relex.checkpoints import TOY_BASE

    torch.manual_seed(0)
    config = Qwen2Config(tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, **shape)
    with torch.device(DEVICE):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOY_BASE / name, folder)
    return float(sum(parameter.numel() for parameter in model.parameters()))


def recipe_of(base: Path, **changes: object) -> dict[str, object]:
    """A short run on the toy's questions."""
    return {
        "name": "gpu-check",
        "base": {"path": str(base)},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation", "limit": 50},
            "test": [{"name": "toy", "source": {"kind": "toy", "split": "test", "limit": 50}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {
            "steps": 3,
            "learning_rate": 1e-5,
            "prompts_per_step": 8,
            "completions_per_prompt": 8,
            "completions_per_device_batch": 16,
            "max_completion_tokens": 64,
        },
        "extrapolation": {"targets": [6, 12]},
        "evaluation": {
            "grader": "exact_match",
            "samples_per_question": 2,
            "max_completion_tokens": 32,
            "max_context_tokens": 256,
        },
        **changes,
    }


def check_tests(work: Path) -> Iterator[Row]:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-W", "default", "-p"]
    command += ["no:cacheprovider", "tests/relex/extrapolation", "tests/relex/window/codec"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    yield "tests -m gpu", lines[-1] if lines else done.stderr[-200:]
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            yield "", line[:150]


def check_toy(work: Path) -> Iterator[Row]:
    """The whole job: trained, fitted, measured and published on the GPU."""
    import yaml

    import relex.run
    from relex.run.stage import Event, StageEnded

    recipe = yaml.safe_load((ROOT / "deployments/recipes/toy-small.yaml").read_text())
    recipe["device"] = DEVICE
    seconds: dict[str, float] = {}

    def listen(event: Event) -> None:
        if isinstance(event, StageEnded):
            seconds[event.stage] = event.seconds

    with peak_of_card() as peak:
        summary = relex.run.run(recipe, [listen])
    for result in summary.decision.results:
        chosen = " (chosen)" if result.candidate == summary.decision.chosen else ""
        yield f"toy-small, {result.candidate.key}{chosen}", f"{result.accuracy:.3f}"
    spent = ", ".join(f"{stage} {taken:.1f} s" for stage, taken in seconds.items())
    yield "toy-small, stages", spent
    yield "toy-small, memory of the card", f"{peak[0] / GB:.1f} GB"


def check_training(work: Path) -> Iterator[Row]:
    """GRPO steps of half a billion parameters, whole and by adapters, and of three times that where
    the card has room, each with its memory against the plan."""
    yield from _train(work, "half", "training, half", SHAPE)
    yield from _train(work, "adapters", "training, adapters", SHAPE, lora={"rank": 32})
    if DEVICE == "cuda" and torch.cuda.get_device_properties(0).total_memory > BYTES_FOR_LARGE:
        yield from _train(work, "large", "training, large", BILLION_AND_HALF)


def _train(work: Path, name: str, title: str, shape: dict[str, int], **options: object):
    from relex.checkpoints import Checkpoint
    from relex.config import check_recipe
    from relex.memory import plan_memory, read_model, this_machine
    from relex.training import StepTrained, TrainingJob, run_training
    from relex.window import open_window

    base, out = work / name, work / f"{name}-window"
    num_parameters = build_base(base, **shape)
    values = recipe_of(base, device=DEVICE)
    values["training"] |= options
    recipe = check_recipe(values, "gpu check")
    job = TrainingJob(
        recipe=recipe, base=str(base), window=str(out), work=str(work / f"{name}-training")
    )
    steps: list[StepTrained] = []
    with peak_of_card() as peak:
        run_training(job, lambda e: steps.append(e) if isinstance(e, StepTrained) else None, str)
    plan = plan_memory(recipe, read_model(str(base)), this_machine(DEVICE))
    yield f"{title}, parameters", f"{num_parameters / 1e6:,.1f} million"
    yield f"{title}, seconds a step", ", ".join(f"{step.step_seconds:.1f}" for step in steps)
    yield f"{title}, peak of the card", f"{peak[0] / GB:.1f} GB"
    for line in list(plan.lines())[1:]:
        yield f"{title}, memory plan", line
    window = open_window(str(out), base=Checkpoint(base))
    stored = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    share = stored / (2 * num_parameters * len(window.steps))
    yield f"{title}, window", f"{len(window.steps)} steps, {share:.2%} of their bytes"


def check_fit(work: Path) -> Iterator[Row]:
    """The fit of a window of deltas on the GPU beside the CPU."""
    sys.path.insert(0, str(Path(__file__).parent))
    from reference_window import build_reference_window

    from relex.checkpoints import Checkpoint
    from relex.extrapolation import fit_factors
    from relex.storage import open_store
    from relex.window import open_source, open_window, pack
    from tests.displacements import predict_displacement

    folder = work / "reference"
    size = (
        {"num_layers": 12, "num_steps": 24}
        if DEVICE == "cuda"
        else {"num_layers": 1, "num_steps": 3}
    )
    build_reference_window(folder, **size)
    base = Checkpoint(folder / "base")
    num_elements = sum(info.num_elements for info in base.tensors.values())
    store = open_store(str(work / "packed"))
    pack(open_source(str(folder), None, work), base, store)
    window = open_window(str(work / "packed"), base=base)
    fits = {}
    for device in ("cpu", DEVICE, DEVICE):
        shutil.rmtree(work / device, ignore_errors=True)
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        fits[device] = fit_factors(window, base, work / device, device=device)
        taken = time.perf_counter() - started
        memory = torch.cuda.max_memory_allocated() / GB if device == "cuda" else 0.0
        yield (
            f"fit, {device}",
            f"{taken:.1f} s for {num_elements / 1e6:.0f} M elements x {len(window.steps)} steps, "
            f"{2 * num_elements * len(window.steps) / taken / GB:.2f} GB of snapshots a second"
            + (f", {memory:.2f} GB of the card" if device == "cuda" else ""),
        )
    largest = 0.0
    for name, fitted in fits["cpu"].table.tensors.items():
        if fitted.squared_norm:
            expected = predict_displacement(fits["cpu"], name, 64)
            found = predict_displacement(fits[DEVICE], name, 64)
            largest = max(largest, float((found - expected).norm() / expected.norm()))
    yield f"fit, {DEVICE} against cpu", f"displacements differ by at most {largest:.1e}"


def check_swaps(work: Path) -> Iterator[Row]:
    """Swaps of a model of half a billion parameters, and canaries after them."""
    from relex.candidates import BASE, Candidate
    from relex.checkpoints import Checkpoint
    from relex.config.recipe import EvaluationConfig
    from relex.evaluation.canary import Canary
    from relex.evaluation.engine import EngineConfig, Request
    from relex.evaluation.transformers_engine import TransformersEngine
    from relex.evaluation.weight_source import WeightSource
    from relex.extrapolation import fit_factors
    from relex.window import open_window

    base = Checkpoint(work / "half")
    window = open_window(str(work / "half-window"), base=base)
    fit_factors(window, base, work / "half-factors", device=DEVICE, methods=("line",))
    source = WeightSource(
        base=str(work / "half"),
        window=str(work / "half-window"),
        factors=str(work / "half-factors"),
    )
    config = EngineConfig(
        source=source,
        evaluation=EvaluationConfig(max_completion_tokens=32, max_context_tokens=256),
        device=DEVICE,
        dtype="bfloat16",
    )
    engine = TransformersEngine(config, DEVICE)
    for candidate in (Candidate(step=3), Candidate(step=12, method="line"), BASE):
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            engine.swap(candidate)
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        yield f"swap, {candidate.key}", f"{min(seconds):.1f} s"
    requests = [Request(prompt_token_ids=(5, 6, 7 + n), seed=n) for n in range(16)]
    canary = Canary(engine, requests)
    num_same = 0
    for _ in range(10):
        engine.swap(Candidate(step=12, method="line"))
        canary.check_answers()
        num_same += 1
    yield "canaries", f"{num_same} of 10 answer as at the start"


def check_sharding(work: Path) -> Iterator[Row]:
    """FSDP2 on one card: parameters are gathered one by one, with the bits that were put in."""
    import torch.distributed
    from torch.distributed.fsdp import fully_shard
    from transformers import Qwen2Config, Qwen2ForCausalLM

    store = torch.distributed.FileStore(str(work / "store"), 1)
    torch.distributed.init_process_group(
        "nccl" if DEVICE == "cuda" else "gloo", store=store, rank=0, world_size=1
    )
    config = Qwen2Config(
        **(SHAPE | {"num_hidden_layers": 4, "vocab_size": 32_000 if DEVICE == "cuda" else 64})
    )
    with torch.device(DEVICE):
        model = Qwen2ForCausalLM(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    started = time.perf_counter()
    num_same = sum(
        torch.equal(tensor.full_tensor(), before[name])
        for name, tensor in model.state_dict().items()
    )
    taken = time.perf_counter() - started
    extra = (torch.cuda.max_memory_allocated() - held) / GB if DEVICE == "cuda" else 0.0
    torch.distributed.destroy_process_group()
    yield (
        "FSDP2, one card",
        f"{num_same} of {len(before)} tensors gathered bit for bit in {taken:.2f} s, "
        f"{extra:.2f} GB beside the model",
    )


PARTS: dict[str, tuple[Callable[[Path], Iterator[Row]], Sequence[str]]] = {
    "tests": (check_tests, ("pytest", "hypothesis", "pydantic", "zstandard", "xxhash")),
    "toy": (check_toy, ("trl", "datasets", "math_verify", "pydantic", "zstandard", "xxhash")),
    "training": (check_training, ("trl", "datasets", "pydantic", "zstandard", "xxhash")),
    "fit": (check_fit, ("pydantic", "zstandard", "xxhash")),
    "swaps": (check_swaps, ("trl", "datasets", "pydantic", "zstandard", "xxhash")),
    "sharding": (check_sharding, ()),
}
"""What each part needs beside torch, transformers, accelerate and safetensors."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(".relex/gpu-check"))
    parser.add_argument("--only", choices=PARTS, help="run this part, and print rows as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        for row in PARTS[arguments.only][0](arguments.work):
            print(json.dumps(row), flush=True)
        return
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    card = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU"
    print(f"| {card} | {versions} |")
    print("|---|---|", flush=True)
    for part in PARTS:
        for name, found in _rows(part, arguments.work):
            print(f"| {name} | {found} |", flush=True)


def _rows(part: str, work: Path) -> Iterator[Row]:
    missing = [name for name in PARTS[part][1] if not _is_there(name)]
    if missing:
        yield part, f"skipped: {', '.join(missing)} not installed"
        return
    started = time.perf_counter()
    command = [sys.executable, __file__, "--work", str(work), "--only", part]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("["):
            name, found = json.loads(line)
            yield name, found
    ended = "" if done.returncode == 0 else f", FAILED with status {done.returncode}"
    yield f"part {part}", f"{time.perf_counter() - started:.0f} s{ended}"


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
