"""The door of methods: names, parameters, and methods of a user's own."""

import re
from pathlib import Path

import numpy as np
import pytest

from relex.errors import FactorsError, InputError
from relex.extrapolation import BUILT_IN, find_method, find_methods

DOCS = Path(__file__).parents[4] / "docs" / "extending.md"

OWN = """
import numpy as np

def average(gram_SS, steps, target, *, decay=0.5, number=1):
    weight_S = decay ** np.arange(len(steps))[::-1]
    return number * weight_S / weight_S.sum()

def short(gram_SS, steps, target):
    return [1.0]

def raising(gram_SS, steps, target):
    return gram_SS[99]

def alone(gram_SS):
    return gram_SS[0]

def endless(gram_SS, steps, target):
    return [float("nan")] * len(steps)

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with methods of a user's own."""
    name = f"methods_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_inside.py").write_text(f"INSIDE_WINDOW = True\n{OWN}")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_every_file_of_the_folder_is_a_method_with_its_formula() -> None:
    assert {"line", "secant", "anchored", "denoised"} < set(BUILT_IN)
    for method in find_methods(BUILT_IN):
        assert method.function.func.__doc__, method.text


def test_a_method_of_a_user_s_own_is_a_dotted_path_with_parameters(own) -> None:
    weight_S = find_method(f"{own}:average-decay0.25-number2").weights(np.eye(2), (1, 2), 9)
    np.testing.assert_allclose(weight_S, [0.4, 1.6])
    tiny_S = find_method(f"{own}:average-decay1e-05").weights(np.eye(2), (1, 2), 9)
    assert tiny_S[0] == pytest.approx(1e-5, rel=1e-4)


def test_the_example_of_the_docs_is_a_method(tmp_path, monkeypatch) -> None:
    """Through the newest snapshot and the one so many rows before it."""
    (code,) = re.findall(r"```python\n# my_methods\.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    weight_S = find_method("my_methods:average-number2").weights(np.eye(4), (1, 3, 4, 7), 15)
    np.testing.assert_allclose(weight_S, [0, -2, 0, 3])


def test_each_method_is_found_once() -> None:
    assert [m.text for m in find_methods(["line", "secant", "line"])] == ["line", "secant"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "rays",
            r"method rays: is not built in \(anchored, .*\); name your own as module:f",
        ),
        ("line-rank", "write NAME or module:NAME, then parameters as -rank3"),
        ("line rank3", "method line rank3: write NAME or module:NAME"),
        ("line-gap3", "method line-gap3: line has no parameter gap; it takes rank"),
        ("scaled_first-gap3", "has no parameter gap; it takes none"),
        ("line-rank1.5", "rank is 1.5, expected int"),
        ("no_such_module:ray", "module 'no_such_module' does not import \\(ModuleNotFoundError"),
        ("{own}:ray", "has no function 'ray'"),
        ("{own}:number", "has no function 'number'"),
    ],
)
def test_a_name_that_names_nothing_is_refused(own, text, message) -> None:
    with pytest.raises(InputError, match=message):
        find_method(text.format(own=own))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "gave 1 weights, 0 of them not finite at step 9"),
        ("endless", "2 of them not"),
        (
            "raising",
            "raised IndexError: .* at step 9; a method is called as f\\(gram_SS, steps, tar",
        ),
        ("alone", "raised TypeError: .* at step 9; a method is called as"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(own, name, message) -> None:
    with pytest.raises(FactorsError, match=message):
        find_method(f"{own}:{name}").weights(np.eye(2), (1, 2), 9)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_that_the_window_cannot_have_is_refused(rank) -> None:
    with pytest.raises(FactorsError, match=f"rank {rank} is impossible with 2 snapshots"):
        find_method(f"line-rank{rank}").weights(np.eye(2), (1, 2), 9)


def test_targets_lie_beyond_the_window_or_in_it(own) -> None:
    for text in ("line", f"{own}:average"):
        find_method(text).check_target("here", (1, 3), 4)
        with pytest.raises(FactorsError, match="here: step 3 is not beyond the window, which ends"):
            find_method(text).check_target("here", (1, 3), 3)
    for text in ("denoised", f"{own}_inside:average"):
        find_method(text).check_target("here", (1, 3), 3)
        with pytest.raises(FactorsError, match="here: step 2 was not fitted"):
            find_method(text).check_target("here", (1, 3), 2)
