"""A snapshot in the names of the base, where that both hold the same tensors can be proved.

Trainers write the weights of a model under other names than the base has: with the prefix of a
wrapper, with an output layer that is tied to the embedding, with the experts of a layer as one
tensor. What cannot be proved to be the same is refused in one line that says what differs.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from threading import Lock

import torch

from relex.checkpoints import Checkpoint, TensorInfo
from relex.checkpoints.model_state import BaseNames, names_in_model
from relex.checkpoints.raw_bytes import raw_bytes
from relex.errors import CheckpointError, WindowError
from relex.window.codec import Snapshot, block_spans
from relex.window.differences import Infos, check_same

PIECE_ELEMENTS = 1 << 22
OUTPUT_LAYER = re.compile(r"(?:.*\.)?(?:lm_head|embed_out)\.weight")
EMBEDDING = re.compile(r".*(?:embed_tokens|embed_in|word_embeddings|wte)\.weight")


class Renamed:
    """A snapshot under other names; one of its tensors may have several, or none."""

    def __init__(self, snapshot: Snapshot, name_of: Mapping[str, str]) -> None:
        """`name_of`: the snapshot's names by the new ones."""
        self._snapshot, self.name_of = snapshot, name_of
        self.tensors = {name: snapshot.tensors[old] for name, old in name_of.items()}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._snapshot.read(self.name_of[name], start, stop)

    def with_names(self, name_of: Mapping[str, str]) -> "Renamed":
        """The same snapshot; `name_of`: the present names by the new ones."""
        return Renamed(self._snapshot, {new: self.name_of[old] for new, old in name_of.items()})


class Matcher:
    """Brings snapshots into the names of one base."""

    def __init__(self, base: Checkpoint) -> None:
        self._base = base
        self.notes: list[str] = []
        """What was mapped so far, a line for each kind."""

    def match(self, where: str, snapshot: Snapshot) -> Snapshot:
        """Raises WindowError, naming `where`, unless `snapshot` is made of the base's tensors."""
        expected = self._base.tensors
        if snapshot.tensors.keys() != expected.keys():
            renamed = self._without_prefixes(snapshot)
            snapshot = self._converted(self._with_output_layer(where, renamed))
        check_same(where, snapshot.tensors, expected)
        return snapshot

    def _without_prefixes(self, snapshot: Snapshot) -> Renamed:
        found = Renamed(snapshot, {name: name for name in snapshot.tensors})
        while change := _prefix_change(found.tensors, self._base.tensors):
            old, new = change
            name_of = {_changed(name, old, new, self._base.tensors): name for name in found.tensors}
            if len(name_of) < len(found.tensors):  # two names would become one
                break
            found = found.with_names(name_of)
            self._note(f"tensors named {old or '.'}* are taken for the base's {new or '.'}*")
        return found

    def _with_output_layer(self, where: str, found: Renamed) -> Renamed:
        """Tied to the embedding, it is there once or twice, as the trainer likes."""
        base, name_of = self._base, {name: name for name in found.tensors}
        for name in filter(OUTPUT_LAYER.fullmatch, found.tensors.keys() - base.tensors.keys()):
            embedding = _embedding(name, found.tensors)
            if embedding in base.tensors:
                _check_equal(
                    found,
                    name,
                    embedding,
                    f"{where}: has {name}, which the base ties to {embedding}, but the two differ: "
                    "the output layer was trained by itself; give a base that holds it "
                    "(tie_word_embeddings: false in its config)",
                )
                self._note(f"{name} is {embedding}, as in the base, which ties them")
                del name_of[name]
        for name in filter(OUTPUT_LAYER.fullmatch, base.tensors.keys() - found.tensors.keys()):
            embedding = _embedding(name, base.tensors)
            if embedding in found.tensors:
                _check_equal(
                    base,
                    name,
                    embedding,
                    f"{where}: lacks {name}, and in the base it is not "
                    f"{embedding}: the trainer tied what the base does not, or did not save it",
                )
                self._note(f"{name} is {embedding}, as in the base, which holds both")
                name_of[name] = embedding
        return found.with_names(name_of)

    def _converted(self, found: Renamed) -> Snapshot:
        """From the names that transformers gives the tensors, where these are they."""
        if found.tensors.keys() == self._base.tensors.keys() or self._names is None:
            return found
        if found.tensors.keys() != self._names.needed:
            return found
        self._note("tensors that transformers joins or renames are taken apart as it does")
        return Converted(found, self._names)

    @cached_property
    def _names(self) -> BaseNames | None:
        try:
            return names_in_model(self._base, trust_remote_code=False)
        except CheckpointError:
            return None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Converted:
    """A snapshot in the names of the model that transformers makes, in those of its base."""

    def __init__(self, snapshot: Snapshot, names: BaseNames) -> None:
        self._state, self._lock = names.of(_State(snapshot, "cpu")), Lock()
        shapes = names.of(_State(snapshot, "meta"))
        self.tensors = {
            name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in shapes.items()
        }

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        with self._lock:  # the state keeps what it converted last
            return self._state[name].reshape(-1)[start:stop].clone()


class _State(Mapping[str, torch.Tensor]):
    """The tensors of a snapshot, read when they are asked for; on the meta device, their shapes."""

    def __init__(self, snapshot: Snapshot, device: str) -> None:
        self._snapshot, self._device = snapshot, device

    def __getitem__(self, name: str) -> torch.Tensor:
        info = self._snapshot.tensors[name]
        if self._device == "meta":
            return torch.empty(info.shape, dtype=info.dtype, device="meta")
        return self._snapshot.read(name).reshape(info.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._snapshot.tensors)

    def __len__(self) -> int:
        return len(self._snapshot.tensors)


def _prefix_change(found: Infos, expected: Infos) -> tuple[str, str] | None:
    """The prefix that names have in place of one of the base's; None where that is not certain.

    What follows the prefixes is the same, and holds all numbers of layers.
    """
    endings: dict[str, list[str]] = defaultdict(list)
    for name in expected.keys() - found.keys():
        for ending in _endings(name):
            endings[ending].append(name)
    changes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name in found.keys() - expected.keys():
        ending = next((ending for ending in _endings(name) if ending in endings), "")
        others = [it for it in endings[ending] if expected[it].shape == found[name].shape]
        if len(others) == 1:
            old, new = name.removesuffix(ending), others[0].removesuffix(ending)
            if not re.search(r"\d", old + new):
                changes[old][new] += 1
    certain = {old: max(news.items()) for old, news in changes.items() if len(news) == 1}
    if not certain:
        return None
    old = max(certain, key=lambda it: (certain[it][1], it))
    return old, certain[old][0]


def _endings(name: str) -> Iterator[str]:
    """A module and what is in it, longest first: `a.b.c`, `b.c`."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts) - 1))


def _changed(name: str, old: str, new: str, expected: Infos) -> str:
    is_meant = name not in expected and name.startswith(old)
    return new + name.removeprefix(old) if is_meant else name


def _embedding(output: str, tensors: Infos) -> str:
    """The embedding that an output layer can be tied to, or nothing."""
    named = filter(EMBEDDING.fullmatch, tensors)
    others = [name for name in named if tensors[name] == tensors[output]]
    return others[0] if len(others) == 1 else ""


def _check_equal(tensors: Snapshot, one: str, other: str, message: str) -> None:
    for span in block_spans(tensors.tensors[one].num_elements, PIECE_ELEMENTS):
        pieces = (raw_bytes(tensors.read(name, *span)) for name in (one, other))
        if not torch.equal(*pieces):
            raise WindowError(message)
