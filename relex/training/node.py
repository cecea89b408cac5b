"""Trains on a node of a cluster: `python -m relex.training.node`, the job on its input.

What it runs is what trains on one machine; with several nodes, one of these is on each.
"""

import sys

from relex.child_side import child_main, emit
from relex.training.job import TrainingJob
from relex.training.process import begin_here


def main() -> None:
    job = TrainingJob.model_validate_json(sys.stdin.readline()).here()
    with begin_here(job, lambda line: print(line, flush=True)) as child:
        for event in child.events():
            emit(**event)


if __name__ == "__main__":
    child_main(main, "training")
