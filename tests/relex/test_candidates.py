"""A candidate is the base, an observed step, or a method and the step that it goes to."""

import itertools

import pytest
from pydantic import ValidationError

from relex.candidates import BASE, Candidate, denoised, parse_candidate

CANDIDATES = [
    BASE,
    Candidate(step=7),
    denoised(7),
    *(
        Candidate(step=step, method=method)
        for step in (7, 9)
        for method in ("line", "line-rank2", "secant", "secant-gap2", "my.own:way-x-1.5e-05-y3")
    ),
]


def test_keys_and_labels_are_unique_and_keys_name_their_candidates() -> None:
    for one, other in itertools.combinations(CANDIDATES, 2):
        assert one.key != other.key and one.label != other.label
    for candidate in CANDIDATES:
        assert parse_candidate(candidate.key) == candidate
        assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_keys_and_labels_are_readable() -> None:
    shrunk = Candidate(step=120, method="shrunk-factor0.5-rank2")
    assert (shrunk.key, shrunk.label) == (
        "shrunk-factor0.5-rank2-120",
        "shrunk 120, factor 0.5, rank 2",
    )
    assert [Candidate(step=30).label, denoised(30).label] == ["step 30", "denoised 30"]
    assert Candidate(step=60, method="line").label == "k = 60"


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
    ("step", "method", "message"),
    [
        (9, "line rank3", "method line rank3: write NAME or module:NAME"),
        (0, "line", "method line: none goes to step 0"),
        (9, "observed", "method observed: none goes to step 9"),
    ],
)
def test_what_names_no_candidate_is_refused(step, method, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Candidate(step=step, method=method)
