"""A candidate is the base, an observed step, or a method and the step that it goes to."""

import itertools

import pytest
from pydantic import ValidationError

from relex.candidates import BASE, Candidate, denoised, parse_candidate
from relex.errors import InputError

CANDIDATES = [
    BASE,
    Candidate(step=7),
    denoised(7),
    *(
        Candidate(step=step, method=method)
        for step in (7, 9)
        for method in ("line", "line-rank2", "secant", "secant-gap2", "my.own:way-x-1.5e-05-y3")
    ),
    *(
        Candidate(step=9, method=method, part=part)
        for method in ("line", "my.own:way-x-1.5e-05")
        for part in ("mlp", "embeddings", "2", "2-3", "12-3045", "2.mlp", "2-3.attention")
    ),
]


def test_keys_are_unique_and_name_their_candidates() -> None:
    for one, other in itertools.combinations(CANDIDATES, 2):
        assert one.key != other.key
    for candidate in CANDIDATES:
        assert parse_candidate(candidate.key) == candidate
        assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_keys_are_readable() -> None:
    assert [c.key for c in CANDIDATES[:4]] == ["base", "observed-7", "denoised-7", "line-7"]
    assert Candidate(step=120, method="shrunk-factor0.5").key == "shrunk-factor0.5-120"
    part = Candidate(step=960, method="secant", part="20-29.mlp")
    assert part.key == "secant-960@20-29.mlp"
    assert part.words == "secant-960@20-29.mlp (MLPs of layers 20 to 29)"


def test_the_paper_s_line_moves_all_tensors() -> None:
    line = Candidate(step=9, method="line")
    assert line.is_on_the_line
    assert not line.model_copy(update={"part": "mlp"}).is_on_the_line


def test_what_lies_beyond_the_window_is_told_from_what_was_trained() -> None:
    assert [c.is_beyond for c in CANDIDATES[:4]] == [False, False, False, True]
    assert [c.is_observed for c in CANDIDATES[:4]] == [False, True, False, False]
    assert sorted(reversed(CANDIDATES), key=lambda c: c.order)[:5] == [
        BASE,
        Candidate(step=7),
        denoised(7),
        Candidate(step=7, method="line"),
        Candidate(step=9, method="line"),
    ]


@pytest.mark.parametrize(
    ("step", "method", "part", "message"),
    [
        (9, "line rank3", "", "method line rank3: write NAME or module:NAME"),
        (0, "line", "", "method line: none goes to step 0"),
        (9, "observed", "", "method observed: none goes to step 9"),
        (9, "", "mlp", "part mlp: only a method moves a part"),
        (9, "line", "mpl", "part mpl: is none; give layers as 20-29"),
    ],
)
def test_what_names_no_candidate_is_refused(step, method, part, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Candidate(step=step, method=method, part=part)


@pytest.mark.parametrize("key", ["line-9@", "line-9@3-2", "line@mlp-9", "observed-9@mlp", "@mlp"])
def test_a_key_of_no_candidate_is_refused(key) -> None:
    with pytest.raises(InputError, match=f"{key}: is no candidate; give base"):
        parse_candidate(key)
