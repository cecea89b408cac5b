"""From completions to answers with a grade, and from these to a score."""

from collections.abc import Sequence
from statistics import fmean

from relex.candidates import Candidate
from relex.evaluation.draws import Draw
from relex.evaluation.engine import Completion
from relex.evaluation.engine_pool import Generated
from relex.evaluation.results import Answer, Score
from relex.rewards import CORRECT, Reward


def grade(draws: Sequence[Draw], completions: Sequence[Completion], grader: Reward) -> list[Answer]:
    """One answer per draw; it is correct when the grader gives exactly 1.0."""
    values = grader(
        prompts=[draw.prompt for draw in draws],
        completions=[completion.text for completion in completions],
        answers=[draw.problem.answer for draw in draws],
        extras=[draw.problem.extra for draw in draws],
    )
    return [
        Answer(
            question_id=draw.problem.id,
            sample=draw.sample,
            seed=draw.request.seed,
            text=completion.text,
            finish_reason=completion.finish_reason,
            num_tokens=completion.num_tokens,
            value=value,
            correct=value == CORRECT,
            reason=getattr(value, "reason", ""),
        )
        for draw, completion, value in zip(draws, completions, values, strict=True)
    ]


def summarise(
    candidate: Candidate, benchmark: str, grader: str, answers: Sequence[Answer], how: Generated
) -> Score:
    """The score of a candidate on a benchmark."""
    num_questions = len({answer.question_id for answer in answers})
    return Score(
        candidate=candidate,
        benchmark=benchmark,
        grader=grader,
        engine=how.engine,
        dtype=how.dtype,
        num_questions=num_questions,
        samples_per_question=len(answers) // num_questions,
        accuracy=fmean(answer.correct for answer in answers),
        truncated_fraction=fmean(answer.finish_reason == "length" for answer in answers),
        mean_completion_tokens=fmean(answer.num_tokens for answer in answers),
        generation_seconds=how.generation_seconds,
        swap_seconds=how.swap_seconds,
    )
