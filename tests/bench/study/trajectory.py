"""One run of the study: trained on beyond its window, fitted on the window alone.

All toys have one right answer to each question, so the chance that a sampled answer is right is
the product of the chances of its tokens: one forward pass gives a candidate's accuracy on any
number of questions without the noise of sampling.

Q questions, T tokens of prompt and answer.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from relex.candidates import Candidate
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import parse_recipe
from relex.evaluation.weight_source import CandidateWeights, WeightSource
from relex.extrapolation import Diagnosis, diagnose, fit_factors, open_factors
from relex.problems import Problem, load_problems
from relex.storage.folder import FolderStore
from relex.window import open_window
from relex.window.layout import WindowManifest, read_window_manifest, write_window_manifest

ROOT = Path(__file__).parents[3]
WINDOW_STEPS = 30
CONTINUED_STEPS = {1e-5: 75, 3e-5: 50, 1e-4: 40}
"""How far the real run goes on, by learning rate; beyond it a saving is only known to be larger."""

MOST_TOKENS = 10
IGNORED_LABEL = -100


def show_rate(rate: float) -> str:
    """`1e-4`, which Python writes as 0.0001."""
    return np.format_float_scientific(rate, trim="-", exp_digits=1)


@dataclass(frozen=True)
class Setting:
    """What tells one run of the study from the others."""

    task: str
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}-{self.learning_rate:g}-{self.seed}"


class Trajectory:
    """A finished run: its window, its factors, and the exact accuracy of any candidate."""

    def __init__(self, setting: Setting, root: Path) -> None:
        self.setting = setting
        self.folder = root / "runs" / setting.name
        self.base = TOY_BASE if setting.task == "addition" else root / setting.task / "base"
        self._tables = root / "exact" / f"{setting.name}.json"
        self._exact: dict[str, dict[str, list[float]]] = (
            json.loads(self._tables.read_text()) if self._tables.exists() else {}
        )

    @property
    def is_done(self) -> bool:
        return (self.folder / "factors" / "manifest.json").exists()

    def train(self, root: Path) -> None:
        """Train to the last step, cut the window off, and fit it; a finished part is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe = self.folder / "study.yaml"
        recipe.write_text(yaml.safe_dump(study_recipe(self.setting, root)))
        command = "from relex.cli.app import main; main()"
        environment = os.environ | {"RELEX_HOME": str(self.folder / "home")}
        subprocess.run(
            [sys.executable, "-c", command, "train", str(recipe), "--out", str(self.folder)],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        cut_window(self.folder / "window", self.folder / "prefix", WINDOW_STEPS)
        base = Checkpoint(self.base)
        window = open_window(str(self.folder / "prefix"), base=base)
        fit_factors(window, base, self.folder / "factors")

    @property
    def diagnosis(self) -> Diagnosis:
        return diagnose(open_factors(self.folder / "factors").table).overall

    @property
    def continued_steps(self) -> list[int]:
        """Steps of the real run beyond the window, ascending."""
        return list(range(WINDOW_STEPS + 1, CONTINUED_STEPS[self.setting.learning_rate] + 1))

    def exact(self, candidate: Candidate, split: str) -> np.ndarray:
        """Chance of a right answer to every question of `split`, shape (Q,), float64."""
        if candidate.key not in self._exact:
            self._exact[candidate.key] = self._measure(candidate)
        return np.array(self._exact[candidate.key][split])

    def save(self) -> None:
        """Keep what was measured."""
        self._tables.parent.mkdir(parents=True, exist_ok=True)
        rounded = {
            key: {split: [round(p, 6) for p in chances] for split, chances in table.items()}
            for key, table in self._exact.items()
        }
        self._tables.write_text(json.dumps(rounded))

    def _measure(self, candidate: Candidate) -> dict[str, list[float]]:
        is_later = candidate.is_observed and candidate.step > WINDOW_STEPS
        weights = self._whole if is_later else self._prefix
        self._model.load_state_dict(dict(weights.tensors(candidate)), strict=False)
        return {
            split: right_chances(self._model, self._tokenizer, problems)
            for split, problems in self._problems.items()
        }

    @cached_property
    def _problems(self) -> dict[str, list[Problem]]:
        config = parse_recipe((self.folder / "study.yaml").read_text(), "study").problems
        return {
            "validation": load_problems(config.validation),
            "test": load_problems(config.benchmarks[0].source),
        }

    @cached_property
    def _prefix(self):
        return self._weights("prefix")

    @cached_property
    def _whole(self):
        return self._weights("window")

    def _weights(self, window: str):
        return CandidateWeights(
            WeightSource(
                base=str(self.base),
                window=str(self.folder / window),
                factors=str(self.folder / "factors"),
            )
        )

    @cached_property
    def _model(self):
        return AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32).eval()

    @cached_property
    def _tokenizer(self):
        return AutoTokenizer.from_pretrained(self.base)


