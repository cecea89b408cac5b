"""Breaks of a trajectory, in real AdamW runs of a small network with noisy gradients."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch

from relex.extrapolation import Anomaly
from relex.extrapolation.anomalies import find_anomalies
from relex.extrapolation.movement import GRAM_ROUNDING, Movement

NUM_STEPS = 30
SEEDS = range(3)

Schedule = Callable[[int], float]
SCHEDULES: dict[str, Schedule] = {
    "constant": lambda step: 1.0,
    "cosine": lambda step: (1 + math.cos(math.pi * (step - 1) / NUM_STEPS)) / 2,
    "warm-up from zero": lambda step: min((step - 1) / 10, 1.0),
    "warm-up, then cosine": lambda step: (
        min(step / 5, 1.0) * (1 + math.cos(math.pi * (step - 1) / NUM_STEPS)) / 2
    ),
    "linear": lambda step: 1 - (step - 1) / NUM_STEPS,
    "cosine with restarts": lambda step: 1.02 + math.cos(math.pi * ((step - 1) % 10) / 10),
    "a tenth later": lambda step: 1.0 if step < 15 else 0.1,
    "tenfold later": lambda step: 1.0 if step < 15 else 10.0,
}
SPARSE = {
    "every step": list(range(NUM_STEPS)),
    "every third": list(range(2, NUM_STEPS, 3)),
    "with gaps": [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 25, 29],
    "doubling": [0, 1, 3, 7, 15, 29],
}


@cache
def train(
    seed: int = 0,
    schedule: str = "constant",
    spike: int = 0,
    reset: int = 0,
    batch: int = 16,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Displacements (S x N) of a network that learns noisy targets.

    At step `spike` the learning rate is ten times as high, before step `reset` the optimizer
    forgets its averages.
    """
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4))
    teacher = torch.nn.Linear(16, 4).requires_grad_(False)
    snapshots = [torch.nn.utils.parameters_to_vector(network.parameters()).detach().to(dtype)]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    for step in range(1, NUM_STEPS + 1):
        if step == reset:
            optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
        rate = 1e-4 * SCHEDULES[schedule](step) * (10 if step == spike else 1)
        optimizer.param_groups[0]["lr"] = rate
        inputs = torch.randn(batch, 16)
        targets = teacher(inputs) + torch.randn(batch, 4)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
        vector = torch.nn.utils.parameters_to_vector(network.parameters())
        snapshots.append(vector.detach().to(dtype))
    stacked = torch.stack(snapshots).float()
    return stacked[1:] - stacked[0]


def anomalies(displacement_SN: torch.Tensor, rows: Sequence[int]) -> list[Anomaly]:
    """Found when only the snapshots in `rows` are in the window; row r is step r + 1."""
    double_SN = displacement_SN[list(rows)].double()
    gram_SS = (double_SN @ double_SN.T).numpy()
    norm_S = double_SN.norm(dim=1)
    movement = Movement(gram_SS, GRAM_ROUNDING * torch.outer(norm_S, norm_S).numpy())
    return list(find_anomalies([movement], [row + 1 for row in rows]))


@pytest.mark.parametrize("rows", SPARSE.values(), ids=SPARSE)
@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "tenfold later"])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_schedule_and_no_gap_is_an_anomaly(seed, schedule, rows) -> None:
    assert anomalies(train(seed, schedule), rows) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_higher_learning_rate_that_stays_is_no_anomaly(seed) -> None:
    """Unless the window ends before anyone can see that it stays."""
    assert anomalies(train(seed, "tenfold later"), range(NUM_STEPS)) == []
    assert [one.kind for one in anomalies(train(seed, "tenfold later"), range(15))] == ["jump"]


