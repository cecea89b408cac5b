from pathlib import Path

import pytest

from relex.checkpoints import TOY_BASE, locate_base
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
