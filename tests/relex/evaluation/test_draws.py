from collections.abc import Callable

import pytest
from transformers import AutoTokenizer

from relex.checkpoints import TOY_BASE
from relex.config import Recipe, check_recipe
from relex.errors import ProblemError
from relex.evaluation.draws import build_draws, request_seed
from relex.problems import Problem

MakeRecipe = Callable[..., Recipe]
PROBLEMS = [Problem(f"{a}+{b}=", str(a + b)) for a in range(31) for b in range(31)]


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return AutoTokenizer.from_pretrained(TOY_BASE)


def test_every_question_and_sample_has_a_seed_of_its_own(
    toy_recipe: MakeRecipe, tokenizer: object
) -> None:
    draws = build_draws(PROBLEMS, toy_recipe(samples_per_question=8), tokenizer)
    seeds = {draw.request.seed for draw in draws}
    assert len(seeds) == len(PROBLEMS) * 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_depends_on_question_sample_and_run_only() -> None:
    assert request_seed(7, "abc", 1) == request_seed(7, "abc", 1)
    assert (
        len({request_seed(7, "abc", 1), request_seed(8, "abc", 1), request_seed(7, "abd", 1)}) == 3
    )


def test_seeds_are_the_same_on_every_machine() -> None:
    assert request_seed(0, "0123456789abcdef", 0) == 3509402400890765139


def test_draws_go_question_by_question(toy_recipe: MakeRecipe, tokenizer: object) -> None:
    draws = build_draws(PROBLEMS[:2], toy_recipe(samples_per_question=2), tokenizer)
    assert [(draw.problem.question, draw.sample) for draw in draws] == [
        ("0+0=", 0),
        ("0+0=", 1),
        ("0+1=", 0),
        ("0+1=", 1),
    ]


def test_the_request_holds_the_tokens_of_the_rendered_prompt(
    toy_recipe: MakeRecipe, tokenizer: object
) -> None:
    recipe = toy_recipe().model_dump(mode="json")
    recipe["problems"]["prompt"]["template"] = "12+{question}"
    [draw, *_] = build_draws([Problem("3=", "15")], check_recipe(recipe, "test"), tokenizer)
    assert draw.prompt == "12+3="
    assert tokenizer.decode(draw.request.prompt_token_ids) == "12+3="  # type: ignore[attr-defined]


def test_a_prompt_that_leaves_too_little_room_is_refused_by_name(
    toy_recipe: MakeRecipe, tokenizer: object
) -> None:
    recipe = toy_recipe(max_completion_tokens=60)
    with pytest.raises(ProblemError, match=r"'12\+13=': its prompt has 6 tokens .* together 66"):
        build_draws([Problem("1+1=", "2"), Problem("12+13=", "25")], recipe, tokenizer)


def test_a_prompt_that_just_fits_is_taken(toy_recipe: MakeRecipe, tokenizer: object) -> None:
    recipe = toy_recipe(max_completion_tokens=58, samples_per_question=1)
    assert len(build_draws([Problem("12+13=", "25")], recipe, tokenizer)) == 1


def test_the_refusal_names_the_longest_question_and_counts(
    toy_recipe: MakeRecipe, tokenizer: object
) -> None:
    recipe = toy_recipe(max_completion_tokens=59)
    problems = [Problem(text, "0") for text in ("1+1=", "1+11=", "12+13=", "12+123=")]
    with pytest.raises(
        ProblemError, match=r"validation: 2 of 4 prompt.* '12\+123=': its prompt has 7 tokens"
    ):
        build_draws(problems, recipe, tokenizer)


def test_a_test_benchmark_is_drawn_with_its_own_prompt_and_samples(
    toy_recipe: MakeRecipe, tokenizer: object
) -> None:
    given = toy_recipe(samples_per_question=4).model_dump(mode="json")
    given["problems"]["test"][0] |= {
        "prompt": {"template": "1{question}"},
        "samples_per_question": 2,
    }
    recipe = check_recipe(given, "test")
    problems = [Problem("3+4=", "7")]
    own = build_draws(problems, recipe, tokenizer, "additions")
    validation = build_draws(problems, recipe, tokenizer)
    assert [draw.prompt for draw in own] == ["13+4="] * 2
    assert [draw.prompt for draw in validation] == ["3+4="] * 4
    # The same question and sample has the same seed wherever it is asked.
    assert [draw.request.seed for draw in own] == [draw.request.seed for draw in validation[:2]]


def test_a_chat_prompt_is_tokenized_without_a_second_start_token(toy_recipe: MakeRecipe) -> None:
    chatty = AutoTokenizer.from_pretrained(TOY_BASE)
    chatty.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}="
    given = toy_recipe(samples_per_question=1).model_dump(mode="json")
    given["problems"]["prompt"] |= {"chat": True, "system": "1+"}
    [draw] = build_draws([Problem("2", "3")], check_recipe(given, "test"), chatty)
    assert draw.prompt == "1+2="
    expected = chatty("1+2=", add_special_tokens=False)["input_ids"]
    assert list(draw.request.prompt_token_ids) == expected
