"""From problems to requests: the one place where prompts are tokenised and seeded.

Every candidate gets the same requests, made with the base's tokenizer, so that two candidates
differ in their weights alone. Q questions, K samples per question.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relex.config import EvaluationConfig, PromptConfig, Recipe
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
    recipe: Recipe, base: Path, benchmarks: Mapping[str, Sequence[Problem]]
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
    return {name: build_draws(problems, recipe, tokenizer) for name, problems in benchmarks.items()}


def build_draws(problems: Sequence[Problem], recipe: Recipe, tokenizer: Any) -> list[Draw]:
    """QxK draws, question by question.

    Every answer may have `max_completion_tokens`, so that no question has a smaller budget than
    another: a prompt that leaves less room in the context is refused. Raises ProblemError naming
    the question.
    """
    draws: list[Draw] = []
    for problem in problems:
        prompt = render_prompt(problem.question, recipe.problems.prompt, tokenizer)
        token_ids = _tokenize(prompt, recipe.problems.prompt, tokenizer)
        _check_length(problem, len(token_ids), recipe.evaluation)
        for sample in range(recipe.evaluation.samples_per_question):
            seed = request_seed(recipe.seed, problem.id, sample)
            request = Request(prompt_token_ids=token_ids, seed=seed)
            draws.append(Draw(problem, sample, prompt, request))
    return draws


def request_seed(run_seed: int, question_id: str, sample: int) -> int:
    """Seed of one answer: 63 bits of a sha256.

    Seeds that count up would collide: sample 1 of a question with sample 0 of the next.
    """
    digest = hashlib.sha256(f"{run_seed}/{question_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big") & LARGEST_SEED


def _tokenize(prompt: str, config: PromptConfig, tokenizer: Any) -> tuple[int, ...]:
    # A chat template writes the special tokens itself.
    return tuple(tokenizer(prompt, add_special_tokens=not config.chat)["input_ids"])


def _check_length(problem: Problem, num_tokens: int, config: EvaluationConfig) -> None:
    needed = num_tokens + config.max_completion_tokens
    if num_tokens == 0 or needed > config.max_context_tokens:
        raise ProblemError(
            f"question {problem.question[:SHOWN_CHARACTERS]!r}: its prompt has {num_tokens} tokens "
            f"and the answer may have {config.max_completion_tokens}, together {needed}; "
            f"evaluation.max_context_tokens is {config.max_context_tokens}: raise it, lower "
            "max_completion_tokens, or leave the question out"
        )
