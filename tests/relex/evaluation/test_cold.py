from pathlib import Path

import pytest

from relex.candidates import Candidate
from relex.errors import EngineError
from relex.evaluation.cold import LARGEST_ROUNDING, check_same_answers
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, Token

DTYPE: Dtype = "bfloat16"
ROUNDING = LARGEST_ROUNDING[DTYPE]


def written(*tokens: tuple[int, float]) -> Completion:
    text = " ".join(str(number) for number, _ in tokens)
    found = tuple(Token(id=number, log_prob=log_prob) for number, log_prob in tokens)
    return Completion(text=text, num_tokens=len(tokens), finish_reason="stop", tokens=found)


SWAPPED = written((5, -0.1), (7, -0.7), (9, -1.5))


def check(cold: Completion, swapped: Completion = SWAPPED) -> None:
    check_same_answers(
        Candidate(step=30), Path("model"), [SWAPPED] * 3 + [swapped], [SWAPPED] * 3 + [cold], DTYPE
    )


@pytest.mark.parametrize(
    "cold",
    [
        SWAPPED,
        written((5, -0.1 + ROUNDING / 2), (7, -0.7), (9, -1.5)),
        written((5, -0.1), (8, -0.7 - ROUNDING / 2), (3, -4.0)),
    ],
    ids=["the same", "within rounding", "two tokens that are equally likely"],
)
def test_what_rounding_explains_passes(cold: Completion) -> None:
    check(cold)


@pytest.mark.parametrize(
    "cold",
    [
        written((5, -0.1), (7, -0.7 - 2 * ROUNDING), (9, -1.5)),
        written((5, -0.1), (8, -0.7 - 2 * ROUNDING), (9, -1.5)),
        written((5, -0.1), (7, -0.7)),
    ],
    ids=["less likely", "another token", "ends early"],
)
def test_what_it_does_not_explain_is_told_with_the_request(cold: Completion) -> None:
    with pytest.raises(EngineError, match=r"^model: .* answers request 3 with .*observed-30"):
        check(cold)


def test_many_small_differences_are_no_rounding() -> None:
    shifted = written(*((token.id, token.log_prob - ROUNDING / 2) for token in SWAPPED.tokens))
    with pytest.raises(EngineError, match=r"differ by up to 0\.075"):
        check_same_answers(Candidate(step=30), Path("model"), [SWAPPED], [shifted], DTYPE)


def test_an_engine_that_tells_no_tokens_is_judged_by_its_texts() -> None:
    plain = Completion(text="42", num_tokens=2, finish_reason="stop")
    check(plain, plain)
    with pytest.raises(EngineError, match="answers request 3 with '43'"):
        check(plain.model_copy(update={"text": "43"}), plain)
