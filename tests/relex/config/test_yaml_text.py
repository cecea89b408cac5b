"""YAML of recipes: what is refused before anything is built from it, in one line with its place."""

from itertools import pairwise
from pathlib import Path

import pytest

from relex.config import load_recipe, load_sweep, parse_recipe
from relex.config.yaml_text import LONGEST_BYTES, parse_mapping
from relex.errors import RecipeError

TOY = (Path(__file__).parents[3] / "deployments" / "recipes" / "toy.yaml").read_text()
BOMB = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*{p}, *{p}]\n" for p, k in pairwise("abcdefg"))
DEEP = 10_000
REFUSED = {
    "a key twice": (TOY + "name: again\n", "line 31: 'name' is there twice; keep one of them"),
    "a section twice": (TOY + "training: {steps: 3}\n", "line 31: 'training' is there twice"),
    "a key twice inside": ("a:\n  - {x: 1, y: 2, x: 3}", "line 2: 'x' is there twice"),
    "a key twice, once quoted": ("a: 1\n'a': 2", "line 2: 'a' is there twice"),
    "two merges": ("<<: {a: 1}\n<<: {b: 2}", "line 2: '<<' is there twice"),
    "names in names": (BOMB, "line 2: *a multiplies the text; write it out"),
    "a list in itself": ("a: &a [*a]", "line 1: *a multiplies"),
    "a mapping in itself": ("a: &a {b: *a}", "line 1: *a multiplies"),
    "a name many times": ("a: &a [1]\nb: [" + "*a, " * 200 + "]", "line 2: *a multiplies"),
    "deep lists": ("a: " + "[" * DEEP + "]" * DEEP, "line 1: is nested deeper than 30 levels"),
    "deep mappings": ("a: " + "{a: " * DEEP + "}" * DEEP, "nested deeper than 30 levels"),
    "deep dashes": ("a:\n" + "- " * DEEP, "nested deeper than 30 levels"),
    "deep lines": ("".join(" " * n + "a:\n" for n in range(300)), "line 31: is nested deeper"),
    "an object": (
        "a: !!python/object/apply:os.system [id]",
        "line 1: the tag tag:yaml.org,2002:py",
    ),
    "a tag of one's own": ("a: !mine b", "line 1: the tag !mine is not for recipes; remove it"),
    "a tag that does not fit": ("a: !!int word", "line 1: the tag tag:yaml.org,2002:int"),
    "a number of many digits": ("a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
    "a number of no digits": ("a: 0x_", "not valid YAML: invalid literal"),
    "a number for a key": ("1: a", "line 1: the key 1 is no text; put it in quotes"),
    "a truth value for a key": ("on: a", "line 1: the key True is no text; put it in quotes"),
    "nothing for a key": ("~: a", "line 1: the key None is no text"),
    "a list for a key": ("? [a, b]\n: c", "line 1: the key ['a', 'b'] is no text"),
    "a mapping for a key": ("? {a: b}\n: c", "the key {'a': 'b'} is no text"),
    "tabs": ("a:\n\tb: 1", "not valid YAML: while scanning"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML: expected a single document"),
    "control characters": ("a: '\x1b[31m'", "not valid YAML: unacceptable character"),
    "a long key": ("'" + "k" * 1000 + "': 1", "unknown key"),
    "a key of two lines": ('"a\\nb": 1', "a b: unknown key"),
    "nothing": ("", "holds nothing, not a mapping of recipe fields"),
    "a list": ("- a", "holds list, not a mapping of recipe fields"),
    "a number": ("7", "holds int, not a mapping of recipe fields"),
    "no number": (TOY.replace("1.0e-5", ".nan"), "learning_rate: input should be a finite number"),
    "a number without end": (TOY.replace("1.0e-5", "1.0e+400"), "should be a finite number"),
}


@pytest.mark.parametrize(("text", "line"), REFUSED.values(), ids=REFUSED)
def test_what_no_recipe_holds_is_refused_in_one_line(text: str, line: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "my.yaml")
    assert line in str(error.value)
    assert str(error.value).startswith("my.yaml: ")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("load", [load_recipe, load_sweep])
def test_a_file_that_is_much_too_large_is_not_read_to_its_end(load, tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(RecipeError, match=f"holds more than {LONGEST_BYTES:,} bytes"):
        load(path)


def test_a_file_of_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match=r"words\.yaml: cannot be read .*; give a YAML recipe"):
        load_recipe(path)


def test_a_name_may_stand_for_a_text_that_is_there_once() -> None:
    text = "a: &source {kind: toy, split: train}\nb: {<<: *source, split: test}\nc: *source\n"
    value = parse_mapping(text, "my.yaml")
    assert value["b"] == {"kind": "toy", "split": "test"}
    assert value["c"] == value["a"]


def test_a_date_is_the_text_that_was_written() -> None:
    text = "revision: 2024-01-31\nother: 2024-99-99\n"
    assert parse_mapping(text, "my.yaml") == {"revision": "2024-01-31", "other": "2024-99-99"}
