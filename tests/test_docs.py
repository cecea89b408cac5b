"""The documentation: a site whose links all lead somewhere, and commands that are there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.program import COMMANDS as MORE_COMMANDS
from relex.cli.app import COMMANDS, command_group
from relex.config import Recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
RELEX = re.compile(r"^(?:\.venv/bin/)?relex (?P<words>[^#\n]+)", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]+)")
COMMENTS = re.compile(r"#.*")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def program() -> Any:
    return command_group({**COMMANDS, **MORE_COMMANDS})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_there_with_its_options(page: Path, program: Any) -> None:
    for found in (match for block in blocks(page) for match in RELEX.finditer(block)):
        command, words = program, found["words"].split()
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= known, found[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_make_target_of_a_page_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = (COMMENTS.sub("", block) for block in blocks(page))
    assert {target for block in lines for target in MAKE.findall(block)} <= targets


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
