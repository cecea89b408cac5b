"""Tasks of reasoning-gym: questions that repeat, and answers that the task itself scores."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from relex.config import ProblemSource, RewardTerm
from relex.errors import ProblemError, RewardError
from relex.problems import Problem, load_problems
from relex.rewards import build_reward, check_golds
from relex.rewards.gym import answer_of
from relex.testing import check_grader, check_reward

reasoning_gym = pytest.importorskip("reasoning_gym")

# What a task leaves unclosed when it reads its own data is not our fault.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

# What the processes run, here without the seconds that each takes to start.
from relex.problems import gym_worker  # noqa: E402


def load(name: str, **options: Any) -> list[Problem]:
    return load_problems(ProblemSource(kind="reasoning_gym", task=name, options=options))


def scored(name: str, entry: dict[str, Any], answer: str) -> float:
    question = {"task": name, "options": "{}", "entry": gym_worker.packed(entry), "answer": answer}
    return gym_worker.score(json.loads(json.dumps(question)))


def first_entry(name: str, **options: Any) -> dict[str, Any]:
    entry: dict[str, Any] = reasoning_gym.create_dataset(name, seed=0, size=1, **options)[0]
    return entry


def test_a_task_gives_the_same_questions_whatever_the_order_of_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This one draws from sets, whose order changes with the seed of hashes."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    first = load("ransom_note", size=5)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert load("ransom_note", size=5) == first
    assert len(first) == 5


def test_the_grader_keeps_its_contract_and_a_hang_costs_its_limit() -> None:
    problems = load("countdown", size=2)
    check_grader("reasoning_gym", problems, ["<answer>{answer}</answer>"])
    check_reward("reasoning_gym", problems, timeout_seconds=1.0)
    grader = build_reward(RewardTerm(reward="reasoning_gym", params={"timeout_seconds": 1.0}))
    assert check_golds("countdown", problems, grader) == []
    asked = {"answers": [""] * 2, "prompts": [""] * 2, "extras": [problems[0].extra] * 2}
    assert grader(completions=["9**9**9**9", problems[0].answer], **asked) == [0.0, 1.0]
    with pytest.raises(RewardError, match="of kind reasoning_gym and no others; take another"):
        grader(completions=["2"], answers=["2"], prompts=["1+1"])


def test_knights_and_knaves_are_scored_in_part() -> None:
    entry = first_entry("knights_knaves", n_people=3)
    right = entry["answer"]
    partly = re.sub(r"is an? \w+", "is a fool", right, count=1)
    values = [scored("knights_knaves", entry, text) for text in (right, partly, "I do not know.")]
    assert values == [1.0, pytest.approx(0.3 + 0.7 * 2 / 3), 0.0]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("42", "42"),
        ("<answer> 42\n</answer>", "42"),
        ("<think>7</think>so <answer>3</answer>, no: <answer>42</answer>", "42"),
        ("<answer>3 <answer>42</answer>", "42"),
        (r"it is \boxed{41}, no, \boxed{42}", "42"),
        ("<think><answer>42</answer>", ""),
        ("", ""),
    ],
)
def test_where_the_answer_stands(completion: str, answer: str) -> None:
    assert answer_of(completion) == answer


@pytest.mark.parametrize("name", ["arc_agi", "rearc", "knights_knaves"])
def test_entries_of_any_shape_survive(name: str) -> None:
    """The first two compare tuples, which JSON knows none of."""
    entry = first_entry(name)
    assert gym_worker.unpacked(json.loads(json.dumps(gym_worker.packed(entry)))) == entry
    assert scored(name, entry, entry["answer"]) == 1.0


def test_a_task_without_a_gold_answer_has_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(gym_worker, "emit", lambda _, **fields: made.append(fields))
    gym_worker.make("graph_color", {"seed": 0, "size": 2})
    assert [event["columns"]["answer"] for event in made] == ["-", "-"]
    assert ["answer", None] in made[0]["entry"]["dict"]


HOSTILE = (
    "__import__('os').mkdir('{place}')",
    "[__import__('os').mkdir('{place}')]",
    "exec(bytes([{codes}]))",
    "x + exec(bytes([{codes}]))",
    "().__class__.__base__.__subclasses__()",
)


@pytest.mark.parametrize("name", sorted(gym_worker.AS_LITERALS | gym_worker.AS_ARITHMETIC))
def test_an_answer_is_never_run(name: str, tmp_path: Path) -> None:
    """These tasks hand answers to Python's eval, or to sympy, which does."""
    place = tmp_path / "made"
    codes = ", ".join(map(str, f"import os; os.mkdir({str(place)!r})".encode()))
    texts = [text.replace("{place}", str(place)).replace("{codes}", codes) for text in HOSTILE]
    entry = first_entry(name)
    assert max(scored(name, entry, text) for text in texts) < 1
    assert scored(name, entry, entry["answer"]) == 1.0
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_no_task_of_all_runs_an_answer_or_takes_nonsense(tmp_path: Path) -> None:
    texts = [text.replace("{place}", str(tmp_path / "made")) for text in HOSTILE[:2]]
    for name in sorted(gym_worker.DATASETS.keys() - gym_worker.UNFIT.keys()):
        entry = first_entry(name)
        assert max(scored(name, entry, text) for text in (*texts, "nonsense")) < 1, name
        assert entry["answer"] is None or scored(name, entry, entry["answer"]) == 1.0, name
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("knight_knave", {}, r"task 'knight_knave' is none of its \d+, such as knights_knaves"),
        ("composite", {}, "task 'composite' is made of other tasks; name one of these"),
        ("game_of_life_halting", {}, "takes every answer for right; choose another"),
        ("chain_sum", {"digits": 3}, r"does not take its options \(.*'digits'.*they are min_terms"),
        ("chain_sum", {"min_terms": 0}, r"does not take its options \(min_terms must be positive"),
    ],
)
def test_what_it_cannot_make_is_refused(name: str, options: Any, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as caught:
        gym_worker.make(name, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "reasoning_gym"}, "task: needed for kind reasoning_gym"),
        ({"kind": "reasoning_gym", "task": "x", "path": "y"}, "which has no path"),
        ({"kind": "toy", "task": "x"}, "task, options: of kind reasoning_gym, not toy; remove"),
        ({"kind": "jsonl", "path": "x", "options": {"a": 1}}, "of kind reasoning_gym, not jsonl"),
    ],
)
def test_fields_of_another_kind_are_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProblemSource(**fields)


def test_without_the_package_both_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relex.problems.gym.find_spec", lambda _: None)
    with pytest.raises(ProblemError, match=r"pip install 'relex\[gym\]'"):
        load("chain_sum")
    with pytest.raises(RewardError, match=r"pip install 'relex\[gym\]'"):
        build_reward(RewardTerm(reward="reasoning_gym"))
