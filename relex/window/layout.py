"""The files of a window: one safetensors file per step, and a manifest of those that are safe."""

from dataclasses import dataclass

from pydantic import ValidationError

from relex.config.strict import Strict
from relex.config.training import WeightDtype
from relex.errors import WindowError
from relex.manifest import FileEntry, Manifest, read_manifest
from relex.storage import Store

KIND = "window"
BASE_INPUT = "base"


class WindowFacts(Strict):
    """What the manifest of a window says beside its files."""

    dtype: WeightDtype
    """Dtype of the stored weights."""

    planned_steps: tuple[int, ...]
    """Steps that the window will hold when it is complete, ascending."""

    steps: tuple[int, ...]
    """Steps whose bytes are safe, ascending."""

    complete: bool
    """Whether the run that fills the window has ended."""

    writer: str
    """Random name of the writer that opened the window last; only that one may change it."""


@dataclass(frozen=True)
class WindowManifest:
    """The manifest of a window, parsed."""

    base_digest: str
    facts: WindowFacts
    files: dict[str, FileEntry]

    def pack(self) -> Manifest:
        return Manifest(
            kind=KIND,
            inputs={BASE_INPUT: self.base_digest},
            files=self.files,
            facts=self.facts.model_dump(mode="json"),
        )


def step_key(step: int) -> str:
    """Key of a step's file below the window."""
    return f"steps/step_{step:06d}.safetensors"


def read_window_manifest(store: Store) -> WindowManifest | None:
    """The window's manifest, or None where there is no window yet.

    Raises StorageError when it is no manifest of a window, WindowError when it contradicts itself.
    """
    manifest = read_manifest(store, KIND)
    if manifest is None:
        return None
    try:
        facts = WindowFacts.model_validate(manifest.facts)
        base_digest = manifest.inputs[BASE_INPUT]
    except (ValidationError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WindowError(f"{store.uri}: its manifest describes no window: {reason}") from error
    if set(manifest.files) != {step_key(step) for step in facts.steps}:
        raise WindowError(f"{store.uri}: its manifest's files are not those of its steps")
    return WindowManifest(base_digest, facts, manifest.files)
