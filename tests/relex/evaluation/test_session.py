"""The whole room at work: a real engine in a real child process (vLLM where it is installed)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE, Checkpoint, write_checkpoint
from relex.config import ProblemSource, Recipe, check_recipe
from relex.errors import EngineError, ProblemError, RewardError
from relex.evaluation import (
    Answer,
    EvaluationSession,
    Score,
    correct_matrix,
    join_scores,
    part_name,
    read_answers,
)
from relex.evaluation.weight_source import WeightSource
from relex.problems import Problem, load_problems
from tests.processes import command_line

WORKER = "relex.evaluation.worker"
PROBLEMS = load_problems(ProblemSource(kind="toy", split="validation"))
MakeRecipe = Callable[..., Recipe]


@dataclass(frozen=True)
class Measured:
    base: Score
    noisy: Score
    base_again: Score
    answers: list[Answer]
    noisy_answers: list[Answer]
    answers_again: list[Answer]
    progress: list[tuple[str, str, int, int]]
    num_engines: int
    work: Path


@pytest.fixture(scope="module")
def measured(
    toy_recipe: MakeRecipe,
    source: WeightSource,
    noisy_candidate: Candidate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Measured:
    """The base, another candidate, and the base again, by one engine."""
    work = tmp_path_factory.mktemp("work")
    progress: list[tuple[str, str, int, int]] = []
    with EvaluationSession(
        toy_recipe(),
        source,
        {"validation": PROBLEMS},
        work,
        lambda candidate, *rest: progress.append((candidate.key, *rest)),
        print,
    ) as session:
        base = session.measure(BASE, "validation")
        answers = read_answers(work / "validation/base/answers.jsonl")
        noisy = session.measure(noisy_candidate, "validation")
        base_again = session.measure(BASE, "validation")
        num_engines = len(engine_processes())
    return Measured(
        base=base,
        noisy=noisy,
        base_again=base_again,
        answers=answers,
        noisy_answers=read_answers(work / "validation" / noisy_candidate.key / "answers.jsonl"),
        answers_again=read_answers(work / "validation/base/answers.jsonl"),
        progress=progress,
        num_engines=num_engines,
        work=work,
    )


@pytest.fixture
def session(
    toy_recipe: MakeRecipe, source: WeightSource, tmp_path: Path
) -> Iterator[EvaluationSession]:
    """A session with the engine that starts fastest."""
    with EvaluationSession(
        toy_recipe(engine="transformers"),
        source,
        {"validation": PROBLEMS[:20]},
        tmp_path,
        lambda *_: None,
        print,
    ) as session:
        yield session


def engine_processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if WORKER in command_line(child)]


def test_the_base_of_the_toy_is_right_half_of_the_time(measured: Measured) -> None:
    assert measured.base.accuracy == pytest.approx(0.506, abs=0.055)  # three standard errors


def test_the_base_swapped_back_gives_its_first_answers(measured: Measured) -> None:
    assert measured.answers_again == measured.answers


def test_another_candidate_gives_other_answers_to_the_same_draws(measured: Measured) -> None:
    def drawn(answers: list[Answer]) -> list[tuple[str, int, int]]:
        return [(answer.question_id, answer.sample, answer.seed) for answer in answers]

    assert drawn(measured.noisy_answers) == drawn(measured.answers)
    assert measured.noisy_answers != measured.answers


def test_one_engine_serves_all_candidates(measured: Measured) -> None:
    assert measured.num_engines == 1


def test_the_engine_ends_with_the_session(measured: Measured) -> None:
    assert engine_processes() == []


def test_the_score_follows_from_the_answers(measured: Measured) -> None:
    score, answers = measured.noisy, measured.noisy_answers
    assert score.num_questions * score.samples_per_question == len(answers) == 800
    assert score.accuracy == correct_matrix(answers).mean()
    cut = [answer for answer in answers if answer.finish_reason == "length"]
    assert score.truncated_fraction == len(cut) / len(answers)
    assert score.mean_completion_tokens == sum(a.num_tokens for a in answers) / len(answers)


def test_an_answer_is_correct_exactly_when_it_is_the_sum(measured: Measured) -> None:
    gold = {problem.id: problem.answer for problem in PROBLEMS}
    assert all(a.correct == (a.text.strip() == gold[a.question_id]) for a in measured.answers)


def test_the_score_is_kept_beside_the_answers(measured: Measured) -> None:
    kept = json.loads((measured.work / "validation/observed-2/score.json").read_text())
    assert Score.model_validate(kept) == measured.noisy


def test_progress_ends_at_the_number_of_answers(measured: Measured) -> None:
    assert ("base", "validation", 800, 800) in measured.progress
    assert ("observed-2", "validation", 800, 800) in measured.progress


@pytest.mark.slow
def test_a_child_that_is_killed_gives_its_place_to_another(
    session: EvaluationSession, tmp_path: Path
) -> None:
    session.measure(BASE, "validation")
    answers = read_answers(tmp_path / "validation/base/answers.jsonl")
    [child] = engine_processes()
    child.kill()
    session.measure(BASE, "validation")
    assert read_answers(tmp_path / "validation/base/answers.jsonl") == answers
    [another] = engine_processes()
    assert another.pid != child.pid


def test_answers_to_parts_of_the_questions_are_those_to_all(
    session: EvaluationSession, tmp_path: Path
) -> None:
    whole = session.measure(BASE, "validation")
    folder = tmp_path / "validation/base"
    answers = {(a.question_id, a.sample): a for a in read_answers(folder / "answers.jsonl")}
    parts, joined = [], []
    for questions in (range(6), range(6, 20)):
        parts.append(session.measure(BASE, "validation", questions))
        kept = read_answers(folder / part_name(questions) / "answers.jsonl")
        assert parts[-1].num_questions == len(questions)
        joined += kept
    ids = [answer.question_id for answer in joined]
    assert max(ids[: 6 * 4]) < min(ids[6 * 4 :])
    assert {(a.question_id, a.sample): a.seed for a in joined} == {
        drawn: answer.seed for drawn, answer in answers.items()
    }
    correct = correct_matrix(joined)
    assert (correct[:6] == correct_matrix(joined[: 6 * 4])).all()
    score = join_scores(parts)
    assert score.num_questions == whole.num_questions
    assert score.accuracy == pytest.approx(correct.mean())
    assert score.mean_completion_tokens == pytest.approx(
        sum(answer.num_tokens for answer in joined) / len(joined)
    )


@pytest.mark.slow
def test_a_checkpoint_of_the_candidate_answers_as_it_does_when_it_is_loaded_anew(
    session: EvaluationSession, noisy_candidate: Candidate, snapshots: Path, tmp_path: Path
) -> None:
    session.measure(noisy_candidate, "validation")
    session.check_cold(noisy_candidate, snapshots / "checkpoint-2")
    assert engine_processes() == []
    base = Checkpoint(TOY_BASE)
    turned = ((name, base.read_tensor(name).flip(0)) for name in base.tensors)
    write_checkpoint(tmp_path / "other", base, turned)
    with pytest.raises(EngineError, match=r"other: loaded by a new engine .* observed-2"):
        session.check_cold(noisy_candidate, tmp_path / "other")


def test_a_grader_that_does_not_exist_is_refused_at_once(
    toy_recipe: MakeRecipe, source: WeightSource, tmp_path: Path
) -> None:
    recipe = toy_recipe(grader="no_such_module:f")
    with pytest.raises(RewardError, match="no_such_module"):
        EvaluationSession(recipe, source, {"validation": []}, tmp_path, lambda *_: None, print)


def test_a_question_without_room_is_refused_at_once(
    toy_recipe: MakeRecipe, source: WeightSource, tmp_path: Path
) -> None:
    sets = {"validation": [Problem("1" * 60, "1")]}
    with pytest.raises(ProblemError, match=r"1111.* its prompt has 60 tokens"):
        EvaluationSession(toy_recipe(), source, sets, tmp_path, lambda *_: None, print)


def test_each_benchmark_is_sampled_and_graded_in_its_own_way(
    toy_recipe: MakeRecipe, source: WeightSource, tmp_path: Path
) -> None:
    given = toy_recipe(engine="transformers", samples_per_question=2).model_dump(mode="json")
    given["problems"]["test"][0] |= {
        "samples_per_question": 1,
        "temperature": 0.0,
        "grader": "math_equality",
    }
    sets = {"validation": PROBLEMS[:20], "additions": PROBLEMS[:20]}
    with EvaluationSession(
        check_recipe(given, "test"), source, sets, tmp_path, lambda *_: None, print
    ) as session:
        validation = session.measure(BASE, "validation")
        additions = session.measure(BASE, "additions")
    assert (validation.samples_per_question, additions.samples_per_question) == (2, 1)
    assert validation.grader == "exact_match/1"
    assert additions.grader.startswith("math_equality/2+math-verify-")
    assert additions.accuracy == 0.0  # the toy writes no box
    kept = json.loads((tmp_path / "additions/base/score.json").read_text())
    assert kept["grader"] == additions.grader
