"""Runs that are published as the pipeline does it: real storage and registry, made-up answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prefect.logging import disable_run_logger

from relex.candidates import BASE, Candidate
from relex.config import Recipe, check_recipe
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Answer, Score, write_answers
from relex.extrapolation import KIND as FACTORS_KIND
from relex.home import Home
from relex.problems import problems_digest
from relex.run.conclude import publish
from relex.run.places import Run, open_run
from relex.selection import Decision, Measured, decide
from relex.storage.manifest import publish_folder
from tasks.champion import register
from tasks.record import Record

QUESTIONS = 30
STEP = Candidate(step=4)


def recipe_of(model: str, tracking: str, seed: int = 0, samples: int = 4) -> Recipe:
    source = {"kind": "toy", "split": "test", "limit": QUESTIONS}
    value = {
        "name": model,
        "seed": seed,
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation"},
            "test": [{"name": "toy", "source": source}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {"steps": 4, "learning_rate": 1e-5, "max_completion_tokens": 8},
        "extrapolation": {"targets": [8]},
        "evaluation": {
            "engine": "transformers",
            "grader": "exact_match",
            "samples_per_question": samples,
            "max_completion_tokens": 8,
            "max_context_tokens": 64,
        },
        "tracking": {"uri": tracking, "registered_model": model},
    }
    return check_recipe(value, "test")


@dataclass(frozen=True)
class MadeUp:
    """An evaluation whose answers are made up, so that no engine can be asked for them again."""

    factors: Path

    def check_cold(self, candidate: Candidate, folder: Path) -> None:
        assert (folder / "config.json").exists()


@dataclass(frozen=True)
class Publisher:
    """A home, an MLflow, and what publishes runs there."""

    home: Home
    tracking: str
    """Address of the MLflow server; empty is the database of the home."""

    def publish(
        self,
        model: str,
        accuracy: float,
        seed: int = 0,
        samples: int = 4,
        chosen: Candidate = STEP,
    ) -> str:
        """A run of its own for every seed and number of samples; returns what became of it.

        The weights are those of the base, which needs no window: here it matters how, not what.
        """
        recipe = recipe_of(model, self.tracking, seed, samples)
        with open_run(recipe, served=True) as run, disable_run_logger():
            record, factors = Record(run), run.work / "factors"
            self._store(run, accuracy, factors)
            published = publish(run, MadeUp(factors), _decision(BASE), [])
            return register.fn(run, record, _decision(chosen), published)

    def run_folder(self, model: str, seed: int = 0) -> Path:
        return self.home.s3 / "relex" / "runs" / recipe_of(model, self.tracking, seed).run_id

    def _store(self, run: Run, accuracy: float, factors: Path) -> None:
        run.keep()
        factors.mkdir(parents=True, exist_ok=True)
        publish_folder(run.store.child("factors"), factors, FACTORS_KIND, {"window": "digest"})
        answers = _answers(run, accuracy)
        score = Score(
            candidate=BASE,
            benchmark="toy",
            grader="exact_match/1",
            engine="made up",
            dtype="bfloat16",
            num_questions=QUESTIONS,
            samples_per_question=len(answers) // QUESTIONS,
            accuracy=float(np.mean([answer.correct for answer in answers])),
            truncated_fraction=0.0,
            mean_completion_tokens=3.0,
            generation_seconds=1.0,
            swap_seconds=0.0,
        )
        folder = run.work / "made-up"
        write_answers(folder / ANSWERS_FILE, answers)
        (folder / SCORE_FILE).write_text(score.model_dump_json())
        inputs = {"problems": problems_digest(run.problems["toy"])}
        for candidate in (BASE, STEP):
            store = run.store.child(f"scores/toy/{candidate.key}")
            publish_folder(store, folder, "score", inputs)


def _answers(run: Run, accuracy: float) -> list[Answer]:
    """Right at random with this chance, by the seed of the recipe."""
    rng, samples = np.random.default_rng(run.recipe.seed), run.recipe.evaluation
    return [
        Answer(
            question_id=problem.id,
            sample=sample,
            seed=0,
            text="",
            finish_reason="stop",
            num_tokens=3,
            value=float(correct),
            correct=correct,
        )
        for problem in run.problems["toy"]
        for sample in range(samples.samples_per_question)
        for correct in [bool(rng.random() < accuracy)]
    ]


def _decision(chosen: Candidate) -> Decision:
    graded = np.zeros((10, 2), dtype=bool)
    recipe = recipe_of("any", "")
    decision = decide([Measured(BASE, graded), Measured(STEP, graded)], recipe.selection, 0)
    return decision.model_copy(update={"chosen": chosen})


@pytest.fixture(scope="module")
def publisher_at(tmp_path_factory) -> Iterator[Callable[[str], Publisher]]:
    """Builds a publisher that records at an address; RELEX_HOME is a folder of the module."""
    home = Home(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELEX_HOME", str(home.root))
        yield lambda tracking: Publisher(home, tracking)
