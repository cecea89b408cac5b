"""Trains and measures the runs of the study, one process each, and packs what is there.

`python tests/bench/study/many.py ROOT --out OUT --processes 16 --seconds 400 --seeds 1,2,3`. Runs
that are done are kept; at the limit what runs is ended, and what it has measured so far counts. One
`records-SEED.tar.gz` a seed is written to OUT, again and again, each whole at any moment.
"""

import argparse
import io
import multiprocessing
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from one import is_done, record_path, run_setting
from setting import Setting, settings

from relex.storage.atomic import write_atomic

PACK_SECONDS = 45.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="bases, and the records of runs")
    parser.add_argument("--out", type=Path, help="folder for the packed records")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="limit")
    parser.add_argument("--seeds", type=_numbers, default=(1, 2, 3))
    parser.add_argument("--only", default="", help="only runs whose name begins so")
    arguments = parser.parse_args()
    chosen = [s for s in settings(arguments.seeds) if s.name.startswith(arguments.only)]
    run_many(
        chosen, arguments.root.resolve(), arguments.processes, arguments.seconds, arguments.out
    )


def run_many(
    chosen: Sequence[Setting], root: Path, num_processes: int, seconds: float, out: Path | None
) -> None:
    """Every run in a process of its own, forked when all is imported, until the limit."""
    end = time.monotonic() + seconds
    missing = [setting for setting in chosen if not is_done(setting, root)]
    context = multiprocessing.get_context("fork")
    with context.Pool(num_processes, maxtasksperchild=1) as pool:
        # Each on its own: map would hand out several at a time.
        pending = [(each, pool.apply_async(run_setting, (each, root))) for each in missing]
        while pending and time.monotonic() < end:
            pending[0][1].wait(max(min(PACK_SECONDS, end - time.monotonic()), 0))
            for setting, result in [pair for pair in pending if pair[1].ready()]:
                print(f"{setting.name}: {result.get():.0f} s", flush=True)
                pending.remove((setting, result))
            if out is not None:
                pack(chosen, root, out)
    if out is not None:
        pack(chosen, root, out)


def pack(chosen: Sequence[Setting], root: Path, out: Path) -> None:
    """The records that are there, a file for each seed."""
    out.mkdir(parents=True, exist_ok=True)
    for seed in dict.fromkeys(setting.seed for setting in chosen):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
            for setting in chosen:
                path = record_path(setting, root)
                if setting.seed == seed and path.exists():
                    tar.add(path, path.name)
        write_atomic(out / f"records-{seed}.tar.gz", packed.getvalue())


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
