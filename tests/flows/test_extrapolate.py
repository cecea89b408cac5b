"""A window that is there already: from a folder, packed, and on S3 it gives the same choice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from relex.checkpoints import TOY_BASE, Checkpoint, NamedTensor, write_checkpoint
from relex.report import RunSummary
from relex.storage import open_store
from relex.storage.manifest import MANIFEST
from relex.window import open_source, pack

STEPS = (1, 2, 3, 4)
NOISE = 0.04


def drifted(base: Checkpoint, step: int) -> Iterator[NamedTensor]:
    """The base, moved along a line that is the same for every step."""
    for number, name in enumerate(base.tensors):
        tensor = base.read_tensor(name).float()
        generator = torch.Generator().manual_seed(number)
        way = tensor.std() * torch.randn(tensor.shape, generator=generator)
        yield name, tensor + NOISE * step * way


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    base = Checkpoint(TOY_BASE)
    for step in STEPS:
        write_checkpoint(folder / f"checkpoint-{step}", base, drifted(base, step))
    return folder


def recipe(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    toy = {"kind": "toy", "limit": 40}
    return {
        "name": name,
        "base": {"path": "toy"},
        "problems": {
            "validation": {**toy, "split": "validation"},
            "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
        },
        "window": {"uri": uri},
        "extrapolation": {"targets": [6, 8]},
        "evaluation": {
            "engine": "transformers",
            "grader": "exact_match",
            "samples_per_question": 2,
            "max_completion_tokens": 8,
            "max_context_tokens": 64,
            "observed_steps": [2],
        },
        **changes,
    }


def written(folder: Path, recipe: dict[str, Any]) -> str:
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return str(path)


@pytest.mark.slow
def test_the_choice_is_the_same_wherever_the_window_lies(
    checkpoints, tmp_path, starter, build_environment, s3, monkeypatch
):
    """And whether the flow runs it or `relex run` does."""
    packed = tmp_path / "packed"
    pack(
        open_source(str(checkpoints), None, tmp_path), Checkpoint(TOY_BASE), open_store(str(packed))
    )
    for path in checkpoints.rglob("*.safetensors"):
        s3.store("from").put_file(str(path.relative_to(checkpoints)), path)
    storage = {"uri": f"{s3.uri}/runs", "endpoint_url": s3.connection.endpoint_url}
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", s3.connection.credentials_file)
    paths = [
        written(tmp_path, recipe("folder", str(checkpoints))),
        written(tmp_path, recipe("packed", str(packed))),
        written(tmp_path, recipe("on-s3", f"{s3.uri}/from", storage=storage)),
    ]
    home = tmp_path / "home"
    for command, path in zip(("pipeline", "run", "run"), paths, strict=True):
        done = starter.run("flows.program", [command, path], build_environment(home))
        assert done.returncode == 0, done.stdout + done.stderr
    folder, on_s3, packed_summary = summaries(home)
    assert folder.decision == packed_summary.decision == on_s3.decision
    assert folder.benchmarks == packed_summary.benchmarks == on_s3.benchmarks
    assert [result.candidate.key for result in folder.decision.results] == [
        "base", "observed-2", "observed-4", "line-6", "line-8"
    ]  # fmt: skip
    assert folder.window_steps == STEPS
    assert "rank 1 explains 1.000" in done.stdout

    # What could be read where it was is not copied; what could not is kept as a window.
    assert list(home.glob("s3/relex/runs/*/window/*")) == []
    assert list(s3.folder.glob(f"runs/runs/on-s3-*/window/{MANIFEST}")) != []
    assert list(home.glob("s3/relex/runs/folder-*/model/model.safetensors")) != []

    told = next(home.glob("reports/folder-*/report.md")).read_text()
    assert "## Training" not in told
    assert f"- window: `{checkpoints}`" in told
    assert "train" not in folder.seconds_by_stage


def summaries(home: Path) -> list[RunSummary]:
    """Of all runs, by name."""
    return [
        RunSummary.model_validate_json(path.read_bytes())
        for path in sorted(home.glob("reports/*/summary.json"))
    ]


@pytest.mark.parametrize(
    ("uri", "changes", "message"),
    [
        ("{empty}", {}, "neither a window, nor is anything there named checkpoint-N"),
        (
            "{there}",
            {"extrapolation": {"targets": [4]}},
            "4 is not beyond the window, which ends at",
        ),
        (
            "{there}",
            {"extrapolation": {"targets": [6], "methods": ["line-rank9"]}},
            "rank 9 is impossible with",
        ),
        ("{there}", {"training": {}}, "training: unknown key"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused_before_an_engine_starts(
    checkpoints, tmp_path, run_command, uri, changes, message
):
    uri = uri.format(empty=tmp_path, there=checkpoints)
    result = run_command([written(tmp_path, recipe("bad", uri, **changes))], tmp_path / "home")
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("relex: ")
    assert message in line
    assert "starting the engine" not in result.stdout
