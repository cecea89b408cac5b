"""What orchestration costs: `make bench` runs it.

    python tests/bench/bench_orchestration.py [RECIPE]

Runs a recipe (the toy) once, as `make demo` does, against a Prefect server that is up already, and
splits the wall time of the command. Work is training, fit, and generation with grading, each with
the start of its own processes; all else is orchestration: imports, checks, Prefect, MLflow on
SQLite, S3, publishing, report. Its seconds grow with the number of candidates and hardly with the
length of training, so their share of a run of an hour is stated too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import prefect, prefect_environment, running

ROOT = Path(__file__).parents[2]
TOY = ROOT / "deployments" / "recipes" / "toy.yaml"
WORK = ("train", "fit", "validation", "guard", "test")
# The tasks that a stage of work is a part of, and what of them is none.
TASKS_WITH_WORK = ("train", "fit", "measure candidates", "search candidates", "measure finalists")
HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Timed:
    """Wall times of one run, in seconds."""

    total: float
    work: dict[str, float]
    orchestration: dict[str, float]

    @property
    def outside(self) -> float:
        """All that is not work."""
        return self.total - sum(self.work.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", type=Path, default=TOY)
    recipe = parser.parse_args().recipe
    with tempfile.TemporaryDirectory() as folder:
        timed = measure(recipe, Home(Path(folder)))
    show(timed, Console())


def measure(recipe: Path, home: Home) -> Timed:
    """Run `recipe` in an empty home."""
    port = free_port()
    environment = {**os.environ, **prefect_environment(home, port)}
    environment |= {"RELEX_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    with running(prefect(home, port), home) as address:
        started = time.time()
        command = [sys.executable, "-m", "flows.program", "pipeline", str(recipe)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        ended = time.time()
        (flow_run,) = ask(f"{address}/api/flow_runs/filter")
        tasks = ask(f"{address}/api/task_runs/filter")
    (path,) = home.s3.glob("relex/runs/*/seconds.json")
    stages: dict[str, float] = json.loads(path.read_text())
    work = {stage: seconds for stage, seconds in stages.items() if stage in WORK}
    by_task = {task["name"]: task["total_run_time"] for task in tasks}
    in_tasks_with_work = sum(by_task[name] for name in TASKS_WITH_WORK if name in by_task)
    parts = {
        "start of the process": seconds_of(flow_run["start_time"]) - started,
        **{name: took for name, took in by_task.items() if name not in TASKS_WITH_WORK},
        "records of the stages of work": in_tasks_with_work - sum(work.values()),
        "between the tasks": flow_run["total_run_time"] - sum(by_task.values()),
        "end of the process": ended - seconds_of(flow_run["end_time"]),
    }
    return Timed(ended - started, work, parts)


def ask(url: str) -> list[dict[str, Any]]:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=b"{}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def show(timed: Timed, console: Console) -> None:
    table = Table("part", "seconds")
    for part, seconds in {**timed.work, **timed.orchestration}.items():
        table.add_row(part, f"{seconds:.1f}")
    table.add_row("total", f"{timed.total:.1f}")
    console.print(table)
    on_an_hour = timed.outside / (HOUR_SECONDS + timed.outside)
    console.print(
        f"orchestration: {timed.outside:.1f} of {timed.total:.1f} s, "
        f"{timed.outside / timed.total:.1%}; beside an hour of work {on_an_hour:.1%}"
    )


if __name__ == "__main__":
    main()
