r"""Balanced `\boxed{}` in text: linear in its length, whatever a model wrote."""

import re

# An escaped character (which may be a brace), the start of a box, or a brace.
TOKENS = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
BOX_WITHOUT_BRACES = re.compile(r"\\boxed\s+([^\s${}][^${}]*)")
THOUGHT_START, THOUGHT_END = "<think>", "</think>"


def boxed_spans(text: str) -> list[tuple[int, int]]:
    r"""Start and end of the content of every balanced `\boxed{}`, in the order of their starts."""
    spans = []
    open_braces: list[int | None] = []
    for token in TOKENS.finditer(text):
        if token.group().startswith(r"\boxed"):
            open_braces.append(token.end())
        elif token.group() == "{":
            open_braces.append(None)
        elif token.group() == "}" and open_braces:
            start = open_braces.pop()
            if start is not None:
                spans.append((start, token.start()))
    return sorted(spans)


def last_box(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{}`, or None without one."""
    spans = boxed_spans(text)
    if not spans:
        return None
    start, end = spans[-1]
    return text[start:end].strip()


def box_of_solution(text: str) -> str | None:
    r"""The answer of a worked solution written by a person: its last box, or None without one.

    MATH has, beside `\boxed{}`, some `\fbox{}` and `\boxed 7` up to the next dollar sign.
    """
    box = last_box(text.replace(r"\fbox", r"\boxed"))
    if box is not None:
        return box
    bare = BOX_WITHOUT_BRACES.findall(text)
    return bare[-1].strip() if bare else None


def final_text(completion: str) -> str:
    """What follows the last thought; nothing when a thought was begun and not finished."""
    text = completion.rpartition(THOUGHT_END)[2]
    return "" if THOUGHT_START in text else text


def last_boxed(completion: str) -> str | None:
    r"""The content of the last balanced `\boxed{}` of the final text, or None without one."""
    return last_box(final_text(completion))
