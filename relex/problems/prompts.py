"""From a question to the text that the policy reads, in training and in evaluation alike."""

import re
from collections.abc import Iterable
from typing import Any

from relex.config import PromptConfig
from relex.errors import ProblemError


def render_prompt(question: str, prompt: PromptConfig, tokenizer: Any) -> str:
    """The prompt as text, which ends where the completion begins.

    `tokenizer` is a Hugging Face tokenizer. With `prompt.chat` the text holds the special tokens of
    its chat template already, so it must then be tokenized without adding them again.

    Raises ProblemError when the tokenizer has no chat template, or the template refuses or never
    reads one of the arguments.
    """
    # Not str.format: templates for mathematics are full of braces, as in \\boxed{}.
    text = prompt.template.replace("{question}", question)
    return _in_chat(text, prompt, tokenizer) if prompt.chat else text


def _in_chat(text: str, prompt: PromptConfig, tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise ProblemError(
            "problems.prompt.chat: the tokenizer of the base has no chat template; "
            "set chat: false and put the whole prompt into template"
        )
    _check_read(prompt.template_arguments, tokenizer.get_chat_template())
    messages = [{"role": "user", "content": text}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": prompt.system})
    try:
        rendered = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **prompt.template_arguments
        )
    except Exception as error:
        raise ProblemError(
            f"problems.prompt: the tokenizer's chat template refuses the messages ({error}); "
            "try without a system message"
        ) from error
    return str(rendered)


def _check_read(arguments: Iterable[str], template: str) -> None:
    for name in arguments:
        if not re.search(rf"\b{re.escape(name)}\b", template):
            raise ProblemError(
                f"problems.prompt.template_arguments: {name}: the chat template of the base never "
                "reads it; correct the name or remove it"
            )
