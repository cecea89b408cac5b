"""One run of the study: trained by the product's trainer, measured while it trains.

When the window is complete its points are measured, then every fifth step that is really trained
beyond it. The record is written after the window and again as training goes on, so a run that is
cut off has all but its last steps.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exact import Questions
from points import LAST, LOGITS, points_of_precision, points_of_window
from record import Record, read_record, write_record
from setting import LONG_SEED, WINDOW_STEPS, Setting
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from window import Weights, Window, make_window, read_base

from relex.candidates import BASE, Candidate
from relex.checkpoints import Checkpoint
from relex.problems import load_problems
from relex.rewards import build_rewards
from relex.training import TrainingJob, computed_terms
from relex.training.grpo import build_arguments, build_trainer, load_policy

EVERY, WRITE_EVERY = 5, 20
COLLAPSED = 0.1
"""Where a way has fallen below this accuracy at every temperature, its farther points count as the
one that fell: accuracy does not come back, and their passes are saved."""

OTHER_PRECISIONS = ("float32", "bfloat16")
FACTS = {"completions/mean_length": "completion_tokens", "accuracy": "train_accuracy"}


def record_path(setting: Setting, root: Path) -> Path:
    return root / "records" / f"{setting.name}.npz"


def is_done(setting: Setting, root: Path) -> bool:
    path = record_path(setting, root)
    return path.exists() and read_record(path).is_whole


def run_setting(setting: Setting, root: Path) -> float:
    """Train and measure, unless it is done; returns the seconds that it took."""
    began = time.monotonic()
    if is_done(setting, root):
        return 0.0
    recipe, base, work = setting.recipe(root), setting.base(root), root / "work" / setting.name
    job = TrainingJob(recipe=recipe, base=str(base), window=str(work / "window"), work=str(work))
    watch = Watch(setting, root)
    train(job, watch)
    watch.record.is_whole = True
    watch.write()
    shutil.rmtree(work, ignore_errors=True)
    return time.monotonic() - began


def train(job: TrainingJob, *callbacks: TrainerCallback) -> None:
    """From the start to the last step, in this process."""
    recipe = job.recipe
    trainer = build_trainer(
        job,
        build_arguments(job),
        load_policy(job),
        build_rewards(computed_terms(recipe), recipe.reward_seconds),
        load_problems(recipe.problems.train),
    )
    for callback in callbacks:
        trainer.add_callback(callback)
    trainer.resume(None)


class Exam:
    """Exact answers of any weights, rounded to the base's dtypes, to validation and test."""

    def __init__(self, setting: Setting, root: Path) -> None:
        base, problems = setting.base(root), setting.recipe(root).problems
        validation = load_problems(problems.validation)
        test = load_problems(problems.benchmarks[0].source)
        self.num_validation = len(validation)
        self.questions = Questions(AutoTokenizer.from_pretrained(base), [*validation, *test])
        self._model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self._dtypes = {name: info.dtype for name, info in Checkpoint(base).tensors.items()}

    def logits(self, weights: Weights) -> torch.Tensor:
        rounded = {name: weights[name].to(dtype) for name, dtype in self._dtypes.items()}
        self._model.load_state_dict(rounded, strict=False)
        return self.questions.logits(self._model)

    def chances(self, weights: Weights) -> np.ndarray:
        """Chance of a right answer to the questions of validation and then of the test, (Q, H)."""
        return self.questions.chances(self.logits(weights))


class Watch(TrainerCallback):
    """Keeps the snapshots of the window, and measures."""

    def __init__(self, setting: Setting, root: Path) -> None:
        self._setting, self._path = setting, record_path(setting, root)
        self._exam = Exam(setting, root)
        self._base = read_base(Checkpoint(setting.base(root)))
        self._snapshots: list[dict[str, torch.Tensor]] = []
        self.record = Record(setting.name, self._exam.num_validation)

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        step = state.global_step
        if step > WINDOW_STEPS and step % EVERY:
            return
        weights = model.state_dict()
        snapshot = {name: weights[name].detach().clone() for name in self._base}
        if step <= WINDOW_STEPS:
            self._snapshots.append(snapshot)
        else:
            self._measure(Candidate(step=step).key, snapshot)
        if step == WINDOW_STEPS:
            self._measure_window()
        if step == WINDOW_STEPS or (step > WINDOW_STEPS and step % WRITE_EVERY == 0):
            self.write()

    def on_log(self, args: Any, state: Any, control: Any, *, logs: Any, **_: Any) -> None:
        for key, name in FACTS.items():
            if key in logs:
                self.record.facts.setdefault(name, []).append(round(logs[key], 4))

    def write(self) -> None:
        write_record(self.record, self._path)

    def _measure_window(self) -> None:
        window = make_window(self._base, self._snapshots, "rounded")
        self.record.gram = window.gram
        self._measure_all(window, points_of_window())
        self._measure_logits(window)
        if self._setting.seed == LONG_SEED:
            for kept in OTHER_PRECISIONS:
                other = make_window(self._base, self._snapshots, kept)
                self._measure_all(other, points_of_precision(), f"{kept}/")
        self._snapshots.clear()

    def _measure_all(self, window: Window, points: list[Candidate], prefix: str = "") -> None:
        """Outwards on every way, which is a method and what it moves."""
        fallen: dict[tuple[str, str], np.ndarray] = {}
        for each in sorted(points, key=lambda each: each.order):
            way, key = (each.method, each.part), prefix + each.key
            if way in fallen:
                self.record.chances[key] = fallen[way]
                continue
            chance_QH = self._measure(key, window.weights(each))
            if each.is_beyond and chance_QH.mean(axis=0).max() < COLLAPSED:
                fallen[way] = chance_QH

    def _measure(self, key: str, weights: dict[str, torch.Tensor]) -> np.ndarray:
        self.record.chances[key] = self._exam.chances(weights)
        return self.record.chances[key]

    def _measure_logits(self, window: Window) -> None:
        """The bound: logits of base and last step, extrapolated in place of weights."""
        base, last = (self._exam.logits(window.weights(each)) for each in (BASE, LAST))
        for factor in LOGITS:
            chance_QH = self._exam.questions.chances(base + factor * (last - base))
            self.record.chances[f"logits-{factor:g}"] = chance_QH
