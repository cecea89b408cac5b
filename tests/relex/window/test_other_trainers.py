"""What other trainers write is packed as it is, or refused in one line with the way out."""

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import relex
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import WindowError
from relex.extrapolation import anomalies_of, fit_factors
from relex.storage import open_store
from relex.window import open_source, open_window, pack, source_to_pack
from relex.window.matching import Matcher
from relex.window.trainers import names_in, weight_place
from relex.window.trainers.convert import convert
from tests.other_trainers import (
    NOT_READ,
    SHARDED,
    STEPS,
    WHOLE,
    run_sharded,
    skyrl_older,
    toy_at,
    verl,
    write,
    write_config,
    write_hugging_face,
)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sharded")
    run_sharded(root)
    return root


def assert_packed(source: str, tmp_path: Path, connection=None, **options) -> list[str]:
    """Every step is bit for bit what the trainer had; returns what was said."""
    base, out, notes = Checkpoint(TOY_BASE), tmp_path / "window", []
    work = tmp_path / "work"
    opened = open_source(source, connection, work, **options)
    pack(opened, base, open_store(str(out)), on_note=notes.append)
    window = open_window(str(out), base=base)
    assert window.steps == STEPS
    for step in STEPS:
        for name, expected in toy_at(step).items():
            assert torch.equal(window.read(step, name), expected.view(-1))
    assert not work.exists() or list(work.iterdir()) == []
    return notes


@pytest.mark.parametrize("layout", WHOLE.values(), ids=WHOLE)
def test_hugging_face_checkpoints_are_found_where_a_trainer_puts_them(layout, tmp_path) -> None:
    for step in STEPS:
        layout(tmp_path / "run", step)
    assert assert_packed(str(tmp_path / "run"), tmp_path) == []
    fitted = open_window(str(tmp_path / "run"), base=Checkpoint(TOY_BASE))
    assert fitted.steps == STEPS


def test_pickled_weights_are_read_when_that_is_said(tmp_path) -> None:
    for step in STEPS:
        verl(tmp_path / "run", step)
    notes = assert_packed(str(tmp_path / "run"), tmp_path, allow_pickle=True)
    assert notes == [
        f"{tmp_path / 'run'}: step 1: lm_head.weight is model.embed_tokens.weight, as in the base, "
        "which ties them"
    ]


def test_a_state_dict_in_one_file_is_read(tmp_path) -> None:
    skyrl_older(tmp_path, 2)
    assert_holds_the_toy(tmp_path / "global_step_2", tmp_path)


@pytest.mark.parametrize("layout", SHARDED)
def test_the_shards_of_several_processes_are_joined(sharded, layout, tmp_path) -> None:
    (step_folder,) = (sharded / layout).glob("*[_-]2")
    assert_holds_the_toy(step_folder, tmp_path)


def assert_holds_the_toy(step_folder: Path, out: Path) -> None:
    """Step 2 of it, and the tied output layer, and nothing of the optimizer."""
    place, whole = weight_place("", names_in(step_folder)), out / "model.safetensors"
    convert(step_folder / place.folder, place.form, whole)
    matcher, found = Matcher(Checkpoint(TOY_BASE)), Checkpoint(out)
    assert len(found.tensors) == len(toy_at(2)) + 1
    matched = matcher.match("", found)
    for name, expected in toy_at(2).items():
        assert torch.equal(matched.read(name), expected.view(-1))
    assert matcher.notes[-1].startswith("lm_head.weight is model.embed_tokens.weight")


def test_shards_on_s3_are_copied_when_it_is_their_turn(sharded, s3, tmp_path) -> None:
    run, store = sharded / "verl_fsdp", s3.store("run")
    for path in (run / "global_step_2").rglob("*.*"):
        store.put_file(path.relative_to(run).as_posix(), path)
    with pytest.raises(WindowError, match=r"global_step_2: its weights are pickled \(actor, shard"):
        open_source(f"{s3.uri}/run", s3.connection, tmp_path)
    source = open_source(f"{s3.uri}/run", s3.connection, tmp_path / "work", allow_pickle=True)
    found = source.open(2).read("model.norm.weight")
    assert torch.equal(found, toy_at(2)["model.norm.weight"])
    source.release(2)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("layout", ["verl_fsdp", "prime_rl"])
