"""Sources of problems: the toy, JSONL files and Hub datasets."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from relex.config import NamedBenchmark, ProblemSource
from relex.errors import ProblemError
from relex.problems import Problem, groups_of, load, load_problems, problems_digest

NUM_TOY_QUESTIONS = 961


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def jsonl(path: Path, **fields: Any) -> ProblemSource:
    return ProblemSource(kind="jsonl", path=str(path), **fields)


def numbered(count: int) -> list[dict[str, str]]:
    return [{"question": f"question {index}?", "answer": str(index)} for index in range(count)]


@pytest.fixture
def hub_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset repository as a local folder, which load_dataset reads without the Hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "additions"
    folder.mkdir()
    write_rows(folder / "train.jsonl", numbered(5))
    write_rows(folder / "test.jsonl", [{"question": "2+2?", "answer": "4"}])
    return folder


def toy(split: str, **fields: Any) -> list[Problem]:
    return load_problems(ProblemSource(kind="toy", split=split, **fields))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_splits_of_the_toy_are_disjoint_and_together_hold_every_question(seed: int) -> None:
    splits = [toy(split, shuffle_seed=seed) for split in ("train", "validation", "test")]
    questions = [problem.question for split in splits for problem in split]
    assert len(questions) == len(set(questions)) == NUM_TOY_QUESTIONS


def test_every_answer_of_the_toy_is_the_sum() -> None:
    for problem in toy("train"):
        a, b = problem.question.removesuffix("=").split("+")
        assert problem.answer == str(int(a) + int(b))


def test_another_seed_gives_another_split_of_the_toy() -> None:
    assert set(toy("test")) != set(toy("test", shuffle_seed=1))


def test_skip_and_limit_apply_to_the_toy() -> None:
    assert toy("test", skip=10, limit=5) == toy("test")[10:15]


def test_problems_of_a_jsonl_file_are_all_there(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", numbered(20))
    expected = Counter(Problem(row["question"], row["answer"]) for row in numbered(20))
    assert Counter(load_problems(jsonl(path))) == expected


def test_the_same_seed_gives_the_same_order_and_another_seed_another(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", numbered(20))
    first, again = load_problems(jsonl(path)), load_problems(jsonl(path))
    other = load_problems(jsonl(path, shuffle_seed=1))
    assert first == again
    assert first != other


def test_skip_and_limit_cut_after_the_shuffle(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", numbered(20))
    whole = load_problems(jsonl(path))
    assert load_problems(jsonl(path, skip=3, limit=4)) == whole[3:7]


def test_named_columns_are_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", [{"problem": "1+1?", "final": "2"}])
    source = jsonl(path, question_column="problem", answer_column="final")
    assert load_problems(source) == [Problem("1+1?", "2")]


def test_numbers_are_read_as_text(tmp_path: Path) -> None:
    rows = [{"question": str(value), "answer": value} for value in (27, 27.0, 0.5, -3)]
    path = write_rows(tmp_path / "p.jsonl", rows)
    assert {problem.answer for problem in load_problems(jsonl(path))} == {"27", "0.5", "-3"}


def test_blank_lines_a_byte_order_mark_and_rare_line_separators_are_no_fault(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('\ufeff\n{"question": "a\u2028b", "answer": "1"}\r\n\n', encoding="utf-8")
    assert load_problems(jsonl(path)) == [Problem("a\u2028b", "1")]


def test_a_question_that_is_there_twice_is_kept_once(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1", "answer": "2"}, {"question": " 1  +\n1", "answer": "2 "}]
    path = write_rows(tmp_path / "p.jsonl", rows)
    assert load_problems(jsonl(path)) == [Problem("1 + 1", "2")]


def test_a_question_whose_answers_differ_in_looks_only_is_kept_once(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": r"\dfrac{1}{2}"},
        {"question": "q", "answer": r"$\frac{1}{2}$"},
    ]
    path = write_rows(tmp_path / "p.jsonl", rows)
    assert load_problems(jsonl(path)) == [Problem("q", r"\dfrac{1}{2}")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "2: not a line of JSON"),
        ('["a", "b"]', "2: holds list, not an object"),
        (
            '{"problem": "a", "level": 1}',
            "2: has no column 'question' (columns: problem, level); set question_column",
        ),
        ('{"question": "a"}', "2: has no column 'answer' (columns: question); set answer_column"),
        ('{"question": "  ", "answer": "1"}', "2: column 'question' is empty"),
        ('{"question": "a", "answer": ""}', "2: column 'answer' is empty"),
        ('{"question": "a", "answer": ["1", "2"]}', "2: column 'answer' holds list, not text"),
        ('{"question": "a", "answer": true}', "2: column 'answer' holds bool, not text"),
        ('{"question": "a", "answer": null}', "2: column 'answer' holds NoneType, not text"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"question": "q", "answer": "1"}}\n{line}\n')
    with pytest.raises(ProblemError) as caught:
        load_problems(jsonl(path))
    assert f"{path}:{message}" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"absent\.jsonl: cannot be read .*give a JSONL file"):
        load_problems(jsonl(tmp_path / "absent.jsonl"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match=r"p\.jsonl: cannot be read"):
        load_problems(jsonl(path))


def test_a_skip_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", numbered(3))
    with pytest.raises(ProblemError, match=r"no problems are left of 3 after skip: 3"):
        load_problems(jsonl(path, skip=3))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", [])
    with pytest.raises(ProblemError, match="no problems are left of 0"):
        load_problems(jsonl(path))


def test_a_hub_dataset_is_read(hub_dataset: Path) -> None:
    source = ProblemSource(kind="hub", path=str(hub_dataset))
    expected = {Problem(row["question"], row["answer"]) for row in numbered(5)}
    assert set(load_problems(source)) == expected


def test_the_split_of_a_hub_dataset_is_respected(hub_dataset: Path) -> None:
    source = ProblemSource(kind="hub", path=str(hub_dataset), split="test")
    assert load_problems(source) == [Problem("2+2?", "4")]


def test_a_split_that_a_hub_dataset_lacks_is_named(hub_dataset: Path) -> None:
    source = ProblemSource(kind="hub", path=str(hub_dataset), split="dev")
    with pytest.raises(ProblemError, match=r"additions \(split dev\): cannot be loaded .*dev"):
        load_problems(source)


def test_a_column_that_a_hub_dataset_lacks_is_named_with_its_row(hub_dataset: Path) -> None:
    source = ProblemSource(kind="hub", path=str(hub_dataset), answer_column="gold")
    with pytest.raises(
        ProblemError, match=r"row 0: has no column 'gold' \(columns: question, answer\)"
    ):
        load_problems(source)


def test_the_id_of_a_problem_ignores_white_space_and_the_answer() -> None:
    assert Problem("1 +  1\n", "2").id == Problem("1 + 1", "two").id
    assert len(Problem("1 + 1", "2").id) == 16


def test_the_digest_of_a_set_changes_with_order_and_answers() -> None:
    a, b = Problem("a", "1"), Problem("b", "2")
    digests = {
        problems_digest(problems) for problems in ([a, b], [b, a], [a], [a, Problem("b", "3")])
    }
    assert len(digests) == 4
    assert problems_digest([a, b]) == problems_digest([Problem("a", "1"), Problem("b", "2")])


def test_the_only_answer_of_a_list_is_the_answer(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "olympiad.jsonl", [{"question": "a", "answer": ["1"]}])
    source = ProblemSource(kind="jsonl", path=str(path))
    assert load_problems(source) == [Problem("a", "1")]


def test_the_questions_of_a_named_benchmark_can_be_left_out(
    tmp_path: Path, hub_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = NamedBenchmark(
        name="math_500",
        domain="in",
        num_questions=1,
        source={"kind": "hub", "path": str(hub_dataset), "split": "test"},
        manner={},
    )
    monkeypatch.setattr(load, "named_benchmark", lambda name: row)
    path = write_rows(tmp_path / "p.jsonl", [*numbered(5), {"question": "$2 + 2$?", "answer": "4"}])
    left = load_problems(jsonl(path, without=("math_500",)))
    assert {problem.question for problem in left} == {f"question {n}?" for n in range(5)}


def test_single_questions_can_be_left_out_by_their_id(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", numbered(5))
    every = load_problems(jsonl(path))
    left = load_problems(jsonl(path, without=(every[2].id,)))
    assert {problem.id for problem in left} == {problem.id for problem in every} - {every[2].id}


def test_skip_and_limit_cut_after_questions_are_left_out(
    tmp_path: Path, hub_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = NamedBenchmark(
        name="math_500",
        domain="in",
        num_questions=5,
        source={"kind": "hub", "path": str(hub_dataset), "split": "train"},
        manner={},
    )
    monkeypatch.setattr(load, "named_benchmark", lambda name: row)
    path = write_rows(tmp_path / "p.jsonl", numbered(12))
    parts = [
        load_problems(jsonl(path, without=("math_500",), **cut))
        for cut in ({"limit": 3}, {"skip": 3})
    ]
    assert [len(part) for part in parts] == [3, 4]
    assert not set(parts[0]) & set(parts[1])


def test_a_group_is_read_where_the_source_names_its_column(tmp_path: Path) -> None:
    rows = [row | {"level": level} for row, level in zip(numbered(2), (3, "hard"), strict=True)]
    path = write_rows(tmp_path / "problems.jsonl", rows)
    grouped = load_problems(jsonl(path, group_column="level"))
    assert {problem.answer: problem.group for problem in grouped} == {"0": "3", "1": "hard"}
    assert sorted(groups_of(grouped).values()) == ["3", "hard"]
    assert groups_of(load_problems(jsonl(path))) == {}


def test_groups_do_not_change_the_digest_of_the_problems(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "problems.jsonl", [row | {"level": 1} for row in numbered(3)])
    with_groups, without = (
        load_problems(jsonl(path, group_column="level")),
        load_problems(jsonl(path)),
    )
    assert problems_digest(with_groups) == problems_digest(without)


def test_a_missing_group_column_is_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "problems.jsonl", numbered(1))
    with pytest.raises(ProblemError, match="set group_column to one of them"):
        load_problems(jsonl(path, group_column="level"))
