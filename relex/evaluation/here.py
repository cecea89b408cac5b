"""What a node of a cluster needs for an engine: the base, located there, and the factors, fetched
once for all of its engines."""

import shutil
import time
from pathlib import Path

from relex.card import MODEL_KIND
from relex.checkpoints import base_here, check_digest
from relex.claim import one_at_a_time
from relex.digests import sha256_json
from relex.evaluation.engine import EngineConfig
from relex.extrapolation import KIND as FACTORS_KIND
from relex.home import make_home
from relex.storage import S3Connection, open_store
from relex.storage.manifest import fetch_folder, read_manifest

KEPT_SECONDS = 86_400.0
"""What no engine has asked for so long are removed."""


def source_here(config: EngineConfig) -> EngineConfig:
    """The config with folders of this machine in place of addresses.

    Raises CheckpointError when this machine has another base under that name, or none, StorageError
    when something cannot be fetched.
    """
    source = config.source
    if not source.base_digest:
        return config
    base = Path(_here(source.base, MODEL_KIND, source.connection))
    if not base.is_dir():
        base = base_here(source.base, config.trust_remote_code)
    check_digest(base, source.base_digest)
    factors = _here(source.factors, FACTORS_KIND, source.connection)
    update = {"base": str(base), "factors": factors}
    return config.model_copy(update={"source": source.model_copy(update=update)})


def _here(address: str, kind: str, connection: S3Connection) -> str:
    """The folder of what is on S3, fetched by the first that asks; anything else as it is."""
    if not address.startswith("s3://"):
        return address
    store, home = open_store(address, connection), make_home()
    manifest = read_manifest(store, kind)
    digest = sha256_json(None if manifest is None else manifest.model_dump(mode="json"))
    folder = home.node / kind / digest
    with one_at_a_time(home.lock(f"node-{kind}")):
        for other in folder.parent.glob("*"):
            if time.time() - other.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        if read_manifest(open_store(str(folder)), kind) is None:
            fetch_folder(store, folder, kind)
        folder.touch()
    return str(folder)
