"""Prompts, plain and in a chat template, with a real tokenizer."""

import pytest
from transformers import PreTrainedTokenizerFast

from relex.config import PromptConfig
from relex.errors import ProblemError
from relex.problems import render_prompt
from tests.bench.toy_base import build_tokenizer

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
)


THINKING = "{% if enable_thinking is defined and not enable_thinking %}<no thoughts>{% endif %}"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def test_the_default_prompt_is_the_question(tokenizer: PreTrainedTokenizerFast) -> None:
    assert render_prompt("1+2=", PromptConfig(), tokenizer) == "1+2="


def test_braces_in_template_and_question_stay(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = PromptConfig(template=r"{question} Answer in \boxed{}. {x}")
    rendered = render_prompt(r"\frac{1}{2} {0}", prompt, tokenizer)
    assert rendered == r"\frac{1}{2} {0} Answer in \boxed{}. {x}"


def test_a_chat_prompt_ends_where_the_assistant_begins(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE
    prompt = PromptConfig(template="Q: {question}", chat=True, system="Be brief.")
    expected = "<system>Be brief.\n<user>Q: 1+2=\n<assistant>"
    assert render_prompt("1+2=", prompt, tokenizer) == expected


def test_without_a_system_text_there_is_no_system_message(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE
    rendered = render_prompt("1+2=", PromptConfig(chat=True), tokenizer)
    assert rendered == "<user>1+2=\n<assistant>"


def test_chat_without_a_chat_template_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ProblemError, match=r"has no chat template; set chat: false"):
        render_prompt("1+2=", PromptConfig(chat=True), tokenizer)


def test_the_refusal_of_a_chat_template_is_passed_on(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = NO_SYSTEM
    prompt = PromptConfig(chat=True, system="Be brief.")
    with pytest.raises(ProblemError, match=r"chat template refuses .*no system role.*try without"):
        render_prompt("1+2=", prompt, tokenizer)


def test_the_template_is_given_its_arguments(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE + THINKING
    prompt = PromptConfig(chat=True, template_arguments={"enable_thinking": False})
    assert render_prompt("1+2=", prompt, tokenizer) == "<user>1+2=\n<assistant><no thoughts>"
    assert render_prompt("1+2=", PromptConfig(chat=True), tokenizer) == "<user>1+2=\n<assistant>"


@pytest.mark.parametrize("name", ["enable_thinkin", "chat_template"])
def test_an_argument_that_the_template_never_reads_is_named(
    tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE + THINKING
    prompt = PromptConfig(chat=True, template_arguments={name: "x"})
    with pytest.raises(ProblemError, match=f"template_arguments: {name}: .* never reads it"):
        render_prompt("1+2=", prompt, tokenizer)
