"""Model cards: what the Hub reads, the licence of the base, and where the weights come from."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

import relex
from relex.card import FRONT_MATTER, NO_LICENCE, licence_of, write_card
from relex.checkpoints import TOY_BASE, Checkpoint, write_checkpoint
from relex.storage.folder import FolderStore
from relex.storage.manifest import describe_folder, read_manifest
from tests.hub import TOKEN, hub_of

QWEN = (
    "---\nlicense: other\nlicense_name: qwen-research\nlicense_link: https://x/LICENSE\n---\n# Q\n"
)
PUSH = """
import sys
from pathlib import Path
from relex.hub import push_to_hub
print(push_to_hub(Path(sys.argv[1]), "me/model", private=True))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "README.md").write_text(QWEN)
    (folder / "LICENSE").write_text("research only")
    return folder


def front(folder: Path) -> dict[str, object]:
    found = FRONT_MATTER.match((folder / "README.md").read_text())
    assert found is not None
    stated: dict[str, object] = yaml.safe_load(found[1])
    return stated


def test_the_licence_of_the_base_is_that_of_the_model(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_card(out, base, "Qwen/Qwen2.5-3B@abc", "# mine", ["openai/gsm8k"])
    assert front(out) == {
        "license": "other",
        "license_name": "qwen-research",
        "license_link": "https://x/LICENSE",
        "base_model": "Qwen/Qwen2.5-3B",
        "base_model_relation": "finetune",
        "datasets": ["openai/gsm8k"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["relex", "rlvr", "grpo"],
    }
    assert (
        (out / "README.md").read_text().endswith("## Licence\n\nThat of the base: qwen-research.\n")
    )
    assert (out / "LICENSE").read_text() == "research only"


@pytest.mark.parametrize(
    "card", [None, b"# no front matter", b"---\n- a list\n---\n", b"---\na: [\n---\n", b"\xff"]
)
def test_a_base_that_states_none_is_said(tmp_path: Path, card: bytes | None) -> None:
    if card is not None:
        (tmp_path / "README.md").write_bytes(card)
    assert licence_of(tmp_path) == {}
    (tmp_path / "out").mkdir()
    write_card(tmp_path / "out", tmp_path, str(tmp_path), "# mine")
    assert NO_LICENCE in (tmp_path / "out/README.md").read_text()
    assert "base_model" not in front(tmp_path / "out")


def test_a_prediction_says_how_it_was_made_and_that_nothing_was_measured(tmp_path: Path) -> None:
    base = Checkpoint(TOY_BASE)
    for step in (1, 2, 3):
        tensors = ((name, base.read_tensor(name) * (1 + step / 8)) for name in base.tensors)
        write_checkpoint(tmp_path / "window" / f"checkpoint-{step}", base, tensors)
    relex.fit(tmp_path / "window", "toy", tmp_path / "factors")
    out = relex.predict(tmp_path / "factors", "toy", 9, "secant", "2-3.mlp", out=tmp_path / "out")
    with safe_open(out / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "relex.base_digest": base.digest(),
            "relex.steps": "1 to 3",
            "relex.method": "secant",
            "relex.step": "9",
            "relex.part": "2-3.mlp",
        }
    card = (out / "README.md").read_text()
    assert "of steps 1 to 3" in card and "`secant`, which moves 2-3.mlp alone" in card
    assert "nothing\nwas measured" in card
    assert read_manifest(FolderStore(out), "model") == describe_folder(
        out, "model", read_manifest(FolderStore(out), "model").inputs
    )


def test_a_folder_is_pushed_to_the_hub_in_one_commit(tmp_path: Path) -> None:
    folder, hub = tmp_path / "model", tmp_path / "hub"
    base = Checkpoint(TOY_BASE)
    write_checkpoint(folder, base, ((name, base.read_tensor(name)) for name in base.tensors))
    write_card(folder, TOY_BASE, "toy", "# mine")
    there = hub / "models/me/model/main"
    there.mkdir(parents=True)
    (there / "model-00001-of-00002.safetensors").write_bytes(b"of the model before")
    with hub_of(hub) as server:
        environment = server.variables(tmp_path / "home")
        command = [sys.executable, "-c", PUSH, str(folder)]
        pushed = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert pushed.stdout.startswith(f"{server.address}/me/model/commit/"), pushed.stderr
        assert server.tokens == {f"Bearer {TOKEN}"}
    files = {path.name: path.read_bytes() for path in there.iterdir() if path.name[0] != "."}
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (there / ".visibility").read_text() == "private"
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("relex.errors.UploadError: me/model: the Hub refuses it (")
    assert last.endswith(f"the checkpoint is in {folder}")
