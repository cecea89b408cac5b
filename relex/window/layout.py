"""The files of a window: one delta file per step, and a manifest of those that are safe."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from relex.digests import sha256_json
from relex.errors import StorageError, WindowError
from relex.storage import Store
from relex.storage.manifest import MANIFEST, FileEntry, Manifest, read_manifest, write_manifest
from relex.strict import Strict

KIND = "window"
BASE_INPUT = "base"
STEPS_PREFIX = "steps/"
NUM_READS = 3

Precision = Literal["float32", "bfloat16", "rounded", "exact"]
"""How weights are kept; `exact` leaves every tensor in the dtype that it has in the snapshots."""

Kept = Precision | Literal["adapters"]
"""`adapters`: every step's file is a LoRA adapter."""

ADAPTERS: Kept = "adapters"


class StepFile(Strict):
    """One safe step; its file's size and digest are in the manifest's `files`."""

    step: int

    kind: Literal["delta", "anchor"]
    """An anchor is encoded alone, a delta against the step before."""

    previous: int | None
    """Step that it is encoded against: 0 is the base; None for an anchor."""

    snapshot_digest: str
    """Of the snapshot that it was made from, whatever is kept of it."""

    @property
    def key(self) -> str:
        return step_key(self.step)


class WindowFacts(Strict):
    """What the manifest of a window says beside its files."""

    precision: Kept
    """How the weights are kept."""

    anchor_every_steps: int
    """Every so many steps of the window one is an anchor."""

    planned_steps: tuple[int, ...]
    """Steps that the window will hold when it is complete, ascending."""

    steps: tuple[StepFile, ...]
    """Steps whose bytes are safe, ascending."""

    complete: bool
    """Whether the run that fills the window has ended."""

    writer: str
    """Random name of the writer that opened the window last; only that one may change it."""

    checksum: str = ""
    """Of all the rest of the manifest, against bytes that are damaged on their way."""


@dataclass(frozen=True)
class WindowManifest:
    """The manifest of a window, parsed."""

    base_digest: str
    facts: WindowFacts
    files: dict[str, FileEntry]

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the safe steps, ascending."""
        return tuple(file.step for file in self.facts.steps)

    @property
    def planned_files(self) -> Set[str]:
        """Keys of all files that the window's writer ever makes beside the manifest."""
        return {step_key(step) for step in self.facts.planned_steps} | self.files.keys()

    def pack(self) -> Manifest:
        facts = self.facts.model_copy(update={"checksum": self._checksum()})
        return Manifest(
            kind=KIND,
            inputs={BASE_INPUT: self.base_digest},
            files=self.files,
            facts=facts.model_dump(mode="json"),
        )

    def check(self, where: str) -> None:
        """Raise WindowError when the parts contradict each other."""
        if self.facts.checksum != self._checksum():
            raise WindowError(f"{where}: its manifest is damaged: the checksum is wrong")
        if set(self.files) != {file.key for file in self.facts.steps}:
            raise WindowError(f"{where}: its manifest's files are not those of its steps")

    def _checksum(self) -> str:
        facts = self.facts.model_dump(mode="json", exclude={"checksum"})
        files = {key: entry.model_dump() for key, entry in self.files.items()}
        return sha256_json({"base": self.base_digest, "facts": facts, "files": files})


def step_key(step: int) -> str:
    """Key of a step's file below the window."""
    return f"{STEPS_PREFIX}step_{step:06d}.safetensors"


def read_window_manifest(store: Store) -> WindowManifest | None:
    """The window's manifest, or None where there is no window yet.

    Raises StorageError when it is no manifest of a window, WindowError when it is damaged or
    contradicts itself. What arrives damaged is read again before.
    """
    for _ in range(NUM_READS - 1):
        try:
            manifest = _read(store)
        except WindowError:
            continue
        except StorageError as error:
            if isinstance(error.__cause__, ValidationError):
                continue
            raise
        # Taking a damaged listing for an empty one would begin the window anew.
        if manifest is not None or store.size(MANIFEST) is None:
            return manifest
    return _read(store)


def write_window_manifest(store: Store, manifest: WindowManifest) -> None:
    """Replace the manifest and read it back.

    Raises StorageError when the place refuses or keeps other bytes.
    """
    packed = manifest.pack()
    for _ in range(NUM_READS):
        write_manifest(store, packed)
        if store.get(MANIFEST) == packed.model_dump_json(indent=1).encode():
            return
    raise StorageError(f"{store.uri}/{MANIFEST}: reads back other bytes than were written")


def _read(store: Store) -> WindowManifest | None:
    manifest = read_manifest(store, KIND)
    if manifest is None:
        return None
    try:
        facts = WindowFacts.model_validate(manifest.facts)
        base_digest = manifest.inputs[BASE_INPUT]
    except (ValidationError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WindowError(f"{store.uri}: its manifest describes no window: {reason}") from error
    parsed = WindowManifest(base_digest, facts, manifest.files)
    parsed.check(store.uri)
    return parsed
