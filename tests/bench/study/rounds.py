"""Two rounds, what becomes of Adam's moments between them, and one round of as many steps.

`python tests/bench/study/rounds.py [ROOT]` prints the tables of docs/rounds.md. A run is trained by
the product's trainer for `ROUND_STEPS` and the product's search chooses; from the chosen model a
second round of as many steps begins, with the moments kept, reset, or reset where the jump moved,
and chooses as well. Beside it the first round is trained on, as one round of all these steps.
Accuracies are exact; choices are made on answers drawn to the validation questions. Three minutes a
run on one idle core; finished runs are kept, and fewer make a smaller table. The study's long runs
in ROOT say which steps of real training have the same accuracy.

Q questions, K samples per question, H temperatures.
"""

import argparse
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from choice import NUM_DRAWS, NUM_RESAMPLES
from one import EVERY, Exam, train
from rounds_tables import (
    FIRST,
    KEPT,
    RESET,
    RESET_MOVED,
    WHOLE,
    Chosen,
    Measures,
    moments_table,
    path_file,
    read_paths,
    worth_table,
    write_paths,
)
from safetensors.torch import save_file
from setting import LONG_SEED, Setting, settings
from study import ROOT
from toys import TASKS, build_task
from transformers import TrainerCallback
from window import Weights, Window, make_window, read_base

from relex.candidates import Candidate
from relex.checkpoints import Checkpoint
from relex.config import SearchConfig, SelectionConfig, TrainingConfig
from relex.search import Graded, search
from relex.selection import Measured, decide
from relex.training import TrainingJob
from relex.training.moments import CarryMoments

