"""The documentation: every block is in a language that a test knows and is valid, commands are
there, and the site's links all lead somewhere. tests/flows/test_docs.py runs what can be run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.program import COMMANDS as MORE_COMMANDS
from relex.cli.app import COMMANDS, command_group
from relex.config import Recipe, check_run_recipe, load_sweep
from relex.problems.code_tests import CodeTests
from tests.pages import PAGES, ROOT, Block, blocks, inline_code

LANGUAGES = {"sh", "console", "python", "yaml", "json", "sql", "text"}
"""What a block may be: `console` is a command with its output, `text` an output alone."""

RELEX = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?relex (.+)", re.MULTILINE)
MAKE = re.compile(r"^make ([a-z][a-z-]+)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]+")
PLACE = re.compile(r"(?<![\w/.-])(?:deployments|tests|relex|tasks|flows)/[\w./-]*[\w/]")
MADE = {"deployments/compose/.env"}
"""What a reader makes."""

TOY = yaml.safe_load((ROOT / "deployments/recipes/toy.yaml").read_text())
del TOY["training"]["snapshot_dtype"]  # which training with adapters refuses
page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def told(page: Path) -> list[str]:
    """All that a page asks a reader to type, and code in its prose."""
    return [block.text for block in blocks("sh", "console", page=page)] + inline_code(page)


@pytest.fixture(scope="module")
def program() -> Any:
    return command_group({**COMMANDS, **MORE_COMMANDS})


@page_by_page
def test_every_block_says_in_which_language_it_is(page: Path) -> None:
    assert {block.language for block in blocks(page=page)} <= LANGUAGES
    # No fence was missed, such as one inside a list.
    fences = re.findall(r"^ *```", page.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page=page))


@page_by_page
def test_every_command_of_a_page_is_there_with_its_options(page: Path, program: Any) -> None:
    for line in (line for text in told(page) for line in RELEX.findall(text)):
        command, words = program, line.partition("#")[0].split()
        while hasattr(command, "commands") and words and not words[0].startswith("--"):
            command = command.commands[words.pop(0)]
        context = command.make_context("relex", [], resilient_parsing=True)
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
        # Also those that a comment names.
        assert set(OPTION.findall(line)) <= known, line


@page_by_page
def test_every_make_target_of_a_page_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {target for text in told(page) for target in MAKE.findall(text)} <= targets


@page_by_page
def test_every_file_of_ours_that_a_page_names_is_there(page: Path) -> None:
    for text in told(page):
        for place in PLACE.findall(text):
            assert (ROOT / place).exists() or place in MADE, place


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_yaml_block_is_a_recipe_or_a_sweep_or_a_part_of_one(
    block: Block, tmp_path: Path
) -> None:
    stated = yaml.safe_load(block.text)
    if "seeds" in stated:
        path = tmp_path / "sweep.yaml"
        path.write_text(block.text)
        load_sweep(path)
    else:
        check_run_recipe(stated if "name" in stated else completed(stated), str(block))


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """The toy's recipe with a part of another one, or of its `problems`, in it."""
    if not part.keys() & (Recipe.model_fields.keys() | {"window"}):
        part = {"problems": part}
    merged = {
        key: {**TOY.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in part.items()
    }
    # A window stands in place of a training.
    return {key: TOY[key] for key in TOY if "window" not in part or key != "training"} | merged


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_line_of_json_is_a_question_or_its_tests(block: Block) -> None:
    for line in block.text.splitlines():
        value = json.loads(line)
        if "question" not in value:
            CodeTests.model_validate(value)
        else:
            assert value.keys() == {"question", "answer"}


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The site in `folder`, as `make docs` builds it, where no proxy leads out."""
    pytest.importorskip("mkdocs", reason="pip install relex[docs]")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder), *options],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_site_is_built_with_every_link_checked_and_every_field_in_it(tmp_path: Path) -> None:
    built = build(tmp_path / "site")
    assert built.returncode == 0, built.stdout + built.stderr
    recipes = (tmp_path / "site" / "recipes.html").read_text()
    for field in (*Recipe.model_fields, "training.kl_beta", "evaluation.grader", "window.uri"):
        assert f"<code>{field}</code>" in recipes
    assert "relex window unpack" in (tmp_path / "site" / "commands.html").read_text()
    assert "check_reward" in (tmp_path / "site" / "python.html").read_text()
    pages = [page.read_text() for page in (tmp_path / "site").glob("*.html")]
    loaded = {url for page in pages for url in re.findall(r'(?:src|href)="(https?://[^"]+)"', page)}
    assert not [url for url in loaded if url.endswith((".js", ".css", ".woff2", ".png"))]


@pytest.mark.slow
def test_a_link_to_nothing_ends_the_build(tmp_path: Path) -> None:
    config = tmp_path / "mkdocs.yml"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[away](gone.md)\n")
    text = (ROOT / "mkdocs.yml").read_text()
    config.write_text(
        text[: text.index("plugins:")]
        + text[text.index("validation:") :].split("nav:\n  - Start")[0]
    )
    built = build(tmp_path / "site", "--config-file", str(config))
    assert built.returncode != 0
    assert "gone.md" in built.stdout + built.stderr
