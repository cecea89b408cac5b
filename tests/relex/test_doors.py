"""One way in for all code that a recipe names, and what the operator allows holds for all of it."""

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import relex
from relex.config import ProblemSource, TrainingConfig, check_recipe
from relex.config.recipe import EvaluationConfig
from relex.doors import ENGINE, METHOD, REWARD, SOURCE, TRAINER
from relex.doors.door import Door
from relex.doors.plugins import refusal
from relex.errors import InputError, RecipeError

DOORS = [REWARD, SOURCE, METHOD, ENGINE, TRAINER]
each_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.kind)
OWN = """
from os import system
def mine(*arguments):
    return None
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working folder."""
    name = f"code_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_broken.py").write_text("raise SystemExit('no\\nway')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


# TRL uses what torch would rather not have used.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_door
def test_every_built_in_is_where_the_table_says(door: Door) -> None:
    for name in door.built_in:
        assert callable(door.load(name)), name


@each_door
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonesuch", r"is not built in \({built_in}\); name your own as module:function"),
        (
            "no_such_module:f",
            r"module 'no_such_module' does not import \(ModuleNotFoundError: .*put",
        ),
        ("{own}_broken:f", r"does not import \(SystemExit: no way\); put its folder on PYTHONPATH"),
        ("{own}:absent", "has no function 'absent'"),
        ("{own}:number", "has no function 'number'"),
    ],
)
def test_a_name_that_names_nothing_is_refused_in_one_form(
    own: str, door: Door, name: str, message: str
) -> None:
    name = name.format(own=own)
    expected = message.replace("{built_in}", ", ".join(door.built_in))
    with pytest.raises(door.error, match=f"^{door.kind} {name}: .*{expected}") as caught:
        door.load(name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_door
def test_what_the_operator_does_not_allow_is_not_even_imported(
    own: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_PLUGINS", "my_rewards")
    for name in (f"{own}:mine", f"{own}_broken:f", "torch.hub:load", "relex.window:remove_window"):
        with pytest.raises(InputError, match=f"^{door.kind} {name}: .* is not among what a recipe"):
            door.load(name)
    assert own not in sys.modules
    for name in door.built_in:
        assert callable(door.load(name)), name


@each_door
def test_of_an_allowed_module_only_its_own_code_is_run(
    own: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_PLUGINS", ".")
    assert door.load(f"{own}:mine").__name__ == "mine"
    with pytest.raises(InputError, match="is not among what a recipe may run here"):
        door.load(f"{own}:system")


def test_dotted_paths_reach_nothing_of_relex_but_the_rewards_of_the_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built-ins have names; other code of ours is made for other callers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELEX_PLUGINS", ".")
    names = [found.name for found in pkgutil.walk_packages(relex.__path__, "relex.")]
    assert len(names) > 100
    assert [name for name in names if not refusal(name)] == ["relex.toy.rewards"]


@pytest.mark.parametrize(
    ("model", "field", "value", "names"),
    [
        (EvaluationConfig, "engine", "vlm", "auto, vllm, transformers"),
        (TrainingConfig, "trainer", "ppo", "grpo"),
        (
            ProblemSource,
            "kind",
            "json",
            ", ".join(SOURCE.built_in),
        ),
    ],
)
def test_a_misspelt_name_is_refused_with_the_recipe(model, field, value, names) -> None:
    with pytest.raises(ValueError, match=f"input should be {names}, or your own as module:name"):
        model.model_validate({field: value})


def test_the_recipe_says_where_the_wrong_name_is() -> None:
    source = {"kind": "toy", "split": "test"}
    value = {
        "name": "small",
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy"},
            "validation": {"kind": "my questions:sums", "path": "3"},
            "test": [{"name": "toy", "source": source}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {"steps": 3, "learning_rate": 1e-5},
        "extrapolation": {"targets": [6]},
    }
    with pytest.raises(RecipeError) as caught:
        check_recipe(value, "small.yaml")
    assert str(caught.value) == (
        "small.yaml: problems.validation.kind: input should be "
        f"{', '.join(SOURCE.built_in)}, or your own as module:name, found 'my questions:sums'"
    )


def test_methods_are_the_files_of_their_folder() -> None:
    package = importlib.import_module("relex.extrapolation.methods")
    files = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    assert list(METHOD.built_in) == files
