"""What a run knows before it trains: the steps of its window, the dtype of its answers."""

from pathlib import Path

import pytest
import torch

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import load_recipe
from relex.errors import InputError
from relex.home import Home
from relex.run.places import Run
from relex.storage import S3Connection
from relex.window import open_writer
from tests.snapshots import TensorsAtHand

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"


def run_of(recipe, home: Path) -> Run:
    return Run(recipe, Home(home), "s3://bucket", S3Connection())


def test_the_last_step_is_always_observed(tmp_path):
    run = run_of(load_recipe(RECIPES / "toy.yaml"), tmp_path)
    assert run.window_steps == tuple(range(1, 31))
    assert run.observed_steps == (10, 20, 30)
    assert run.window_uri == f"{run.uri}/window"


@pytest.mark.parametrize(("temperature", "greedy"), [(1.0, ["validation-greedy"]), (0.0, [])])
def test_candidates_answer_greedily_too_unless_all_answers_are_greedy(
    tmp_path, temperature, greedy
):
    recipe = load_recipe(RECIPES / "toy-small.yaml")
    evaluation = recipe.evaluation.model_copy(update={"temperature": temperature})
    run = run_of(recipe.model_copy(update={"evaluation": evaluation}), tmp_path)
    assert list(run.measured_problems) == ["validation", "toy", *greedy]
    for name in greedy:
        assert run.measured_problems[name] == run.problems["validation"]


def test_a_window_that_ends_early_has_the_steps_that_were_trained(tmp_path):
    recipe = load_recipe(RECIPES / "toy.yaml")
    auto = {"steps": "auto", "most_steps": 40}
    evaluation = {"observed_steps": (2, 10), "denoised_steps": (3, 10)}
    recipe = recipe.model_copy(
        update={
            "training": recipe.training.model_copy(update=auto),
            "evaluation": recipe.evaluation.model_copy(update=evaluation),
        }
    )
    run = Run(recipe, Home(tmp_path), str(tmp_path / "s3"), S3Connection())
    assert run.window_steps == tuple(range(1, 41))
    assert (run.observed_steps, run.denoised_steps) == ((2, 10, 40), (3, 10))
    base = Checkpoint(TOY_BASE)
    snapshot = TensorsAtHand({name: base.read_tensor(name) for name in base.tensors})
    writer = open_writer(run.store.child("window"), base, "rounded", run.window_steps)
    for step in (1, 2, 3):
        writer.append(step, snapshot)
    assert run.window_steps == tuple(range(1, 41))
    writer.finish(early=True)
    assert run.window_steps == (1, 2, 3)
    assert (run.observed_steps, run.denoised_steps) == ((2, 3), (3,))


def dtype_on(processor: dict[str, bool], folder: Path) -> str:
    """Of the run whose files are in `folder`, when it is opened on that processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", lambda: processor)
        recipe = load_recipe(RECIPES / "toy.yaml").model_copy(update={"device": "cpu"})
        run = Run(recipe, Home(folder), str(folder / "s3"), S3Connection())
        run.keep()
        return run.dtype


SLOW, FAST = {"avx2": True}, {"avx2": True, "avx512_bf16": True}


@pytest.mark.parametrize(
    ("first", "second", "dtype"), [(SLOW, FAST, "float32"), (FAST, SLOW, "bfloat16")]
)
def test_a_run_goes_on_in_the_dtype_in_which_it_began(first, second, dtype, tmp_path):
    assert dtype_on(first, tmp_path) == dtype
    assert dtype_on(second, tmp_path) == dtype


def test_a_damaged_dtype_of_a_run_is_named(tmp_path):
    dtype_on(FAST, tmp_path)
    (file,) = tmp_path.glob("s3/runs/*/dtype")
    file.write_text("bfloa")
    with pytest.raises(InputError, match=r"runs/toy-.*/dtype: 'bfloa' is none of float32, "):
        dtype_on(FAST, tmp_path)
