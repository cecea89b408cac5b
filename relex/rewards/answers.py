"""The answer in a completion: linear in its length, whatever a model wrote."""

from relex.boxed import last_box

THOUGHT_START, THOUGHT_END = "<think>", "</think>"


def final_text(completion: str) -> str:
    """What follows the last thought; nothing when a thought was begun and not finished."""
    text = completion.rpartition(THOUGHT_END)[2]
    return "" if THOUGHT_START in text else text


def last_boxed(completion: str) -> str | None:
    r"""The content of the last balanced `\boxed{}` of the final text, or None without one."""
    return last_box(final_text(completion))
