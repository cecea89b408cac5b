r"""How the paper's published scripts cut an answer out of a text, in words of our own.

The answer follows the last `boxed`, else the last "he answer is", else it is the last number. Only
its first line counts. Units, degrees, currency, percent signs and what only changes the looks are
taken off; a short `x=` in front too; fractions are written as `\frac{}{}`. A matrix keeps its
rows, which it loses there.
"""

import re

NUMBER = re.compile(r"-?\d*\.?\d+")
ANSWER_IS = "he answer is"
SPACE = re.compile(r"(?<!\\)\\[! ]")
REMOVED = (
    "\\left",
    "\\right",
    "^{\\circ}",
    "^\\circ",
    "\\$",
    "$",
    "\\text",
    "x\\in",
    "\\%",
    "%",
    "\\cdot",
    "and",
    "\\mathbf",
)
MBOX = re.compile(r"\\mbox\{[^{}]*\}")
UNIT_AT_END = re.compile(r"(?<=.)\\text\{[^{}]*\}$")
ZERO_DECIMALS = re.compile(r"(?<=\d)\.0+(?=\D|$)")
SHORT_NAME = re.compile(r"^[^=]{1,2}=(?=[^=]+$)")
BARE_ROOT = re.compile(r"\\sqrt(\w+)")
BARE_FRACTION = re.compile(r"\\frac(?!\{)(.)(?:\{([^{}]*)\}|(.))")
WHOLE_FRACTION = re.compile(r"(-?\d+)/(-?\d+)")


def published_answer(text: str) -> str:
    """The answer in a completion or a worked solution; empty without one. Takes linear time."""
    return normal_form(_raw_answer(text).split("\n")[0].removeprefix(":"))


def normal_form(answer: str) -> str:
    """An answer without what does not count."""
    text = answer.strip().removesuffix(".").removesuffix("/").replace("\n", "")
    text = re.sub(r"[td]frac", "frac", SPACE.sub("", text))
    text = UNIT_AT_END.sub("", text.rstrip(". "))
    for what in REMOVED:
        text = text.replace(what, "")
    text = MBOX.sub("", text.replace("infinity", "\\infty"))
    text = re.sub(r"(^|[ {])\.(?=\d)", r"\g<1>0.", text)
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    text = SHORT_NAME.sub("", ZERO_DECIMALS.sub("", text))
    text = BARE_ROOT.sub(r"\\sqrt{\1}", text).replace(" ", "")
    text = BARE_FRACTION.sub(lambda match: rf"\frac{{{match[1]}}}{{{match[2] or match[3]}}}", text)
    whole = WHOLE_FRACTION.fullmatch(text)
    return rf"\frac{{{whole[1]}}}{{{whole[2]}}}" if whole else text


def _raw_answer(text: str) -> str:
    _, boxed, rest = text.rpartition("boxed")
    if boxed:
        return _in_braces(rest) if rest.startswith("{") else rest.split("$")[0].strip()
    _, answer_is, rest = text.rpartition(ANSWER_IS)
    if answer_is:
        return rest.strip()
    numbers = NUMBER.findall(text.replace(",", ""))
    return numbers[-1] if numbers else ""


def _in_braces(text: str) -> str:
    """What stands between the first brace and the one that closes it, or to the end."""
    depth = 0
    for brace in re.finditer(r"[{}]", text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[1 : brace.start()]
    return text[1:]
