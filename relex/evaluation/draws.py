"""From problems to requests: the one place where prompts are tokenised and seeded.

Every candidate gets the same requests, made with the base's tokenizer, so that two candidates
differ in their weights alone. Q questions, K samples per question.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relex.config import PromptConfig, RunRecipe
from relex.errors import ProblemError
from relex.evaluation.context import check_context
from relex.evaluation.engine import Request
from relex.problems import Problem, render_prompt

SEED_BYTES = 8
LARGEST_SEED = (1 << 63) - 1
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Draw:
    """One answer to draw: sample number `sample` of a problem."""

    problem: Problem
    sample: int
    prompt: str
    request: Request


def draw_all(
    recipe: RunRecipe, base: Path, benchmarks: Mapping[str, Sequence[Problem]]
) -> dict[str, list[Draw]]:
    """The draws of every benchmark, by its name.

    Raises RecipeError for a context that the base cannot read, ProblemError for a prompt that does
    not fit in it.
    """
    # Imported here because it takes seconds that most commands do not need.
    from transformers import AutoTokenizer

    check_context(base, recipe.evaluation.max_context_tokens)
    trusted = recipe.base.trust_remote_code
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=trusted)
    return {
        name: build_draws(problems, recipe, tokenizer, name)
        for name, problems in benchmarks.items()
    }


def build_draws(
    problems: Sequence[Problem], recipe: RunRecipe, tokenizer: Any, benchmark: str = "validation"
) -> list[Draw]:
    """QxK draws, question by question.

    Every answer may have `max_completion_tokens`, so that no question has a smaller budget than
    another: a prompt that leaves less room in the context is refused. Raises ProblemError naming
    the longest such question, and the context that would hold it.
    """
    exam = recipe.exam(benchmark)
    prompts = [render_prompt(problem.question, exam.prompt, tokenizer) for problem in problems]
    token_ids = [_tokenize(prompt, exam.prompt, tokenizer) for prompt in prompts]
    _check_lengths(benchmark, problems, [len(ids) for ids in token_ids], recipe)
    return [
        Draw(
            problem,
            sample,
            prompt,
            Request(prompt_token_ids=ids, seed=request_seed(recipe.seed, problem.id, sample)),
        )
        for problem, prompt, ids in zip(problems, prompts, token_ids, strict=True)
        for sample in range(exam.samples_per_question)
    ]


def draws_of(draws: Sequence[Draw], questions: range) -> list[Draw]:
    """The draws of some questions, counted in the order of their ids."""
    ids = sorted({draw.problem.id for draw in draws})
    wanted = {ids[number] for number in questions}
    return [draw for draw in draws if draw.problem.id in wanted]


def request_seed(run_seed: int, question_id: str, sample: int) -> int:
    """Seed of one answer: 63 bits of a sha256.

    Seeds that count up would collide: sample 1 of a question with sample 0 of the next.
    """
    digest = hashlib.sha256(f"{run_seed}/{question_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big") & LARGEST_SEED


def _tokenize(prompt: str, config: PromptConfig, tokenizer: Any) -> tuple[int, ...]:
    # A chat template writes the special tokens itself.
    return tuple(tokenizer(prompt, add_special_tokens=not config.chat)["input_ids"])


def _check_lengths(
    benchmark: str, problems: Sequence[Problem], num_tokens: Sequence[int], recipe: RunRecipe
) -> None:
    answer = recipe.evaluation.max_completion_tokens
    context = recipe.evaluation.max_context_tokens
    faulty = [n for n, count in enumerate(num_tokens) if not 0 < count <= context - answer]
    if not faulty:
        return
    worst = max(faulty, key=lambda n: num_tokens[n])
    raise ProblemError(
        f"{benchmark}: {len(faulty)} of {len(problems)} prompt(s) do not fit, the longest of them "
        f"{problems[worst].question[:SHOWN_CHARACTERS]!r}: its prompt has {num_tokens[worst]} "
        f"tokens and the answer may have {answer}, together {num_tokens[worst] + answer}; "
        f"evaluation.max_context_tokens is {context}: raise it, lower max_completion_tokens, or "
        "leave these questions out"
    )