def test_pickled_weights_are_refused_unless_it_is_said(sharded, layout, tmp_path) -> None:
    for attempt in (
        lambda: open_source(str(sharded / layout), None, tmp_path).open(1),
        lambda: open_window(str(sharded / layout)),
    ):
        with pytest.raises(WindowError, match=r"step_1: its weights are pickled .*--allow-pickle"):
            attempt()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [(r"run-(\d+)-end", "run-{}-end"), (r"after_(?P<index>\d+)", "after_{}")],
)
def test_steps_of_other_names_are_found_by_a_pattern(pattern, names, tmp_path) -> None:
    for step in STEPS:
        name = names.format(step - ("index" in pattern))
        write_hugging_face(tmp_path / "run" / name, step)
    assert_packed(str(tmp_path / "run"), tmp_path, step_pattern=pattern)
    source = source_to_pack(str(tmp_path / "run"), None, tmp_path, step_pattern=pattern)
    assert source is not None
    assert source.steps == STEPS


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("run_(", "is no regular expression"),
        (r"run_\d+", "has no group, or several"),
        (r"run_(\w+)", "run_last: the step is 'last', no number"),
    ],
)
def test_a_pattern_that_gives_no_step_is_named(pattern, message, tmp_path) -> None:
    write_hugging_face(tmp_path / "run/run_last", 1)
    with pytest.raises(WindowError, match=message):
        open_source(str(tmp_path / "run"), None, tmp_path, step_pattern=pattern)


def test_adapters_beside_the_shards_of_verl_are_what_is_fitted(tmp_path) -> None:
    """Its checkpoint holds the whole wrapped model as shards, and the adapter as PEFT saves it."""
    base = AutoModelForCausalLM.from_pretrained(TOY_BASE)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    for step in STEPS:
        actor = tmp_path / f"run/global_step_{step}/actor"
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, step)
        write(actor / "model_world_size_1_rank_0.pt", model.state_dict())
        write_config(actor / "huggingface")
        model.save_pretrained(actor / "lora_adapter")
    window = open_window(str(tmp_path / "run"), base=Checkpoint(TOY_BASE))
    assert window.steps == STEPS
    name = "model.layers.0.self_attn.q_proj.weight"
    moved = [window.read(step, name) - Checkpoint(TOY_BASE).read(name).float() for step in STEPS]
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=1e-4, atol=1e-6)

    shards = tmp_path / "run/global_step_1/actor"
    shutil.rmtree(shards / "lora_adapter")
    convert(shards, "shards", tmp_path / "model.safetensors")
    with pytest.raises(WindowError, match="holds adapters that were not merged"):
        Matcher(Checkpoint(TOY_BASE)).match("", Checkpoint(tmp_path))


def test_a_merge_that_was_forgotten_is_said(tmp_path) -> None:
    for step in STEPS:
        shutil.copytree(TOY_BASE, tmp_path / f"run/step_{step}")
    base = Checkpoint(TOY_BASE)
    window = open_window(str(tmp_path / "run"), base=base)
    (found,) = anomalies_of(fit_factors(window, base, tmp_path / "factors").table)
    assert (found.kind, found.steps) == ("still", STEPS)
    assert found.message.startswith("nothing was trained: every snapshot equals the base")


@pytest.mark.parametrize(("layout", "message"), NOT_READ.values(), ids=NOT_READ)
def test_a_form_that_is_not_read_names_the_way_out(layout, message, tmp_path, s3) -> None:
    layout(tmp_path / "run", 1)
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            s3.store("run").put_file(path.relative_to(tmp_path / "run").as_posix(), path)
    for attempt in (
        lambda: open_window(str(tmp_path / "run")),
        lambda: open_source(str(tmp_path / "run"), None, tmp_path, allow_pickle=True).open(1),
        lambda: open_source(f"{s3.uri}/run", s3.connection, tmp_path, allow_pickle=True),
    ):
        with pytest.raises(WindowError, match=message):
            attempt()


