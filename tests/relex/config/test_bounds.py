"""Every number, text and list of a recipe or a sweep is bounded, and what is beyond is one line."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types as limits
import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import relex.config
from relex.candidates import Candidate
from relex.config import Recipe, SweepConfig, WindowRecipe, check_recipe, check_run_recipe
from relex.config.load import _check
from relex.config.strict import Section
from relex.errors import RecipeError

DEPLOYMENTS = Path(__file__).parents[3] / "deployments"
TOY = yaml.safe_load((DEPLOYMENTS / "recipes" / "toy.yaml").read_text())
SWEEP = yaml.safe_load((DEPLOYMENTS / "sweeps" / "toy-sweep.yaml").read_text())


def sections(kind: type[BaseModel]) -> set[type[BaseModel]]:
    return {kind}.union(*(sections(child) for child in kind.__subclasses__()))


SECTIONS = sorted(sections(Section) - {Section}, key=lambda section: section.__name__)
FIELDS = [
    pytest.param(field, id=f"{section.__name__}.{name}")
    for section in SECTIONS
    for name, field in section.model_fields.items()
]


def leaves(kind: Any, known: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every number, list and mapping in a type, with the limits that stand on it."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        unpacked = [each for one in more for each in getattr(one, "metadata", (one,))]
        yield from leaves(inner, (*known, *unpacked))
        return
    if kind in (int, float) or get_origin(kind) in (tuple, dict):
        yield kind, known
    inside = () if get_origin(kind) in (tuple, dict) else known
    for inner in get_args(kind):
        yield from leaves(inner, inside)


def is_bounded(kind: Any, known: tuple[Any, ...]) -> bool:
    if kind in (int, float):
        low = any(isinstance(one, limits.Ge | limits.Gt) for one in known)
        return low and any(isinstance(one, limits.Le | limits.Lt) for one in known)
    is_pair = get_origin(kind) is tuple and get_args(kind)[-1] is not Ellipsis
    is_of_few = get_origin(kind) is dict and get_origin(get_args(kind)[0]) is Literal
    return is_pair or is_of_few or any(isinstance(one, limits.MaxLen) for one in known)


def test_every_config_is_a_section() -> None:
    offered = vars(relex.config).values()
    models = [one for one in offered if isinstance(one, type) and issubclass(one, BaseModel)]
    assert len(models) > 10
    assert [model for model in models if not issubclass(model, Section)] == []


@pytest.mark.parametrize("field", FIELDS)
def test_every_number_and_every_list_has_an_end(field: FieldInfo) -> None:
    found = leaves(field.annotation, tuple(field.metadata))
    assert [kind for kind, known in found if not is_bounded(kind, known)] == []


def test_the_walk_finds_what_has_no_end() -> None:
    class Forgotten(BaseModel):
        number: int
        half: float | None = None
        ends: tuple[Annotated[int, limits.Ge(0)], ...] = ()

    for field in Forgotten.model_fields.values():
        found = list(leaves(field.annotation, tuple(field.metadata)))
        assert not all(is_bounded(kind, known) for kind, known in found)


HOSTILE: dict[str, Any] = {
    "huge": 10**11,
    "huger": 10**400,
    "negative": -1,
    "far below": -(10**400),
    "zero": 0,
    "nan": math.nan,
    "infinity": math.inf,
    "largest float": 1.7e308,
    "true": True,
    "nothing": None,
    "word": "many",
    "empty": "",
    "long": "9" * 100_000,
    "NUL": "a\x00b",
    "half a pair": "\ud800",
    "list": [10**11],
    "long list": [1] * 2000,
    "mapping": {"steps": 10**11},
    "complex": 1j,
    "bytes": b"\xff",
}


def places(value: Any, kind: Any, path: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """The path of every field that a mapping of this config may hold."""
    for name, field in kind.model_fields.items():
        yield (*path, name)
        inner = [one for one in (field.annotation, *flat(field.annotation)) if is_model(one)]
        if inner and isinstance(value, dict):
            at = value.get(name)
            first = at[0] if isinstance(at, list) and at else at
            step = (name, 0) if isinstance(at, list) and at else (name,)
            yield from places(first, inner[0], (*path, *step))


def flat(kind: Any) -> Iterator[Any]:
    for one in get_args(kind):
        yield one
        yield from flat(one)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with another value at the path; sections that are left out are made."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, list):
        return [
            changed(one, tuple(rest), new) if n == first else one for n, one in enumerate(value)
        ]
    below = value if isinstance(value, dict) else {}
    return {**below, first: changed(below.get(first), tuple(rest), new)}


WINDOW = {key: value for key, value in TOY.items() if key != "training"}
STATED = {
    "recipe": (TOY, Recipe, lambda value: check_recipe(value, "my.yaml")),
    "window": (
        {**WINDOW, "window": {"uri": "there"}},
        WindowRecipe,
        lambda value: check_run_recipe(value, "my.yaml"),
    ),
    "sweep": (SWEEP, SweepConfig, lambda value: _check(SweepConfig, value, "my.yaml")),
}
PLACES = [
    pytest.param(name, path, id=f"{name}-{'.'.join(map(str, path))}")
    for name, (value, kind, _) in STATED.items()
    for path in places(value, kind)
]


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_whatever_stands_at_a_field_is_taken_or_refused_in_one_line(name, path) -> None:
    value, _, check = STATED[name]
    num_refused = 0
    for hostile in HOSTILE.values():
        try:
            check(changed(value, path, hostile))
        except RecipeError as error:
            num_refused += 1
            line = str(error)
            assert line.startswith("my.yaml: ")
            assert "\n" not in line
            assert len(line) < 2000
    assert num_refused > len(HOSTILE) / 2


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            "training.warmup_steps",
            10**11,
            "input should be less than or equal to 100000, found 1000000000",
        ),
        ("seed", 2**33, "input should be less than or equal to 2147483647, found 8589934592"),
        ("training.warmup_steps", True, "input should not be true or false (put a word in quotes)"),
        ("base.path", "a\x00b", r"no file and no database can hold this text, found 'a\x00b'"),
        ("base.path", False, "input should not be true or false (put a word in quotes)"),
        ("evaluation.observed_steps", [True], "input should not be true or false"),
        pytest.param(
            "training.warmup_steps",
            16**5000,
            "found a number of 20001 bits",
            id="a number of many digits",
        ),
        ("base.path", "x" * 100_000, "string should have at most 20000 characters, found 'xxx"),
        ("evaluation.observed_steps", list(range(200_000)), "at most 100000 items"),
    ],
)
def test_the_line_says_what_was_found(path: str, value: Any, line: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_recipe(changed(TOY, tuple(path.split(".")), value), "my.yaml")
    assert f"my.yaml: {path}" in str(error.value)
    assert line in str(error.value)


def test_a_reward_may_have_a_parameter_that_is_true() -> None:
    value = changed(TOY, ("rewards", 0), {"reward": "mine:one", "params": {"strict": True}})
    assert check_recipe(value, "my.yaml").rewards[0].params == {"strict": True}


def test_many_faults_are_counted_and_not_all_told() -> None:
    with pytest.raises(RecipeError, match=r"k9: unknown key; and 490 more$"):
        check_recipe({**TOY, **{f"k{number}": 0 for number in range(500)}}, "my.yaml")


def test_a_value_that_is_deep_is_shown_short() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(
        RecipeError, match=r"training\.warmup_steps: input should be a valid"
    ) as error:
        check_recipe(changed(TOY, ("training", "warmup_steps"), deep), "my.yaml")
    assert len(str(error.value)) < 500


def test_a_sweep_of_more_trials_than_a_table_holds_is_refused() -> None:
    value = SWEEP | {"seeds": list(range(100)), "learning_rates": [n / 1000 for n in range(1, 101)]}
    with pytest.raises(RecipeError, match="trials; a sweep has at most 1,000"):
        _check(SweepConfig, value, "my.yaml")


def test_steps_of_candidates_are_bounded_too() -> None:
    with pytest.raises(ValueError, match="less than or equal to"):
        Candidate.model_validate({"method": "line", "step": 10**9})
