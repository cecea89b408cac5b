import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

Shards = Mapping[str, Mapping[str, torch.Tensor]]


@pytest.fixture
def save_checkpoint(tmp_path: Path) -> Callable[[str, Shards], Path]:
    """Writes a checkpoint with safetensors' own writer: file name to tensors."""

    def save(name: str, shards: Shards) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for shard, tensors in shards.items():
            save_file(dict(tensors), folder / shard, {"format": "pt"})
        (folder / "config.json").write_text("{}")
        if len(shards) > 1:
            weight_map = {n: shard for shard, tensors in shards.items() for n in tensors}
            text = json.dumps({"metadata": {}, "weight_map": weight_map})
            (folder / "model.safetensors.index.json").write_text(text)
        return folder

    return save
