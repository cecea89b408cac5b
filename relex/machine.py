"""What a machine has: its GPUs and its memory."""

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import inf
from pathlib import Path

import torch

from relex.device import Device

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Bytes that this container may use, or `max`."""


@dataclass(frozen=True)
class Machine:
    """Bytes are 0 where there is no GPU, and infinite where they are not known."""

    card: str
    card_bytes: float
    """Of the smallest GPU."""

    num_cards: int
    has_vllm: bool
    host_bytes: float
    name: str = ""
    """Of a node; nothing for this machine, and for one that is only thought of."""

    @property
    def place(self) -> str:
        """Where something runs there, in words."""
        card = f"a {self.card}" if self.num_cards else ""
        return " of ".join(filter(None, [card, self.name])) or "this machine"

    def without_cards(self) -> "Machine":
        """As a run on the CPU finds it."""
        return replace(self, card="", card_bytes=0, num_cards=0)


def this_machine(device: Device) -> Machine:
    """What a run on `device` finds here."""
    has_vllm = find_spec("vllm") is not None
    if device == "cpu":
        return Machine("", 0, 0, has_vllm, _host_bytes())
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    smallest = min(cards, key=lambda card: int(card.total_memory))
    return Machine(smallest.name, smallest.total_memory, len(cards), has_vllm, _host_bytes())


def planned_machine(card_gb: float, num_cards: int) -> Machine:
    """One that is elsewhere, with vLLM. A card sold with N GB has from N x 1e9 bytes (L4, A10) to
    N x 2^30."""
    return Machine(f"GPU with {card_gb:g} GB", card_gb * 1e9, num_cards, True, inf)


def _host_bytes() -> float:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    stated = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return min(physical, float(stated)) if stated != "max" else physical
