"""What the paragraph says, and what it does not claim."""

import numpy as np

from relex.candidates import BASE
from relex.config import SelectionConfig
from relex.sweep import rank, verdict

HOW = (SelectionConfig(num_resamples=2000), 0)


def said(*built) -> str:
    results = [result for result, _ in built]
    variants = rank(results, {r.run_id: x for r, x in built if r.measures}, *HOW)
    return verdict(variants, results, "held_out", 0.5, 0.95)


def both(build_trial, variant: str, accuracy: float):
    return [build_trial(variant, seed, accuracy) for seed in (0, 1)]


def test_a_clear_winner_is_told_with_its_gap_and_its_chance(build_trial):
    words = said(*both(build_trial, "good", 0.9), *both(build_trial, "form", 0.6))
    assert words.startswith("good is best on validation, 0.900 on average over 2 seeds, and ")
    assert "(the untouched model 0.500)" in words
    assert (
        "ahead of form, the other variant, which is more than chance explains (p = 0.0005;" in words
    )
    assert "By seed the difference is +0." in words
    assert "2 seeds are few" in words


def test_a_gap_that_chance_explains_is_called_so(build_trial):
    words = said(*both(build_trial, "good", 0.605), *both(build_trial, "form", 0.6))
    assert "more than chance explains" not in words.replace("no more than chance explains", "")


def test_a_winner_that_is_not_ahead_on_test_is_called_equal(build_trial):
    same = np.tile([True, False], (60, 2))
    words = said(
        build_trial("good", 0, 0.7, answers=same), build_trial("form", 0, 0.6, answers=same)
    )
    assert "But on the test questions it is not ahead of form" in words
    assert "Take the two for equal." in words
    assert "One seed cannot tell what another seed would give." in words


def test_the_nearest_rival_on_test_is_named_and_the_comparisons_are_counted(build_trial):
    words = said(
        *both(build_trial, "good", 0.9),
        *both(build_trial, "near", 0.8),
        *both(build_trial, "far", 0.4),
    )
    assert "ahead of near, the nearest of the others there" in words
    assert "for all 2 together" in words


def test_those_that_are_not_clearly_beaten_are_named(build_trial):
    words = said(
        *both(build_trial, "good", 0.61),
        *both(build_trial, "close", 0.605),
        *both(build_trial, "closer", 0.6),
    )
    assert "Neither is it clearly better than " in words


def test_trials_without_numbers_are_told_with_their_reason(build_trial):
    broken = [build_trial("broken", seed, reason="reward x: raised") for seed in (0, 1)]
    flat = [build_trial("flat", 0, reason="step 9: stopped", status="stopped")]
    words = said(*both(build_trial, "good", 0.9), *broken, *flat)
    assert "No other variant finished with the same seeds" in words
    assert "broken: 2 of 2 trials failed (reward x: raised)." in words
    assert words.endswith("flat: 1 of 1 trial stopped (step 9: stopped).")


def test_a_variant_that_made_the_model_worse_is_named_and_told_to_look_at_its_reward(build_trial):
    bad = [build_trial("bad", seed, 0.99, chosen=BASE) for seed in (0, 1)]
    words = said(*both(build_trial, "good", 0.7), *bad)
    assert words.startswith("good is best on validation, 0.700 on average over 2 seeds")
    assert (
        "bad: in 2 of 2 trials training made the model clearly worse than the base; look at the "
        "reward." in words
    )
    assert said(*bad).splitlines() == [
        "Every variant made the model worse than the untouched base; nothing wins.",
        words.splitlines()[-1],
    ]


def test_a_sweep_of_which_nothing_is_left_says_why(build_trial):
    words = said(build_trial("broken", 0, reason="raised"))
    assert words == "No trial finished.\nbroken: 1 of 1 trial failed (raised)."
