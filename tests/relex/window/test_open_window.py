import json

import pytest
import torch

from relex.errors import CheckpointError, StorageError, WindowError
from relex.storage import open_store
from relex.window import open_window, open_writer, source_to_pack

STEPS = (1, 2, 4)


@pytest.fixture
def opened(store, fill, base, request):
    fill(store)
    connection = request.getfixturevalue("s3").connection if "s3://" in store.uri else None
    return open_window(store.uri, connection, base)


def test_a_stored_window_knows_its_steps_and_its_base(opened, base):
    assert (opened.steps, opened.base_digest) == (STEPS, base.digest())


@pytest.mark.parametrize("name", ["a.weight", "b.weight"])
def test_every_tensor_of_every_step_is_read_as_it_was_written(opened, tensors, name):
    for step in STEPS:
        found = opened.read(step, name).reshape(opened.tensors[name].shape)
        assert torch.equal(found, tensors(step)[name])


def test_a_part_of_a_tensor_is_read(opened, tensors):
    assert torch.equal(opened.read(2, "a.weight", 4, 9), tensors(2)["a.weight"].view(-1)[4:9])


def test_a_step_that_is_not_there_is_named(opened):
    with pytest.raises(WindowError, match="has no step 3"):
        opened.read(3, "a.weight")


def test_a_tensor_that_is_not_there_is_named(opened):
    with pytest.raises(WindowError, match=r"has no tensor c\.weight"):
        opened.read(1, "c.weight")


def test_a_window_has_one_digest_wherever_it_is(s3, tmp_path, fill):
    fill(s3.store("window"))
    folder = s3.folder / "window"
    assert open_window(f"{s3.uri}/window", s3.connection).digest() == (
        open_window(str(folder)).digest()
    )


def test_the_digest_changes_with_the_weights(s3, fill):
    fill(s3.store("one"), (1, 2))
    fill(s3.store("two"), (1, 3))
    digests = {open_window(f"{s3.uri}/{name}", s3.connection).digest() for name in ("one", "two")}
    assert len(digests) == 2


def test_a_truncated_object_is_named_when_the_window_is_opened(s3, fill):
    fill(s3.store("window"))
    key, store = "steps/step_000002.safetensors", s3.store("window")
    size = store.size(key)
    store.put(key, store.get(key)[:-4])
    with pytest.raises(
        WindowError,
        match=f"step_000002.safetensors: has {size - 4} bytes, .* says {size}",
    ):
        open_window(f"{s3.uri}/window", s3.connection)


def test_a_missing_object_is_named_when_the_window_is_opened(s3, fill):
    fill(s3.store("window"))
    s3.store("window").delete("steps/step_000002.safetensors")
    with pytest.raises(WindowError, match=r"step_000002\.safetensors: is missing"):
        open_window(f"{s3.uri}/window", s3.connection)


def test_a_window_without_snapshots_is_refused(tmp_path, base):
    open_writer(open_store(str(tmp_path / "window")), base, "float32", STEPS)
    with pytest.raises(WindowError, match="holds no snapshot yet"):
        open_window(str(tmp_path / "window"))


def test_an_address_without_a_window_is_refused(s3):
    with pytest.raises(WindowError, match=f"{s3.uri}/nothing: holds no window"):
        open_window(f"{s3.uri}/nothing", s3.connection)


def test_a_bucket_that_does_not_exist_is_named(s3):
    with pytest.raises(StorageError, match=r"s3://absent/.*the bucket does not exist"):
        open_window("s3://absent/window", s3.connection)


def test_a_manifest_whose_facts_are_damaged_is_refused(tmp_path, fill):
    fill(open_store(str(tmp_path)))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["facts"]["precision"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WindowError, match=r"its manifest describes no window: .*precision"):
        open_window(str(tmp_path))


def test_a_manifest_that_was_changed_is_refused(tmp_path, fill):
    fill(open_store(str(tmp_path)))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["facts"]["steps"].pop()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WindowError, match="its manifest is damaged: the checksum is wrong"):
        open_window(str(tmp_path))


@pytest.mark.parametrize("pattern", ["checkpoint-{}", "global_step_{}", "step_{}"])
def test_a_folder_of_checkpoints_is_a_window(checkpoints, tensors, pattern):
    folder = checkpoints({pattern.format(step): tensors(step) for step in (10, 9)})
    window = open_window(str(folder))
    assert window.steps == (9, 10)
    assert torch.equal(window.read(10, "b.weight", 1, 3), tensors(10)["b.weight"][1:3])


