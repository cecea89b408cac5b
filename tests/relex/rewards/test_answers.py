"""The answer in a completion."""

import pytest

from relex.boxed import boxed_spans, final_text, last_boxed


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"\boxed{7}", "7"),
        (r"first \boxed{3}, no: \boxed{7}.", "7"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {7}", "7"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"{ unbalanced \boxed{7}", "7"),
        (r"unbalanced } \boxed{7}", "7"),
        (r"\boxed{3} and then cut: \boxed{\frac{1}", "3"),
        (r"\boxed{x = \boxed{7}}", "7"),
        ("\\boxed{a\nb}", "a\nb"),
        (r"\boxed{}", ""),
        ("no box 7", None),
        (r"\boxed{7", None),
        ("", None),
    ],
)
def test_the_last_balanced_box_is_the_answer(completion: str, answer: str | None) -> None:
    assert last_boxed(completion) == answer


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>never ends", ""),
        ("<think>a</think>b<think>never ends", ""),
    ],
)
def test_the_final_text_follows_the_last_thought(completion: str, text: str) -> None:
    assert final_text(completion) == text


def test_a_box_in_a_thought_is_no_answer() -> None:
    assert last_boxed(r"<think>\boxed{3}</think> I do not know.") is None


@pytest.mark.parametrize(
    "completion",
    [
        "{" * 1_000_000,
        "}" * 1_000_000,
        "{" * 500_000 + "}" * 500_000,
        r"\boxed{" * 140_000,
        r"\boxed{" * 120_000 + "}" * 120_000,
        "\\" * 1_000_000,
        r"\boxed" + " " * 1_000_000,
        r"\boxed " * 140_000,
    ],
)
def test_a_megabyte_of_braces_is_read_in_one_pass(completion: str) -> None:
    """A search that begins anew at every brace would take hours."""
    spans = boxed_spans(completion)
    assert all(completion[end] == "}" for _, end in spans)
