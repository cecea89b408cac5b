import importlib
import pkgutil
from inspect import isfunction, signature
from pathlib import Path

import pytest

from relex import cli
from relex.checkpoints import TOY_BASE, locate_base, open_base
from relex.cli.options import BaseOption
from relex.errors import CheckpointError


def test_the_toy_s_base_is_known_by_name() -> None:
    assert locate_base("toy") == TOY_BASE


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        locate_base(str(tmp_path))


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"has no tokenizer \(tokenizer\.json, .*save_pretr"):
        locate_base(str(tmp_path))


def test_a_path_that_is_neither_folder_nor_repository_is_refused() -> None:
    with pytest.raises(CheckpointError, match="neither a local folder nor a readable repository"):
        locate_base("/no/such/folder")


def test_a_base_is_opened_by_whatever_a_person_calls_it(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def download(repository: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        return str(TOY_BASE)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    folder = tmp_path / "with@sign"
    folder.symlink_to(TOY_BASE)
    for base in ("toy", str(TOY_BASE), str(folder), "team/model", "team/model@v1.0"):
        assert open_base(base).tensors.keys() == open_base("toy").tensors.keys()
    assert asked == [("team/model", "main"), ("team/model", "v1.0")]


def test_every_command_with_a_base_takes_it_so() -> None:
    asking = {
        f"{module.name}.{name}": signature(value).parameters["base"].annotation
        for module in pkgutil.iter_modules(cli.__path__, "relex.cli.")
        for name, value in vars(importlib.import_module(module.name)).items()
        if isfunction(value) and value.__module__ == module.name
        if "base" in signature(value).parameters and not name.startswith("_")
    }
    assert set(asking.values()) == {BaseOption}
    assert {"relex.cli.fit.fit", "relex.cli.predict.predict"} < set(asking)
    assert len(asking) == 6
