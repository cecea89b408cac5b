"""From completions to answers with a grade, and from these to a score."""

from collections.abc import Sequence
from statistics import fmean

from relex.evaluation.draws import Draw
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion
from relex.evaluation.results import Answer, Score
from relex.evaluation.work import Work
from relex.rewards import Reward, is_correct


def grade(
    draws: Sequence[Draw], completions: Sequence[Completion], grader: Reward, correct_from: float
) -> list[Answer]:
    """One answer per draw; it is correct when the grader gives it from `correct_from` to 1."""
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
            correct=is_correct(value, correct_from),
            reason=getattr(value, "reason", ""),
        )
        for draw, completion, value in zip(draws, completions, values, strict=True)
    ]


def summarise(
    work: Work, dtype: Dtype, benchmark: str, grader: str, answers: Sequence[Answer]
) -> Score:
    """The score of what was done for a benchmark, whose graded answers are given."""
    num_questions = len({answer.question_id for answer in answers})
    return Score(
        candidate=work.candidate,
        benchmark=benchmark,
        grader=grader,
        engine=work.engine,
        dtype=dtype,
        num_questions=num_questions,
        samples_per_question=len(answers) // num_questions,
        accuracy=fmean(answer.correct for answer in answers),
        truncated_fraction=fmean(answer.finish_reason == "length" for answer in answers),
        mean_completion_tokens=fmean(answer.num_tokens for answer in answers),
        generation_seconds=work.generation_seconds,
        swap_seconds=work.swap_seconds,
    )