@torch.inference_mode()
def right_chances(model, tokenizer, problems: Sequence[Problem]) -> list[float]:
    """Chance that an answer sampled at temperature 1 is the right one, by question."""
    ids_rows, label_rows = [], []
    for problem in problems:
        prompt = tokenizer(problem.question)["input_ids"]
        answer = [*tokenizer(problem.answer)["input_ids"], tokenizer.eos_token_id]
        ids_rows.append(torch.tensor(prompt + answer))
        label_rows.append(torch.tensor([IGNORED_LABEL] * len(prompt) + answer))
    pad = torch.nn.utils.rnn.pad_sequence
    ids_QT = pad(ids_rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    labels_QT = pad(label_rows, batch_first=True, padding_value=IGNORED_LABEL)[:, 1:]
    # What is padded lies to the right, where a causal model does not look.
    logits = model(input_ids=ids_QT).logits[:, :-1].double()
    counts = labels_QT != IGNORED_LABEL
    chosen = logits.log_softmax(-1).gather(-1, labels_QT.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (chosen * counts).sum(dim=1).exp().tolist()


def study_recipe(setting: Setting, root: Path) -> dict:
    """The toy's recipe with the setting's task, rate and seed, trained on beyond the window."""
    recipe = yaml.safe_load((ROOT / "deployments/recipes/toy.yaml").read_text())
    steps = CONTINUED_STEPS[setting.learning_rate]
    recipe |= {"name": "study", "seed": setting.seed, "extrapolation": {"targets": [10 * steps]}}
    recipe["training"] |= {"steps": steps, "learning_rate": setting.learning_rate}
    if setting.task != "addition":
        folder = root / setting.task
        files = {
            split: {"kind": "jsonl", "path": str(folder / f"{split}.jsonl")}
            for split in ("train", "validation", "test")
        }
        recipe["base"] = {"path": str(folder / "base")}
        recipe["problems"] = {
            "train": files["train"],
            "validation": files["validation"],
            "test": [{"name": setting.task, "source": files["test"]}],
        }
        recipe["training"]["max_completion_tokens"] = MOST_TOKENS
        recipe["evaluation"]["max_completion_tokens"] = MOST_TOKENS
    return recipe


def cut_window(window: Path, out: Path, last_step: int) -> None:
    """A window of the first steps alone, as if training had ended there."""
    source, target = FolderStore(window), FolderStore(out)
    manifest = read_window_manifest(source)
    assert manifest is not None
    kept = tuple(file for file in manifest.facts.steps if file.step <= last_step)
    for file in kept:
        target.put_file(file.key, window / file.key)
    facts = manifest.facts.model_copy(
        update={"steps": kept, "planned_steps": tuple(file.step for file in kept)}
    )
    files = {file.key: manifest.files[file.key] for file in kept}
    write_window_manifest(target, WindowManifest(manifest.base_digest, facts, files))
