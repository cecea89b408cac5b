"""`relex recipe`."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import yaml

from relex import machine
from relex.cli.app import main
from relex.config import Recipe, load_recipe


@pytest.fixture
def relex(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["relex", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return end.value.code or 0, output.out, output.err

    return run


def test_a_new_recipe_is_one_and_what_it_states_beside_the_choices_are_the_defaults(
    relex, tmp_path
):
    assert relex("recipe", "new", "my-run")[0] == 0
    recipe = load_recipe(tmp_path / "my-run.yaml")
    assert recipe.name == "my-run"
    stated = yaml.safe_load((tmp_path / "my-run.yaml").read_text())
    for section, chosen in (("training", {"steps", "learning_rate"}), ("evaluation", set())):
        fields = type(getattr(recipe, section)).model_fields
        for name in stated[section].keys() - chosen:
            assert stated[section][name] == fields[name].default, f"{section}.{name}"


def test_a_recipe_that_is_there_is_not_written_over(relex, tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    code, _, error = relex("recipe", "new", "mine")
    assert (code, error) == (2, "relex: mine.yaml: exists already; give another name or --out\n")
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["../mine", "My run", "7", "a\nseed: 8", ""])
def test_a_name_that_no_run_can_have_is_refused_and_nothing_is_written(relex, tmp_path, name):
    code, _, error = relex("recipe", "new", name)
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("relex: recipe new: ")
    assert not list(tmp_path.iterdir())
    assert not (tmp_path.parent / "mine.yaml").exists()


@pytest.fixture
def tiny(tmp_path) -> str:
    """The file of a recipe that can be run."""
    recipe = {
        "name": "tiny",
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation"},
            "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {"steps": 2, "learning_rate": 1e-5, "max_completion_tokens": 8},
        "extrapolation": {"targets": [4]},
        "evaluation": {
            "grader": "exact_match",
            "max_completion_tokens": 8,
            "max_context_tokens": 64,
        },
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    return "tiny.yaml"


def test_a_recipe_that_can_be_run_is_told_so_and_nothing_is_left_of_its_check(
    relex, tiny, tmp_path
):
    code, out, error = relex("recipe", "check", tiny)
    assert code == 0, error
    assert "tiny.yaml: can be run" in out
    assert [path for path in (tmp_path / "home" / "s3").rglob("*") if path.is_file()] == []


def test_a_check_shows_what_each_phase_takes(relex, tiny):
    _, out, _ = relex("recipe", "check", tiny)
    lines = out.splitlines()
    assert any(line.startswith("  memory     update ") for line in lines)
    assert any(line.startswith("  memory     answers ") for line in lines)
    assert any(line.startswith("  disk ") for line in lines)


def test_a_recipe_that_cannot_fit_into_this_machine_is_refused(relex, tiny, monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("2000000000")
    monkeypatch.setattr(machine, "CGROUP_LIMIT", tmp_path / "memory.max")
    code, _, error = relex("recipe", "check", tiny)
    assert code == 2
    assert error.startswith("relex: recipe tiny: update would take ")
    assert " of 2.0 GB: " in error and "on this machine; " in error


def test_a_recipe_can_be_planned_for_a_gpu_that_is_not_here(relex, tiny):
    code, out, error = relex("recipe", "check", tiny, "--gpu", "24")
    assert code == 0, error
    assert "1 x GPU with 24 GB" in out and "tiny.yaml: fits" in out
    code, _, error = relex("recipe", "check", tiny, "--gpu", "2")
    assert code == 2
    assert "on a GPU with 2 GB; " in error and error.count("\n") == 1


def test_too_little_disk_space_is_told_with_what_the_run_needs(relex, tiny, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    code, _, error = relex("recipe", "check", tiny)
    assert code == 2
    assert "GB are free; free some, set RELEX_HOME to another disk" in error


def test_a_recipe_whose_questions_are_not_there_is_refused_in_one_line(relex, tmp_path):
    relex("recipe", "new", "my-run")
    text = (tmp_path / "my-run.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("Qwen/Qwen2.5-0.5B", "toy"))
    code, _, error = relex("recipe", "check", "mine.yaml")
    assert code == 2
    assert error.startswith("relex: ") and "train.jsonl" in error and error.count("\n") == 1


def test_the_schema_knows_every_field_of_a_recipe(relex):
    schema = json.loads(relex("recipe", "schema")[1])
    assert schema["$defs"]["Recipe"]["properties"].keys() == Recipe.model_fields.keys()


def test_the_program_tells_its_version_and_its_commands(relex):
    assert relex("--version")[1].startswith("relex 0.")
    assert "recipe" in relex()[1]