ROUND_STEPS = 20
NUM_SAMPLES = 4
"""Per validation question, as the product's default."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, help="runs that are kept")
    parser.add_argument("--only", nargs="*", default=[""], help="only runs whose name begins so")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    for task in TASKS:
        build_task(task, root / task)
    wanted = settings((LONG_SEED,))
    for setting in wanted:
        if setting.name.startswith(tuple(arguments.only)):
            measure(setting, root)
    there = [setting for setting in wanted if path_file(setting, root).exists()]
    runs = {setting: read_paths(path_file(setting, root)) for setting in there}
    print(
        moments_table(runs),
        worth_table(runs, TrainingConfig.model_fields["moments"].default, root),
        sep="\n",
    )


def measure(setting: Setting, root: Path) -> None:
    """Every path of one setting that is not there."""
    file, base = path_file(setting, root), setting.base(root)
    work, exam = root / "work" / f"rounds-{setting.name}", Exam(setting, root)
    job = TrainingJob(
        recipe=_recipe(setting, root, 2 * ROUND_STEPS, rounds=1),
        base=str(base),
        window="",
        work=str(work),
        keep_moments=str(work / "kept"),
    )
    if not file.exists():
        shutil.rmtree(work, ignore_errors=True)
        first = Round(exam, base)
        train(job, first, KeepAt(ROUND_STEPS, CarryMoments(job)))
        paths = {FIRST: first.measures(ROUND_STEPS), WHOLE: first.measures(2 * ROUND_STEPS)}
        chosen = first.window(ROUND_STEPS).weights(paths[FIRST].jump)
        write_model(chosen, base, work / "base")
        write_paths(paths, file)
    paths = read_paths(file)
    for name, moments in ways(paths[FIRST].jump, job.keep_moments).items():
        if name in paths:
            continue
        recipe = _recipe(setting, root, ROUND_STEPS, rounds=2)
        update = {"recipe": recipe, "base": str(work / "base"), "keep_moments": "", **moments}
        later, second = job.model_copy(update=update), Round(exam, work / "base")
        train(later, second, CarryMoments(later))
        paths[name] = second.measures(ROUND_STEPS)
        write_paths(paths, file)
    shutil.rmtree(work, ignore_errors=True)


def ways(jump: Candidate, kept: str) -> dict[str, dict[str, str]]:
    """What a job is told by each of `training.moments` that differs after this choice."""
    found = {KEPT: {"moments": kept}}
    if not jump.is_observed:
        found[RESET] = {}
    if jump.part:
        found[RESET_MOVED] = {"moments": kept, "reset": jump.part}
    return found


def _recipe(setting: Setting, root: Path, num_steps: int, rounds: int) -> Any:
    recipe = setting.recipe(root)
    training = recipe.training.model_copy(update={"steps": num_steps})
    return recipe.model_copy(update={"training": training, "rounds": rounds})


def write_model(weights: Weights, base: Path, folder: Path) -> None:
    """A checkpoint as the base is one."""
    shutil.copytree(base, folder)
    tensors = {name: weight.contiguous() for name, weight in weights.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


class KeepAt(TrainerCallback):
    """Keeps the moments of a step as the product does at the end of a training."""

    def __init__(self, step: int, carry: CarryMoments) -> None:
        self._step, self._carry = step, carry

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        if state.global_step == self._step:
            model, optimizer = parts["model"], parts["optimizer"]
            self._carry.on_train_end(args, state, control, model=model, optimizer=optimizer)


class Round(TrainerCallback):
    """A training that keeps all its snapshots, and what is chosen from its window."""

    def __init__(self, exam: Exam, base: Path) -> None:
        self._exam, self._base = exam, read_base(Checkpoint(base))
        self._snapshots: list[Weights] = []

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        weights = model.state_dict()
        self._snapshots.append({name: weights[name].detach().clone() for name in self._base})

    def window(self, num_steps: int) -> Window:
        return make_window(self._base, self._snapshots[:num_steps], "rounded")

    def measures(self, num_steps: int) -> Measures:
        """What its first steps came to, and every choice from their window."""
        answers = Answers(self._exam, self.window(num_steps))
        steps = range(EVERY, num_steps + 1, EVERY)
        return Measures(
            trained={step: answers.accuracy(Candidate(step=step)) for step in steps},
            chosen=[answers.choose(num_steps, draw) for draw in range(NUM_DRAWS)],
        )


class Answers:
    """Of a window's candidates, each measured when it is first asked."""

    def __init__(self, exam: Exam, window: Window) -> None:
        self._exam, self._window = exam, window
        self._chances: dict[Candidate, np.ndarray] = {}

    def accuracy(self, candidate: Candidate) -> float:
        """On the test questions."""
        return float(self._chance_Q(candidate)[self._exam.num_validation :].mean())

    def choose(self, last_step: int, draw: int) -> Chosen:
        """As the product does, on answers of draw number `draw`."""
        graded = search(
            lambda candidate, num_questions: self._graded(candidate, num_questions, draw),
            last_step,
            self._exam.num_validation,
            SearchConfig(),
            tensors=list(self._window.gram),
        ).graded
        measured = [Measured(each, found.correct_QK) for each, found in graded.items()]
        decision = decide(measured, SelectionConfig(num_resamples=NUM_RESAMPLES), seed=draw)
        return Chosen(
            key=decision.chosen.key,
            accuracy=self.accuracy(decision.chosen),
            num_answers=sum(found.correct_QK.size for found in graded.values()),
        )

    def _graded(self, candidate: Candidate, num_questions: int, draw: int) -> Graded:
        seed = (zlib.crc32(candidate.key.encode()), draw)
        shape = (self._exam.num_validation, NUM_SAMPLES)
        uniform_QK = np.random.default_rng(seed).random(shape)[:num_questions]
        correct_QK = uniform_QK < self._chance_Q(candidate)[:num_questions, None]
        return Graded(correct_QK, num_tokens=correct_QK.size)

    def _chance_Q(self, candidate: Candidate) -> np.ndarray:
        if candidate not in self._chances:
            chance_QH = self._exam.chances(self._window.weights(candidate))
            self._chances[candidate] = chance_QH[:, 0]
        return self._chances[candidate]


if __name__ == "__main__":
    main()
