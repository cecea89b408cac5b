"""How a candidate answers: loops, lengths, form."""

import pytest

from relex.config import RewardTerm
from relex.evaluation import Answer
from relex.evaluation.habits import ends_in_loop, habits_of

WORDS = "We add the two numbers, carry the one, and see that the sum is what was asked for. "


def answer(text="7", finish_reason="stop", num_tokens=1, correct=True):
    return Answer(
        question_id="q",
        sample=0,
        seed=0,
        text=text,
        finish_reason=finish_reason,
        num_tokens=num_tokens,
        value=float(correct),
        correct=correct,
    )


@pytest.mark.parametrize("turn", ["9", "\n", "wait, ", "So x = 3. ", WORDS, (WORDS * 3)[:245]])
@pytest.mark.parametrize("num_cut", [0, 1, 7])
def test_an_exact_loop_is_found_wherever_it_was_cut(turn, num_cut):
    text = "Let us begin. " + turn * (2000 // len(turn))
    assert ends_in_loop(text[: len(text) - num_cut])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        WORDS * 3,
        "0, 0, 0, 0, 0, 0, 0, 0 are the eight digits, so the answer is $\\boxed{0}$.",
        "\n".join(f"{n} + {n} = {2 * n}" for n in range(60)),
        "wait, " * 200 + "no: the first number is even, so the sum is even and the answer is 12.",
    ],
)
def test_what_is_said_a_few_times_or_comes_to_an_end_is_no_loop(text):
    assert not ends_in_loop(text)


def test_a_loop_that_counts_is_found_when_its_turns_end_alike():
    turns = "\n".join(f"{n} + {n} = {2 * n}, and so on with the next number," for n in range(60))
    assert ends_in_loop(turns)


def test_shares_are_over_all_answers_and_tokens_over_the_correct_ones():
    answers = [
        answer("9" * 500, "length", 100, correct=False),
        answer(num_tokens=10),
        answer(num_tokens=20),
        answer("x", "length", 50, correct=False),
    ]
    habits = habits_of(answers, ())
    assert (habits.truncated_fraction, habits.repeating_fraction) == (0.5, 0.25)
    assert (habits.correct_tokens, habits.format_value) == (15, None)


def test_nothing_correct_has_no_length():
    assert habits_of([answer(correct=False)], ()).correct_tokens is None


def test_only_format_rewards_are_asked_for_the_form():
    terms = (RewardTerm(reward="exact_match"), RewardTerm(reward="format", weight=0.2))
    answers = [answer(r"so \boxed{7}"), answer("so 7")]
    assert habits_of(answers, terms).format_value == 0.5
