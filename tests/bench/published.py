"""The published procedure, stated again to be measured: deltas first, then the fit.

    python tests/bench/published.py deltas WINDOW DELTAS
    python tests/bench/published.py fit WINDOW DELTAS OUT TARGET...

`deltas` casts base and snapshots to float16, subtracts, and writes a row per step and tensor.
`fit` loads all rows of a tensor, takes the leading direction from their Gram matrix in float32,
fits a line over the rows, keeps the predictions of every target in float32 until all tensors are
done, and then saves them in bfloat16.

T rows, N elements of one tensor.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FILE = "model.safetensors"


def snapshot_folders(window: Path) -> list[Path]:
    return sorted(window.glob("step_*"), key=lambda path: int(re.sub(r"\D", "", path.name)))


def row_file(deltas: Path, name: str, num_rows: int, num_elements: int, mode: str) -> np.memmap:
    return np.memmap(deltas / f"{name}.bin", np.float16, mode, shape=(num_rows, num_elements))


def write_deltas(window: Path, deltas: Path) -> None:
    deltas.mkdir(parents=True)
    base = {n: t.half().view(-1) for n, t in load_file(window / "base" / FILE).items()}
    folders = snapshot_folders(window)
    rows = {n: row_file(deltas, n, len(folders), t.numel(), "w+") for n, t in base.items()}
    for row, folder in enumerate(folders):
        for name, tensor in load_file(folder / FILE).items():
            rows[name][row] = (tensor.half().view(-1) - base[name]).numpy()
    for written in rows.values():
        written.flush()


def fit(window: Path, deltas: Path, out: Path, targets: list[int]) -> None:
    num_rows = len(snapshot_folders(window))
    predictions: dict[int, dict[str, torch.Tensor]] = {target: {} for target in targets}
    with safe_open(window / "base" / FILE, "pt") as base:
        for name in base.keys():  # noqa: SIM118 - a file, not a dictionary
            weights = base.get_tensor(name).float()
            stored = row_file(deltas, name, num_rows, weights.numel(), "r")
            delta_TN = torch.from_numpy(np.array(stored)).float()
            square_T, left_TT = torch.linalg.eigh(delta_TN @ delta_TN.T)
            sigma = square_T[-1].clamp_min(1e-30).sqrt()
            direction_N = delta_TN.T @ left_TT[:, -1] / sigma
            slope, intercept = np.polyfit(range(num_rows), (sigma * left_TT[:, -1]).numpy(), 1)
            for target in targets:
                coefficient = slope * (target - 1) + intercept
                moved = weights + (coefficient * direction_N).view_as(weights)
                predictions[target][name] = moved
    for target, tensors in predictions.items():
        (out / f"step_{target}").mkdir(parents=True)
        halved = {name: tensor.bfloat16() for name, tensor in tensors.items()}
        save_file(halved, out / f"step_{target}" / FILE, {"format": "pt"})


def main() -> None:
    command, window, deltas, *rest = sys.argv[1:]
    if command == "deltas":
        write_deltas(Path(window), Path(deltas))
    else:
        fit(Path(window), Path(deltas), Path(rest[0]), [int(target) for target in rest[1:]])


if __name__ == "__main__":
    main()
