"""The training process: `python -m relex.training.worker JOB`, one for each GPU."""

import sys
from pathlib import Path

from relex.child_side import child_main
from relex.doors import TRAINER
from relex.training.job import TrainingJob


def main() -> None:
    job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    child_main(lambda: TRAINER.load(job.recipe.training.trainer)(job), "training")


if __name__ == "__main__":
    main()