@pytest.mark.parametrize("seed", SEEDS)
def test_small_batches_and_rounded_snapshots_are_no_anomaly(seed) -> None:
    assert anomalies(train(seed, batch=2), range(NUM_STEPS)) == []
    assert anomalies(train(seed, dtype=torch.bfloat16), range(NUM_STEPS)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("batch", [2, 16, 64])
@pytest.mark.parametrize("reset", [10, 15, 27])
def test_a_reset_optimizer_is_named_with_its_step(seed, batch, reset) -> None:
    found = anomalies(train(seed, reset=reset, batch=batch), range(NUM_STEPS))
    assert [(one.kind, one.steps) for one in found] == [("reset", (reset,))]
    assert f"step {reset}: the update leaps to" in found[0].message
    assert f"fit only from step {reset} on" in found[0].message


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_spike_of_the_learning_rate_is_a_jump(seed, dtype) -> None:
    found = anomalies(train(seed, spike=15, dtype=dtype), range(NUM_STEPS))
    assert [(one.kind, one.steps) for one in found] == [("jump", (14, 15))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_jump_is_seen_across_missing_steps(seed) -> None:
    found = anomalies(train(seed, spike=15), SPARSE["with gaps"])
    assert [(one.kind, one.steps) for one in found] == [("jump", (14, 15))]


def test_a_jump_at_the_end_is_seen() -> None:
    found = anomalies(train(spike=NUM_STEPS), range(NUM_STEPS))
    assert [(one.kind, one.steps) for one in found] == [("jump", (29, 30))]


def test_a_snapshot_saved_twice_is_repeated_and_no_jump_follows() -> None:
    displacement_SN = train().clone()
    displacement_SN[14] = displacement_SN[13]
    (found,) = anomalies(displacement_SN, range(NUM_STEPS))
    assert (found.kind, found.steps) == ("repeated", (15,))
    assert found.message.startswith("step 15 has the weights of step 14")
    assert "take the repeated ones out of the window" in found.message


def test_a_run_that_stands_still_at_its_end_is_repeated_up_to_there() -> None:
    displacement_SN = train().clone()
    displacement_SN[20:] = displacement_SN[19]
    (found,) = anomalies(displacement_SN, range(NUM_STEPS))
    assert (found.kind, found.steps) == ("repeated", tuple(range(21, 31)))
    assert "steps 21 to 30 have the weights of step 20" in found.message
    assert "fit only up to step 20 (--steps 1:20)" in found.message


def test_a_jump_into_a_repeated_snapshot_gives_both_findings() -> None:
    """What a replication saw in the released trajectory: a jump, and the same weights after it."""
    displacement_SN = train().clone()
    displacement_SN[20:] = displacement_SN[19] + 10 * (displacement_SN[19] - displacement_SN[18])
    found = anomalies(displacement_SN, range(NUM_STEPS))
    assert [(one.kind, one.steps[0]) for one in found] == [("jump", 20), ("repeated", 22)]


def test_one_tensor_that_moves_keeps_a_snapshot_from_being_repeated() -> None:
    displacement_SN = train().double()
    norm_S = displacement_SN.norm(dim=1)
    moving = Movement(
        (displacement_SN @ displacement_SN.T).numpy() * 1e-12,
        GRAM_ROUNDING * 1e-12 * torch.outer(norm_S, norm_S).numpy(),
    )
    ones = torch.ones(NUM_STEPS, NUM_STEPS).double().numpy()
    still = Movement(ones, GRAM_ROUNDING * ones)
    steps = range(1, NUM_STEPS + 1)
    assert [one.kind for one in find_anomalies([still], steps)] == ["repeated"]
    assert all(one.kind != "repeated" for one in find_anomalies([still, moving], steps))


def test_a_very_short_window_has_no_anomaly_but_repetition() -> None:
    for num_steps in (2, 3, 4):
        assert anomalies(train(), range(num_steps)) == []
    displacement_SN = train().clone()
    displacement_SN[1] = displacement_SN[0]
    assert [one.kind for one in anomalies(displacement_SN, range(2))] == ["repeated"]
