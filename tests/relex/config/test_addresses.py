"""No address with a secret in it is taken from anywhere, and no refusal repeats the secret."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relex.config import check_recipe, check_run_recipe, load_sweep
from relex.config.addresses import NO_CREDENTIALS, credentials_at
from relex.config.recipe import Recipe, WindowRecipe
from relex.errors import RecipeError

ROOT = Path(__file__).parents[3]
TOY = ROOT / "deployments" / "recipes" / "toy-small.yaml"
SECRET = "hidden4711"
IN_FRONT = (
    f"s3://AKIA:{SECRET}@bucket/x",
    f"s3://{SECRET}@bucket/x",
    f"https://me:{SECRET}@host",
    f"HTTPS://ME:{SECRET}@HOST:5000/path",
    f"https://{SECRET}@huggingface.co/a/b",
    f"http://:{SECRET}@host",
    f"http://me:more:{SECRET}@host",
    f"postgresql+psycopg://relex:{SECRET}@host/mlflow",
    f"git+ssh://me:{SECRET}@host/x",
    f"https://me:{SECRET}@[::1]:5000",
    f"s3://AKIA:{SECRET}%2Fx@bucket",
    f"https:/me:{SECRET}@host",
    f"https:me:{SECRET}@host",
    f"me:{SECRET}@host/path",
)
ELSEWHERE = (
    f"s3://AKIA:{SECRET}/more@bucket/x",
    f"s3://AKIA:{SECRET}\uff20bucket/x",
    f"https://host/x?X-Amz-Credential=AKIA&X-Amz-Signature={SECRET}",
    f"https://host/x?token={SECRET}",
    f"https://host/x#access_token={SECRET}",
    f"https://host/c?sv=1&sig={SECRET}",
    f"postgresql://host/db?user=me&password={SECRET}",
    f"https://host/x?AWSAccessKeyId={SECRET}",
)
REFUSED = (*IN_FRONT, *ELSEWHERE)
TAKEN = (
    "toy",
    "embedded",
    "Qwen/Qwen2.5-0.5B",
    "s3://bucket/relex",
    "s3://bucket/team@example.com/relex",
    "http://mlflow:5000",
    "http://mlflow:5000/a@b",
    "http://[::1]:5000",
    "http://127.0.0.1:5000/#/experiments/1",
    "https://host/x?version=3",
    "sqlite:////home/me@example.com/mlflow.db",
    "/data/me@example.com/base",
    "file:///data/base",
    "my_rewards:concise",
    "deployments/recipes/toy.yaml",
    "1:75",
)
PLACES = (
    "base.path",
    "base.revision",
    "storage.uri",
    "storage.endpoint_url",
    "storage.region",
    "tracking.uri",
    "tracking.experiment",
    "problems.train.path",
    "problems.test.0.source.path",
    "rewards.0.params.judge",
)


def recipe_with(place: str, value: object) -> dict[str, object]:
    recipe = yaml.safe_load(TOY.read_text())
    *sections, field = place.split(".")
    inner = recipe
    for section in sections:
        inner = inner[int(section)] if section.isdigit() else inner.setdefault(section, {})
    inner[field] = value
    return recipe


def refusal(recipe: dict[str, object]) -> str:
    with pytest.raises(RecipeError) as caught:
        check_run_recipe(recipe, "form")
    return str(caught.value)


@pytest.mark.parametrize("address", REFUSED)
def test_a_secret_is_found_however_the_address_is_written(address):
    assert credentials_at({"a": [{"b": address}]}) == ".a.0.b"


@pytest.mark.parametrize("address", TAKEN)
def test_what_holds_no_secret_is_taken(address):
    assert credentials_at(address) is None
    assert re.search(NO_CREDENTIALS, address)


@pytest.mark.parametrize("address", IN_FRONT)
def test_a_form_refuses_what_stands_before_the_host_by_itself(address):
    assert not re.search(NO_CREDENTIALS, address)


@pytest.mark.parametrize("address", REFUSED)
@pytest.mark.parametrize("place", PLACES)
def test_a_recipe_refuses_it_in_every_field_and_does_not_repeat_it(place, address):
    line = refusal(recipe_with(place, address))
    assert line.startswith(f"form: {place}: holds a user name or password")
    assert SECRET not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("address", REFUSED)
def test_a_window_from_elsewhere_refuses_it_too(address):
    recipe = yaml.safe_load(TOY.read_text())
    del recipe["training"]
    recipe["extrapolation"] = {"targets": "auto"}
    line = refusal(recipe | {"window": {"uri": address}})
    assert line.startswith("form: window.uri: holds a user name or password")
    assert SECRET not in line


@pytest.mark.parametrize("section", ["storage", "tracking", "base", "unknown"])
def test_what_stands_in_place_of_a_section_is_not_repeated_either(section):
    line = refusal(yaml.safe_load(TOY.read_text()) | {section: f"s3://AKIA:{SECRET}@bucket"})
    assert line.startswith(f"form: {section}: holds")
    assert SECRET not in line


def test_a_prompt_is_text_and_no_address():
    template = "Mail: to:me@example.com {question}"
    assert check_recipe(recipe_with("problems.prompt.template", template), "form")


def test_a_sweep_refuses_it_in_its_base_and_in_the_terms_of_its_rewards(tmp_path):
    term = {"reward": "exact_match", "params": {"judge": f"http://me:{SECRET}@host"}}
    path = tmp_path / "sweep.yaml"
    for base, params, place in (
        (recipe_with("storage.uri", f"s3://AKIA:{SECRET}@bucket"), {}, "base.storage.uri"),
        ("toy", term["params"], "rewards.0.terms.0.params.judge"),
    ):
        terms = [{"reward": "exact_match", "params": params}]
        sweep = {"name": "s", "base": base, "rewards": [{"name": "one", "terms": terms}]}
        path.write_text(yaml.safe_dump(sweep))
        with pytest.raises(RecipeError) as caught:
            load_sweep(path)
        assert f"{place}: holds a user name or password" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_values_that_refer_to_each_other_are_looked_at_once():
    wide: list[object] = ["x"]
    for _ in range(60):
        wide = [wide, wide]
    endless: list[object] = []
    endless.append(endless)
    assert credentials_at([wide, endless]) is None


def test_forms_say_so_at_their_fields():
    schemas = [Recipe.model_json_schema()["$defs"], WindowRecipe.model_json_schema()["$defs"]]
    for section, field in (
        ("BaseConfig", "path"),
        ("StorageConfig", "endpoint_url"),
        ("TrackingConfig", "uri"),
    ):
        assert schemas[0][section]["properties"][field]["pattern"] == NO_CREDENTIALS
    assert schemas[1]["WindowConfig"]["properties"]["uri"]["pattern"] == NO_CREDENTIALS


def told(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    (line,) = (done.stdout + done.stderr).splitlines()
    assert SECRET not in line
    return line


ADDRESS = f"s3://AKIA:{SECRET}@bucket/x"
RELEX, PROGRAM = ["-m", "relex"], ["-m", "flows.program"]
COMMANDS = (
    [*RELEX, "fit", ADDRESS, "--base", "toy", "--out", "x"],
    [*RELEX, "fit", "w", f"--base={ADDRESS}", "--out", "x"],
    [*RELEX, "window", "pack", "c", "--base", "toy", "--out", ADDRESS],
    [*RELEX, "window", "rm", ADDRESS],
    [*PROGRAM, "pipeline", ADDRESS],
    [*PROGRAM, "sweep", ADDRESS],
    [*PROGRAM, "fetch", "models:/toy@champion", "--out", "x", "--tracking", ADDRESS],
    ["-m", "deployments.apply", "--registry", ADDRESS],
)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[-1])
def test_a_command_refuses_it_among_its_arguments(command):
    assert re.search(r"(relex|error): argument \d: holds a user name or password", told(command))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_URI", "RELEX_S3_ENDPOINT", "PREFECT_API_URL", "AWS_ENDPOINT_URL"]
)
@pytest.mark.parametrize("command", [[*PROGRAM, "pipeline", str(TOY)], [*RELEX, "benchmarks"]])
def test_a_command_refuses_it_in_its_environment(command, name):
    line = told(command, **{name: f"http://me:{SECRET}@127.0.0.1:1"})
    assert f"{name}: holds a user name or password" in line
