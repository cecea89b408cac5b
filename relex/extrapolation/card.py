"""What goes out with a predicted checkpoint: its model card, its manifest, and its origin in the
header of the weights."""

from collections.abc import Mapping
from pathlib import Path

from relex.card import MODEL_KIND, is_repository, write_card
from relex.checkpoints import Checkpoint
from relex.extrapolation.factors import FactorsTable
from relex.extrapolation.method import Method
from relex.parts import Part
from relex.storage.folder import FolderStore
from relex.storage.manifest import describe_folder, write_manifest


def origin_of(table: FactorsTable, method: Method, target: int, part: Part) -> dict[str, str]:
    """For the header: how the weights were made, and from what."""
    return {
        "relex.base_digest": table.base_digest,
        "relex.steps": f"{table.steps[0]} to {table.steps[-1]}",
        "relex.method": method.text,
        "relex.step": str(target),
        **({"relex.part": part.text} if part.text else {}),
    }


def seal(
    folder: Path, base: Checkpoint, base_name: str, table: FactorsTable, origin: Mapping[str, str]
) -> None:
    """Write the card of a predicted checkpoint, and last its manifest."""
    named = base_name if is_repository(base_name) else base.folder.name
    part = f", which moves {origin['relex.part']} alone" if "relex.part" in origin else ""
    body = f"""# {named}, extrapolated to step {origin["relex.step"]}

Made by relex from {len(table.steps)} snapshots, of steps {origin["relex.steps"]}, of a training of
{named}, by the method `{origin["relex.method"]}`{part}. Nobody trained it to this step and nothing
was measured: whether it answers better than the last snapshot, `relex evaluate` tells.
"""
    write_card(folder, base.folder, base_name, body)
    write_manifest(FolderStore(folder), describe_folder(folder, MODEL_KIND, dict(origin)))