class _Opens:
    """What a pickle can do when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def test_a_pickle_that_does_more_does_nothing(tmp_path) -> None:
    harmful = _Opens(tmp_path / "harm")
    write(tmp_path / "model_state.pt", {"w": harmful})
    with pytest.raises(WindowError, match=r"model_state\.pt: cannot be read as tensors alone"):
        convert(tmp_path, "shards", tmp_path / "out")
    write(tmp_path / ".metadata", pickle.dumps(harmful))
    with pytest.raises(WindowError, match=r"no metadata of a checkpoint \(it asks for posix.mkdir"):
        convert(tmp_path, "distributed", tmp_path / "out")
    assert not (tmp_path / "harm").exists()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


BAD = {
    "a shard that is gone": (
        "verl_fsdp/global_step_1/actor/model_world_size_2_rank_1.pt",
        Path.unlink,
        "actor: the shard of rank 1 of 2 is missing",
    ),
    "a shard that was cut": (
        "verl_fsdp/global_step_1/actor/model_world_size_2_rank_1.pt",
        damaged,
        r"rank_1\.pt: cannot be read as tensors alone",
    ),
    "shards of two runs": (
        "verl_fsdp/global_step_1/actor/model_world_size_2_rank_1.pt",
        lambda path: path.rename(path.with_name("model_world_size_1_rank_0.pt")),
        r"actor: holds shards of \[1, 2\] processes",
    ),
    "a part that is gone": (
        "prime_rl/step_1/trainer/__1_0.distcp",
        Path.unlink,
        r"trainer: .* cannot be read \(.*__1_0\.distcp",
    ),
    "metadata that were cut": (
        "prime_rl/step_1/trainer/.metadata",
        damaged,
        r"\.metadata: is no metadata of a checkpoint",
    ),
}


@pytest.mark.parametrize(("name", "harm", "message"), BAD.values(), ids=BAD)
def test_damaged_shards_are_named(sharded, tmp_path, name, harm, message) -> None:
    layout, step = name.split("/")[:2]
    for path in (sharded / layout / step).rglob("*"):
        if path.is_file():
            write(tmp_path / path.relative_to(sharded), path.read_bytes())
    harm(tmp_path / name)
    place = weight_place("", names_in(tmp_path / layout / step))
    with pytest.raises(WindowError, match=message):
        convert(tmp_path / layout / step / place.folder, place.form, tmp_path / "out")


def test_weights_in_fewer_bits_than_the_base_has_are_said(tmp_path) -> None:
    """As verl's merger leaves them, of a base in float32."""
    write_config(tmp_path / "base")
    write(tmp_path / "base/model.safetensors", toy_at(0))
    for step in STEPS:
        merged = {name: tensor.bfloat16() for name, tensor in toy_at(step).items()}
        write(tmp_path / f"run/step_{step}/model.safetensors", merged)
    base, notes = Checkpoint(tmp_path / "base"), []
    source = open_source(str(tmp_path / "run"), None, tmp_path / "work")
    pack(source, base, open_store(str(tmp_path / "window")), on_note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith(
        f"{tmp_path / 'run'}: step 1: its weights are in a dtype that cannot"
    )


@pytest.mark.slow
def test_a_recipe_goes_from_shards_to_a_published_model(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    for step in STEPS:
        verl(tmp_path / "run", step)
    toy = {"kind": "toy", "limit": 20}
    evaluation = {
        "engine": "transformers",
        "grader": "exact_match",
        "samples_per_question": 2,
        "max_completion_tokens": 8,
        "max_context_tokens": 64,
    }
    summary = relex.run(
        {
            "name": "from-verl",
            "device": "cpu",
            "base": {"path": "toy"},
            "problems": {
                "validation": {**toy, "split": "validation"},
                "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
            },
            "window": {"uri": str(tmp_path / "run"), "allow_pickle": True},
            "extrapolation": {"targets": [4]},
            "evaluation": evaluation,
        }
    )
    assert summary.window_steps == STEPS
    place = tmp_path / "home/s3/relex/runs" / summary.run_id
    window = open_window(str(place / "window"), base=Checkpoint(TOY_BASE))
    assert torch.equal(window.read(2, "model.norm.weight"), toy_at(2)["model.norm.weight"])
    assert Checkpoint(place / "model").tensors == Checkpoint(TOY_BASE).tensors