def test_a_checkpoint_may_be_nested_as_verl_writes_it(checkpoints, tensors):
    folder = checkpoints({"global_step_5/actor/huggingface": tensors(5)})
    assert torch.equal(open_window(str(folder)).read(5, "b.weight"), tensors(5)["b.weight"])


def test_other_folders_and_files_are_left_alone(checkpoints, tensors):
    folder = checkpoints({"step_1": tensors(1), "step_2": tensors(2), "runs": tensors(3)})
    (folder / "trainer_state.json").write_text("{}")
    assert open_window(str(folder)).steps == (1, 2)


def test_a_plain_folder_does_not_know_its_base(checkpoints, tensors):
    assert open_window(str(checkpoints({"step_1": tensors(1)}))).base_digest is None


def test_the_digest_of_a_folder_does_not_depend_on_its_names(tmp_path, checkpoints, tensors):
    folder = checkpoints({"step_1": tensors(1)})
    before = open_window(str(folder)).digest()
    (folder / "step_1").rename(folder / "checkpoint-1")
    assert open_window(str(folder)).digest() == before


def test_a_step_that_is_there_twice_is_refused(checkpoints, tensors):
    folder = checkpoints({"checkpoint-3": tensors(3), "step_3": tensors(3)})
    with pytest.raises(WindowError, match="holds step 3 twice: checkpoint-3, step_3"):
        open_window(str(folder))


def test_step_zero_is_the_base_and_left_alone(checkpoints, tensors):
    folder = checkpoints({"step_0": tensors(0), "step_1": tensors(1)})
    assert open_window(str(folder)).steps == (1,)


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(WindowError, match="neither a window, nor is anything there named ch"):
        open_window(str(tmp_path))


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(WindowError, match="absent: is not a folder"):
        open_window(str(tmp_path / "absent"))


def test_a_missing_tensor_is_named_with_its_step(checkpoints, tensors):
    lacking = {"a.weight": tensors(2)["a.weight"]}
    folder = checkpoints({"step_1": tensors(1), "step_2": lacking})
    with pytest.raises(WindowError, match=r"step 2: lacks b\.weight, which step 1 has"):
        open_window(str(folder))


def test_an_extra_tensor_is_named_with_its_step(checkpoints, tensors):
    extra = {**tensors(2), "c.weight": torch.zeros(1)}
    folder = checkpoints({"step_1": tensors(1), "step_2": extra})
    with pytest.raises(WindowError, match=r"step 2: has c\.weight, which step 1 lacks"):
        open_window(str(folder))


@pytest.mark.parametrize(
    "other", [torch.zeros(8), torch.zeros(7, dtype=torch.bfloat16)], ids=["shape", "dtype"]
)
def test_another_shape_or_dtype_is_named_with_its_step(checkpoints, tensors, other):
    folder = checkpoints({"step_1": tensors(1), "step_2": {**tensors(2), "b.weight": other}})
    with pytest.raises(WindowError, match=r"step 2: b\.weight is .*, in step 1 it is float32\[7\]"):
        open_window(str(folder))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(checkpoints, dtype):
    folder = checkpoints({"step_1": {"a.weight": torch.zeros(4).to(dtype)}})
    with pytest.raises(WindowError, match=r"step 1: a\.weight is .*the weights are quantised"):
        open_window(str(folder))


def test_integer_buffers_are_no_quantised_weights(checkpoints, tensors):
    tensors = {**tensors(1), "position_ids": torch.arange(4)}
    assert "position_ids" in open_window(str(checkpoints({"step_1": tensors}))).tensors


def test_a_truncated_checkpoint_is_named(checkpoints, tensors):
    folder = checkpoints({"step_1": tensors(1), "step_2": tensors(2)})
    path = folder / "step_2/model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"step_2/model\.safetensors: truncated"):
        open_window(str(folder))


def test_only_checkpoints_that_are_not_local_have_to_be_packed(
    s3, tmp_path, fill, checkpoints, tensors
):
    fill(s3.store("window"))
    folder = checkpoints({"checkpoint-3": tensors(3)})
    s3.store("run").put_file(
        "checkpoint-3/model.safetensors", folder / "checkpoint-3/model.safetensors"
    )
    assert source_to_pack(f"{s3.uri}/window", s3.connection, tmp_path) is None
    assert source_to_pack(str(folder), None, tmp_path) is None
    source = source_to_pack(f"{s3.uri}/run", s3.connection, tmp_path)
    assert source is not None
    assert source.steps == (3,)
