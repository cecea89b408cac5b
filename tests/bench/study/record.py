"""What is kept of a run: one file of exact chances, Gram matrices and facts of its training.

P points, Q questions, H temperatures, S steps.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from points import SPLITS

from relex.storage.atomic import write_atomic

SCALE = 65535
"""Chances are kept as whole numbers of this many parts."""


@dataclass
class Record:
    """One run of the study."""

    name: str
    num_validation: int
    """The first so many questions are those of validation, the others those of the test."""

    chances: dict[str, np.ndarray] = field(default_factory=dict)
    """By key of a point: (Q, H), of 0 to 1."""

    gram: Mapping[str, np.ndarray] = field(default_factory=dict)
    """By tensor: S x S."""

    facts: dict[str, list[float]] = field(default_factory=dict)
    """By name a value of every trained step, as the mean length of its completions in tokens."""

    is_whole: bool = False
    """Whether training went on to its last step."""

    def chance(self, key: str, split: str, temperature: int = 0) -> np.ndarray:
        """Chance of a right answer to every question of `split`; `temperature` is an index."""
        start = SPLITS.index(split) * self.num_validation
        stop = self.num_validation if split == SPLITS[0] else None
        return self.chances[key][start:stop, temperature]

    def accuracy(self, key: str, temperature: int = 0) -> float:
        """On the test questions."""
        return float(self.chance(key, "test", temperature).mean())


def write_record(record: Record, path: Path) -> None:
    chances_PQH = np.stack(list(record.chances.values()))
    upper = np.triu_indices(len(next(iter(record.gram.values()))))
    head = {
        "name": record.name,
        "num_validation": record.num_validation,
        "points": list(record.chances),
        "tensors": list(record.gram),
        "facts": record.facts,
        "is_whole": record.is_whole,
    }
    out = io.BytesIO()
    np.savez_compressed(
        out,
        head=np.array(json.dumps(head)),
        chances=np.round(chances_PQH * SCALE).astype(np.uint16),
        gram=np.stack([gram_SS[upper] for gram_SS in record.gram.values()]).astype(np.float32),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, out.getvalue())


def read_record(path: Path) -> Record:
    with np.load(path) as file:
        head = json.loads(str(file["head"]))
        chances_PQH = file["chances"] / SCALE
        upper_TX = file["gram"].astype(np.float64)
    return Record(
        name=head["name"],
        num_validation=head["num_validation"],
        chances=dict(zip(head["points"], chances_PQH, strict=True)),
        gram={
            name: _square(upper_X) for name, upper_X in zip(head["tensors"], upper_TX, strict=True)
        },
        facts=head["facts"],
        is_whole=head["is_whole"],
    )


def _square(upper_X: np.ndarray) -> np.ndarray:
    num_steps = int(np.sqrt(2 * len(upper_X)))
    gram_SS = np.zeros((num_steps, num_steps))
    gram_SS[np.triu_indices(num_steps)] = upper_X
    return gram_SS + np.triu(gram_SS, 1).T
