"""What packing, unpacking and storing take of memory does not grow with the model."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

BUDGET_BYTES = 450_000_000
NUM_ELEMENTS = 120_000_000
"""Of one tensor: 480 MB in float32, so even one snapshot is larger than the budget."""

MEASURED = """
import json, sys
from pathlib import Path
import torch
from relex.checkpoints import Checkpoint
from relex.storage import open_store
from relex.training.snapshots import SnapshotSpool, snapshot_schema
from relex.window import open_source, open_window, open_writer, pack, unpack

root, action, precision = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
base = Checkpoint(root / "base")
torch.set_num_threads(1)

def peak():  # unlike ru_maxrss, not that of the parent before exec
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

state = {}
if action == "train":
    state = {"w": Checkpoint(root / "run/step_1").read("w")}
Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
before = peak()
window = root / f"window-{precision}"
if action == "pack":
    source = open_source(str(root / "run"), None, root)
    pack(source, base, open_store(str(window)), precision=precision)
elif action == "train":
    writer = open_writer(open_store(f"{window}-trained"), base, precision, (1, 2))
    spool = SnapshotSpool(root / "spool", snapshot_schema(base, precision), writer)
    for step in (1, 2):
        spool.keep(step, state)
        spool.wait()
        state["w"][step::100] += 1e-3
else:
    unpack(open_window(str(window), base=base), 2, base, root / f"out-{precision}")
print("\\n" + json.dumps(peak() - before))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A base and two float32 checkpoints of one large tensor, 1 % of which moves a step."""
    root = tmp_path_factory.mktemp("large")
    weights = torch.randn(NUM_ELEMENTS, generator=torch.Generator().manual_seed(0)).bfloat16()
    for name in ("base", "run/step_1", "run/step_2"):
        (root / name).mkdir(parents=True)
    save_file({"w": weights}, root / "base/model.safetensors")
    weights = weights.float()
    for step in (1, 2):
        weights[step::100] += 1e-3
        save_file({"w": weights}, root / f"run/step_{step}/model.safetensors")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "rounded"])
def test_memory_is_bounded_by_the_budget_and_not_by_the_model(root, precision, capsys):
    for action in ("pack", "unpack", "train"):
        measured = subprocess.run(
            [sys.executable, "-c", MEASURED, str(root), action, precision],
            check=True,
            stdout=subprocess.PIPE,
        )
        grown_bytes = json.loads(measured.stdout.splitlines()[-1])
        with capsys.disabled():
            print(f"\n{action} {precision}: {grown_bytes / 1e6:.0f} MB more than at the start")
        assert grown_bytes < BUDGET_BYTES


CONVERTED = """
import sys
import warnings
from pathlib import Path
from relex.window.trainers.convert import convert

convert(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
lines = Path("/proc/self/status").read_text().splitlines()
print("\\n" + next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["shards", "distributed"])
def test_pickled_weights_are_read_in_the_memory_of_one_step(form, tmp_path, capsys):
    import torch.distributed.checkpoint as dcp

    def peak_bytes(name: str, num_tensors: int, num_elements: int) -> int:
        folder = tmp_path / name
        folder.mkdir()
        weights = {f"model.{i}.weight": torch.randn(num_elements) for i in range(num_tensors)}
        if form == "shards":
            torch.save(weights, folder / "model_world_size_1_rank_0.pt")
        else:
            with warnings.catch_warnings(action="ignore"):
                dcp.save(weights, checkpoint_id=folder, no_dist=True)
        command = [sys.executable, "-c", CONVERTED, folder, form, folder / "out.safetensors"]
        measured = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return int(measured.stdout.splitlines()[-1]) * 1024

    # What the libraries take, and then a step of 480 MB in eight tensors: its files are mapped.
    before, num_elements = peak_bytes("small", 1, 1000), 15_000_000
    grown_bytes = peak_bytes("large", 8, num_elements) - before
    with capsys.disabled():
        print(f"\n{form}: {grown_bytes / 1e6:.0f} MB more than for nothing")
    assert grown_bytes < (8 + 2) * 4 * num_elements
