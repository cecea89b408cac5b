"""The toy's questions are cut so that no split sees another's."""

import pytest

from relex.toy.problems import addition_pairs, question

SPLITS = ("train", "validation", "test")
EVERY_PAIR = {(a, b) for a in range(31) for b in range(31)}


@pytest.mark.parametrize("seed", range(5))
def test_the_splits_are_disjoint_and_together_everything(seed):
    parts = [addition_pairs(split, seed) for split in SPLITS]
    assert sum(len(part) for part in parts) == len(EVERY_PAIR) == 961
    assert set().union(*parts) == EVERY_PAIR


def test_the_same_seed_gives_the_same_order_and_another_seed_another():
    assert addition_pairs("test", 1) == addition_pairs("test", 1)
    assert addition_pairs("test", 1) != addition_pairs("test", 2)


def test_no_two_pairs_ask_the_same_question():
    assert len({question(a, b) for a, b in EVERY_PAIR}) == len(EVERY_PAIR)
