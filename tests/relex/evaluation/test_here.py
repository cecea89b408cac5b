"""What a node does before it starts an engine: it finds the base, and fetches the factors once."""

import os
import time
from pathlib import Path

import pytest

from relex.card import MODEL_KIND
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe
from relex.errors import CheckpointError, StorageError
from relex.evaluation import EngineConfig
from relex.evaluation.here import KEPT_SECONDS, source_here
from relex.evaluation.weight_source import WeightSource
from relex.extrapolation import KIND as FACTORS_KIND
from relex.storage.manifest import publish_folder

DIGEST = Checkpoint(TOY_BASE).digest()


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it keeps what it has fetched."""
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "node"


@pytest.fixture
def config(toy_recipe) -> EngineConfig:
    recipe: Recipe = toy_recipe()
    return EngineConfig(
        source=WeightSource(base=str(TOY_BASE)), evaluation=recipe.evaluation, dtype="float32"
    )


@pytest.fixture
def publish(s3, tmp_path: Path):
    """Publishes factors with this text; their address."""

    def publish(text: bytes, name: str = "factors") -> str:
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table").write_bytes(text)
        store = s3.store(name)
        publish_folder(store, folder, FACTORS_KIND, {"of": name})
        return store.uri

    return publish


def with_source(config: EngineConfig, **changes: object) -> EngineConfig:
    source = config.source.model_copy(update={"base": "toy", "base_digest": DIGEST, **changes})
    return config.model_copy(update={"source": source})


def test_what_works_where_the_run_is_stays_as_it_is(config: EngineConfig) -> None:
    assert source_here(config) is config


def test_a_base_is_located_and_compared(config: EngineConfig) -> None:
    assert source_here(with_source(config)).source.base == str(TOY_BASE)
    with pytest.raises(CheckpointError, match="is another base than the run's: digest"):
        source_here(with_source(config, base_digest="0" * 64))


def test_factors_are_fetched_once_for_all_engines_of_a_node(
    config: EngineConfig, s3, publish, node: Path
) -> None:
    wanted = with_source(config, factors=publish(b"one"), connection=s3.connection)
    first = source_here(wanted).source.factors
    assert (Path(first) / "table").read_bytes() == b"one"
    assert Path(first).parent == node / FACTORS_KIND
    (s3.folder / "factors" / "table").unlink()
    assert source_here(wanted).source.factors == first


def test_other_factors_at_the_same_address_are_fetched_anew(
    config: EngineConfig, s3, publish
) -> None:
    folders = []
    for text in (b"one", b"two"):
        wanted = with_source(config, factors=publish(text), connection=s3.connection)
        folders.append(Path(source_here(wanted).source.factors))
    assert [(folder / "table").read_bytes() for folder in folders] == [b"one", b"two"]


def test_what_no_engine_has_asked_for_a_day_is_removed(config: EngineConfig, s3, publish) -> None:
    old, kept = (
        with_source(config, factors=publish(name.encode(), name), connection=s3.connection)
        for name in ("old", "kept")
    )
    folders = [Path(source_here(each).source.factors) for each in (old, kept)]
    long_ago = time.time() - KEPT_SECONDS - 60
    for folder in folders:
        os.utime(folder, (long_ago, long_ago))
    again = Path(source_here(kept).source.factors)
    assert again == folders[1] and (again / "table").read_bytes() == b"kept"
    assert not folders[0].exists()


def test_factors_that_are_not_there_are_an_error(config: EngineConfig, s3) -> None:
    wanted = with_source(config, factors=f"{s3.uri}/nothing", connection=s3.connection)
    with pytest.raises(StorageError, match="nothing"):
        source_here(wanted)


def test_a_checkpoint_of_the_run_is_fetched_as_a_base(config: EngineConfig, s3, node) -> None:
    store = s3.store("cold")
    publish_folder(store, TOY_BASE, MODEL_KIND, {})
    found = source_here(with_source(config, base=store.uri, connection=s3.connection)).source.base
    assert Path(found).is_relative_to(node)
    assert Checkpoint(Path(found)).digest() == DIGEST
