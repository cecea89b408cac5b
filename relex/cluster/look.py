"""What a machine has of all that a run needs on the nodes of a cluster."""

import os

from relex.checkpoints import Checkpoint, locate_base
from relex.errors import InputError
from relex.storage import S3Connection, open_store
from relex.strict import Strict
from relex.versions import pinned_versions


class Wanted(Strict):
    """What is asked of every node. Keys of S3 are not among it: a node has its own."""

    storage: str = ""
    """Where the run is kept; nothing is asked without."""

    connection: S3Connection = S3Connection()
    """How to reach it."""

    marker: str = ""
    """Name of an object there."""

    base: str = ""
    """The base as the recipe names it; nothing is asked without."""

    revision: str = "main"
    trust_remote_code: bool = False


class Found(Strict):
    """What a node says."""

    versions: dict[str, str]
    base_digest: str = ""
    niceness: int = 0
    """Above 0 all else on the node goes before what Ray starts there."""

    fault: str = ""
    """Why it cannot read what is asked; nothing where it can."""


def look(wanted: Wanted) -> Found:
    """What this machine has."""
    versions, niceness = pinned_versions(), os.nice(0)
    try:
        if wanted.storage:
            open_store(wanted.storage, wanted.connection).get(wanted.marker)
        digest = ""
        if wanted.base:
            folder = locate_base(wanted.base, wanted.revision, wanted.trust_remote_code)
            digest = Checkpoint(folder).digest()
    except InputError as error:
        return Found(versions=versions, niceness=niceness, fault=str(error))
    return Found(versions=versions, niceness=niceness, base_digest=digest)
