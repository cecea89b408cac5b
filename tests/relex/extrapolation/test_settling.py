"""The rule that ends a training, on trajectories whose law is known.

S steps, N elements.
"""

import numpy as np
import pytest
import torch

from relex.extrapolation import fit_factors
from relex.extrapolation.settling import (
    NUM_LOOKS,
    are_settled,
    last_looks,
    look_at,
    look_steps,
    same_order,
)
from relex.extrapolation.window_grams import window_grams

NUM_STEPS, NUM_ELEMENTS, NUM_RUNS = 60, 400, 8
STEPS = range(1, NUM_STEPS + 1)
NAMES = [
    f"model.layers.{layer}.{module}.weight"
    for layer in range(4)
    for module in ("mlp.up_proj", "self_attn.q_proj")
]


def grams_of(displacements):
    return {name: d_SN @ d_SN.T for name, d_SN in displacements.items()}


def trajectory(seed, drift=0.0, walk=0.0, noise=0.0):
    """Tensors that drift along a line, each at a speed of its own, with a random walk of steps of
    the length `walk`, seen with an error of the length `noise`."""
    rng = np.random.default_rng(seed)
    scale = NUM_ELEMENTS**-0.5

    def one():
        line_SN = np.outer(STEPS, rng.normal(size=NUM_ELEMENTS)) * np.exp(rng.normal(0, 0.5))
        walk_SN = np.cumsum(rng.normal(size=(NUM_STEPS, NUM_ELEMENTS)), axis=0)
        noise_SN = rng.normal(size=(NUM_STEPS, NUM_ELEMENTS))
        return scale * (drift * line_SN + walk * walk_SN + noise * noise_SN)

    return {name: one() for name in NAMES}


def when_to_stop(grams):
    """The first step at which training would stop; it looks at the window so far, as training
    does."""
    for step in look_steps(STEPS):
        so_far = {name: gram_SS[:step, :step] for name, gram_SS in grams.items()}
        if are_settled(last_looks(so_far, STEPS[:step])):
            return step
    return None


def stops(num=NUM_RUNS, **law):
    return [when_to_stop(grams_of(trajectory(seed, **law))) for seed in range(num)]


@pytest.mark.parametrize("law", [{"walk": 1.0}, {"noise": 1.0}, {"walk": 1.0, "noise": 3.0}])
def test_what_wanders_never_settles(law):
    assert stops(**law) == [None] * NUM_RUNS


def test_a_straight_line_settles_with_the_third_look():
    third = look_steps(STEPS)[NUM_LOOKS - 1]
    assert stops(drift=1.0) == [third] * NUM_RUNS
    assert stops(drift=1.0, walk=0.1) == [third] * NUM_RUNS


def test_the_noisier_the_later():
    medians = [np.median(stops(drift=1.0, walk=walk)) for walk in (0.1, 1.0, 2.0)]
    assert medians == sorted(set(medians))


def test_what_is_drowned_in_noise_is_trained_to_the_end():
    assert stops(drift=1.0, noise=100.0) == [None] * NUM_RUNS


def test_a_line_that_turns_is_not_settled_until_it_goes_straight_again():
    first, second = trajectory(0, drift=1.0), trajectory(1, drift=1.0)
    turned = {
        name: np.concatenate([first[name][:17], first[name][16] + second[name][: NUM_STEPS - 17]])
        for name in NAMES
    }
    assert when_to_stop(grams_of(first)) == 20
    assert when_to_stop(grams_of(turned)) != 20


def test_a_change_of_order_alone_keeps_a_window_open():
    """All parts turn a little; which of them turn most changes from one look to the others."""
    grams = grams_of(trajectory(3, drift=1.0, walk=1.0))
    looks = last_looks(grams, STEPS)
    assert are_settled(looks)
    ranked = sorted(looks[-1].parts, key=lambda part: looks[-1].parts[part])
    turned = dict(zip(ranked, sorted(looks[-1].parts.values(), reverse=True), strict=True))
    other = looks[-1].model_copy(update={"parts": turned})
    assert same_order(looks[0], other) < 0
    assert not are_settled([*looks[:-1], other])


def test_the_rule_knows_nothing_of_what_comes_later():
    grams = grams_of(trajectory(0, drift=1.0, walk=1.0))
    for end in look_steps(STEPS):
        so_far = {name: gram_SS[:end, :end] for name, gram_SS in grams.items()}
        assert last_looks(so_far, STEPS[:end])[-1] == look_at(grams, STEPS, end)


def test_the_skill_is_that_of_the_secant_on_the_weights():
    displacements = trajectory(0, drift=1.0, walk=1.0)
    look = look_at(grams_of(displacements), STEPS, 20)
    # 15 steps are kept; a third of 15 steps before step 15 is step 10.
    wrong = stayed = 0.0
    for d_SN in displacements.values():
        at = dict(zip(STEPS, d_SN, strict=True))
        for step in range(16, 21):
            said_N = at[15] + (step - 15) / 5 * (at[15] - at[10])
            wrong += ((said_N - at[step]) ** 2).sum()
            stayed += ((at[15] - at[step]) ** 2).sum()
    assert look.skill == pytest.approx(1 - wrong / stayed)


def test_a_window_that_stands_still_is_not_settled():
    still = {name: np.zeros((NUM_STEPS, NUM_STEPS)) for name in NAMES}
    assert when_to_stop(still) is None
    assert look_at(still, STEPS, 20).skill is None
    assert when_to_stop({}) is None


@pytest.mark.parametrize("kind", ["rows", "deltas"])
def test_small_tensors_are_read_whole(kind, lab, memory_window):
    torch.manual_seed(0)
    shapes = {"model.layers.0.mlp.up_proj.weight": (9, 70), "model.norm.weight": (70,)}
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    base = lab.base(tensors)
    snapshots = {
        step: {name: w + 1e-3 * step * torch.randn_like(w) for name, w in tensors.items()}
        for step in range(1, 6)
    }
    window = memory_window(snapshots)
    if kind == "deltas":
        window = lab.packed(window, base)
    factors = fit_factors(window, base, lab.folder / "factors", device="cpu")
    found = window_grams(window, base)
    assert found.keys() == factors.table.tensors.keys()
    for name, fit in factors.table.tensors.items():
        assert np.array_equal(found[name], fit.gram_SS)


def test_of_a_large_tensor_one_piece_is_read(lab, memory_window):
    num = 5 * (1 << 18)
    base_N = torch.randn(num, generator=torch.Generator().manual_seed(0))
    base = lab.base({"w": base_N})
    middle = slice(2 << 18, 3 << 18)
    window = memory_window({step: {"w": base_N + step * 1e-2} for step in (1, 2)})
    found_SS = window_grams(window, base)["w"]
    displacement_SN = torch.stack(
        [window.read(step, "w")[middle] - base_N[middle] for step in (1, 2)]
    )
    assert found_SS == pytest.approx(
        (displacement_SN.double() @ displacement_SN.double().T).numpy()
    )
