"""The ranking of variants, against scipy's own statistics."""

import numpy as np
import pytest
from scipy import stats

from relex.config import SelectionConfig
from relex.sweep import VariantResult, rank
from relex.sweep.ranking import seed_interval

HOW = (SelectionConfig(num_resamples=20_000), 0)
RESAMPLING_ERROR = 0.012


def ranked(*built) -> list[VariantResult]:
    results = [result for result, _ in built]
    answers = {result.run_id: answers for result, answers in built if result.measures}
    return rank(results, answers, *HOW)


def test_variants_are_ranked_by_mean_validation_accuracy(build_trial):
    variants = ranked(
        *(build_trial("low", seed, 0.55) for seed in (0, 1)),
        *(build_trial("high", seed, accuracy) for seed, accuracy in ((0, 0.6), (1, 0.9))),
        *(build_trial("middle", seed, 0.7) for seed in (0, 1)),
    )
    assert [variant.variant for variant in variants] == ["high", "middle", "low"]
    assert variants[0].validation_accuracy == pytest.approx(0.75)
    assert variants[0].validation_spread == pytest.approx(np.std([0.6, 0.9], ddof=1))
    assert variants[1].validation_spread == pytest.approx(0.0)


def test_the_order_of_the_sweep_and_the_test_accuracy_do_not_decide(build_trial):
    perfect = np.ones((60, 4), dtype=bool)
    variants = ranked(
        build_trial("good-on-test", 0, 0.6, answers=perfect), build_trial("winner", 0, 0.7)
    )
    assert [variant.variant for variant in variants] == ["winner", "good-on-test"]
    assert variants[1].to_winner.test.difference < 0
    assert variants[1].to_winner.test.p_value > 0.9


def test_a_variant_with_a_missing_trial_stands_behind_those_without(build_trial):
    variants = ranked(
        build_trial("lucky", 0, 0.95),
        build_trial("lucky", 1, reason="diverged"),
        *(build_trial("solid", seed, 0.6) for seed in (0, 1)),
        *(build_trial("broken", seed, reason="raised") for seed in (0, 1)),
    )
    assert [variant.variant for variant in variants] == ["solid", "lucky", "broken"]
    assert [variant.num_finished for variant in variants] == [2, 1, 0]
    assert variants[1].to_winner.seeds == (0,)
    assert variants[2].to_winner is None
    assert variants[2].validation_accuracy is None


def test_one_answer_per_question_is_mcnemars_test(build_trial):
    rng = np.random.default_rng(3)
    better, worse = rng.random((60, 1)) < 0.8, rng.random((60, 1)) < 0.6
    _, other = ranked(
        build_trial("a", 0, 0.8, answers=better), build_trial("b", 0, 0.6, answers=worse)
    )
    repairs, regressions = (better & ~worse).sum(), (worse & ~better).sum()
    expected = stats.binomtest(repairs, repairs + regressions, alternative="greater").pvalue
    assert other.to_winner.test.p_value == pytest.approx(expected)


def test_seeds_and_samples_of_a_question_count_together(build_trial):
    built = [build_trial(name, s, a) for name, a in (("a", 0.66), ("b", 0.6)) for s in (0, 1, 2)]
    _, other = ranked(*built)
    joined = {
        name: np.concatenate([x for r, x in built if r.variant == name], axis=1) for name in "ab"
    }
    value_Q = joined["a"].mean(axis=1) - joined["b"].mean(axis=1)
    flipped = stats.permutation_test(
        (value_Q,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    test = other.to_winner.test
    assert test.difference == pytest.approx(value_Q.mean())
    assert test.p_value == pytest.approx(flipped.pvalue, abs=RESAMPLING_ERROR)
    low, high = stats.bootstrap(
        (value_Q,), np.mean, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert test.interval.low == pytest.approx(low, abs=RESAMPLING_ERROR)
    assert test.interval.high == pytest.approx(high, abs=RESAMPLING_ERROR)


def test_differences_by_seed_have_students_interval(build_trial):
    built = [build_trial(name, s, a) for name, a in (("a", 0.7), ("b", 0.6)) for s in (0, 1, 2)]
    accuracy = {(r.variant, r.seed): x.mean() for r, x in built}
    differences = [accuracy["a", seed] - accuracy["b", seed] for seed in (0, 1, 2)]
    _, other = ranked(*built)
    assert other.to_winner.by_seed == pytest.approx(differences)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert other.to_winner.seed_interval.low == pytest.approx(expected.low)
    assert other.to_winner.seed_interval.high == pytest.approx(expected.high)


def test_one_seed_has_no_interval_and_no_spread(build_trial):
    _, other = ranked(build_trial("a", 0, 0.7), build_trial("b", 0, 0.6))
    assert other.to_winner.seed_interval is None
    assert seed_interval([0.1], 0.95) is None


def test_variants_are_compared_together_and_a_p_value_goes_with_its_interval(build_trial):
    """Beside others a difference has no smaller p-value than alone, and is clear exactly where its
    interval leaves zero out."""
    accuracies = {"a": 0.70, "b": 0.67, "c": 0.64, "d": 0.6}
    built = {
        name: [build_trial(name, seed, accuracy) for seed in (0, 1)]
        for name, accuracy in accuracies.items()
    }
    _, *others = ranked(
        *(one for both in built.values() for one in both), build_trial("broken", 0, reason="raised")
    )
    compared = {v.variant: v.to_winner.test for v in others if v.to_winner}
    assert compared.keys() == {"b", "c", "d"}
    for name, test in compared.items():
        _, alone = ranked(*built["a"], *built[name])
        assert test.p_value >= alone.to_winner.test.p_value
        assert (test.p_value <= 0.05) == (test.interval.low > 0)


def test_equal_rewards_are_seldom_told_apart(build_trial):
    """Under the hypothesis, at most one sweep in twenty finds a difference."""
    config = SelectionConfig(num_resamples=1000)
    found = 0
    for sweep in range(100):
        built = [build_trial(name, 100 * sweep + seed, 0.6) for name in "abc" for seed in (0, 1)]
        answers = {result.run_id: x for result, x in built}
        variants = rank([result for result, _ in built], answers, config, sweep)
        found += any(v.to_winner.test.p_value <= 0.05 for v in variants[1:])
    assert found <= stats.binom.ppf(0.999, 100, 0.05)
