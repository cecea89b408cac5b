"""The work of a run on the nodes of a cluster."""

from relex.cluster import Wanted
from relex.run.places import Run


def wanted_by(run: Run) -> Wanted:
    """What the run asks of every node."""
    base = run.recipe.base
    return Wanted(
        storage=run.root_uri,
        connection=run.connection,
        base=base.path,
        revision=base.revision,
        trust_remote_code=base.trust_remote_code,
    )
