import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import InputError, WindowError
from relex.storage import open_store
from relex.window import open_window, open_writer, unpack
from tests.snapshots import TensorsAtHand


@pytest.fixture(scope="module")
def base():
    return Checkpoint(TOY_BASE)


@pytest.fixture
def float32_tensors(base):
    random = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(info.shape, generator=random) / 8 for name, info in base.tensors.items()
    }


@pytest.fixture
def window(tmp_path, base, float32_tensors):
    store = open_store(str(tmp_path / "window"))
    writer = open_writer(store, base, "float32", (3,))
    writer.append(3, TensorsAtHand(float32_tensors))
    return open_window(store.uri, base=base)


def test_a_step_is_unpacked_bit_for_bit(tmp_path, window, base, float32_tensors):
    unpack(window, 3, base, tmp_path / "out")
    found = Checkpoint(tmp_path / "out")
    for name, expected in float32_tensors.items():
        assert torch.equal(found.read_tensor(name), expected)


def test_transformers_loads_the_unpacked_step_without_casting_it(
    tmp_path, window, base, float32_tensors
):
    unpack(window, 3, base, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    for name, expected in float32_tensors.items():
        assert torch.equal(model.state_dict()[name], expected)


def test_the_tokenizer_comes_from_the_base(tmp_path, window, base):
    unpack(window, 3, base, tmp_path / "out")
    copied = json.loads((tmp_path / "out/tokenizer.json").read_text())
    assert copied == json.loads((TOY_BASE / "tokenizer.json").read_text())


def test_progress_counts_the_bytes(tmp_path, window, base):
    seen = []
    unpack(window, 3, base, tmp_path / "out", lambda *done: seen.append(done))
    num_total = sum(info.num_bytes for info in window.tensors.values())
    assert seen == sorted(seen)
    assert seen[-1] == (num_total, num_total)


def test_a_step_that_is_not_there_is_refused(tmp_path, window, base):
    with pytest.raises(WindowError, match="has no step 4; it holds 1 steps from 3 to 3"):
        unpack(window, 4, base, tmp_path / "out")


def test_a_folder_that_exists_is_not_overwritten(tmp_path, window, base):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        unpack(window, 3, base, tmp_path / "out")
