r"""A grader of one's own: 1 by the conventions of the paper's published grader.

A recipe names it as `grader: published_equality:published_equality`, with this folder on the Python
path. Written in words of our own, after scripts/grader.py of weizhepei/RELEX.

The answer of a text follows its last `boxed`, else its last "he answer is", else it is the last
number. Only its first line counts. Units, degrees, currency, percent signs and what only changes
the looks are taken off; a short `x=` in front too; fractions are written as `\frac{}{}`.

Two numbers are equal within a relative 1e-4, and also when one is a hundred times the other
(percent); brackets and braces do not count when the rest is the same text; tuples, intervals and
matrices are compared by their entries; equations by the difference of their sides, up to its sign;
the rest as expressions, by `math_equality`, each with a limit of time.
"""

import re
from collections.abc import Sequence
from math import isclose, isfinite

from relex.config import RewardTerm
from relex.rewards import build_reward

TOLERANCE = 1e-4
LONGEST_ANSWER_CHARACTERS = 10_000
MATRIX = re.compile(r"\\begin\{([pb]matrix)\}(.*)\\end\{[pb]matrix\}", re.DOTALL)
BRACKETS = str.maketrans("", "", "{}()")
DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
FRACTION = re.compile(r"(-?)\\frac\{(-?\d+)\}\{(-?\d+)\}")

NUMBER = re.compile(r"-?\d*\.?\d+")
ANSWER_IS = "he answer is"
SPACE = re.compile(r"(?<!\\)\\[! ]")
REMOVED = (r"\left", r"\right", r"^{\circ}", r"^\circ", r"\$", "$", r"\text", r"x\in", r"\%", "%")
REMOVED += (r"\cdot", "and", r"\mathbf")
MBOX = re.compile(r"\\mbox\{[^{}]*\}")
UNIT_AT_END = re.compile(r"(?<=.)\\text\{[^{}]*\}$")
ZERO_DECIMALS = re.compile(r"(?<=\d)\.0+(?=\D|$)")
SHORT_NAME = re.compile(r"^[^=]{1,2}=(?=[^=]+$)")
BARE_ROOT = re.compile(r"\\sqrt(\w+)")
BARE_FRACTION = re.compile(r"\\frac(?!\{)(.)(?:\{([^{}]*)\}|(.))")
WHOLE_FRACTION = re.compile(r"(-?\d+)/(-?\d+)")

MATH_EQUALITY = build_reward(RewardTerm(reward="math_equality", params={"timeout_seconds": 1.0}))


def published_equality(
    completions: Sequence[str], answers: Sequence[str], **_: object
) -> list[float]:
    """1.0 where completion and gold answer are equal, otherwise 0.0."""
    pairs = zip(completions, answers, strict=True)
    return [float(equal(gold(answer), found(completion))) for completion, answer in pairs]


def gold(answer: str) -> str:
    return found(answer) if "boxed" in answer else normal_form(answer)


def found(text: str) -> str:
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


def equal(gold: str, answer: str) -> bool:
    gold, answer = gold.strip(), answer.strip()
    if gold == answer:
        return True
    if not answer or len(answer) > LONGEST_ANSWER_CHARACTERS:
        return False
    numbers = as_number(gold), as_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return close_in_percent(numbers[0], numbers[1])
    return (
        same_without_brackets(gold, answer)
        or _equal_entries(gold, answer)
        or _equal_equations(gold, answer)
        or _equal_expressions(gold, answer)
    )


def _equal_entries(gold: str, answer: str) -> bool:
    golds, answers = entries(gold), entries(answer)
    return len(golds) == len(answers) > 0 and all(map(equal, golds, answers))


def _equal_equations(gold: str, answer: str) -> bool:
    golds, answers = gold.split("="), answer.split("=")
    if len(golds) == len(answers) == 2:
        difference = _difference(answers)
        return any(
            _equal_expressions(_difference(golds), each)
            for each in (difference, f"-({difference})")
        )
    if len(answers) == 2 and len(golds) == 1 and len(answers[0].strip()) <= 2:
        return equal(gold, answers[1])
    if len(golds) == 2 and len(answers) == 1 and len(golds[0].strip()) <= 2:
        return equal(golds[1], answer)
    return False


def _equal_expressions(gold: str, answer: str) -> bool:
    boxed = rf"\boxed{{{answer}}}"
    return MATH_EQUALITY(prompts=[""], completions=[boxed], answers=[gold]) == [1.0]


def as_number(text: str) -> float | None:
    """The number that a text is, `50%` as 0.5, thousands with commas, a fraction of whole numbers;
    None for anything else."""
    fraction = FRACTION.fullmatch(text)
    if fraction and int(fraction[3]):
        return int(fraction[1] + "1") * int(fraction[2]) / int(fraction[3])
    digits = text.replace(",", "")
    bare = digits.removesuffix("%").removesuffix("\\")
    if not DECIMAL.fullmatch(bare):
        return None
    value = float(bare) / (1 if bare == digits else 100)
    return value if isfinite(value) else None


def close_in_percent(gold: float, answer: float) -> bool:
    """Whether the answer is close to the gold number, a hundredth or a hundred times of it."""
    return any(isclose(each, answer, rel_tol=TOLERANCE) for each in (gold / 100, gold, gold * 100))


def same_without_brackets(gold: str, answer: str) -> bool:
    """Whether both are the same letters when brackets, braces and case do not count."""
    square = answer[:1] == "[" and answer[-1:] == "]" and gold[:1] != "("
    round_ = answer[:1] == "(" and answer[-1:] == ")" and gold[:1] != "["
    if square or round_:
        gold, answer = gold.strip("[]()"), answer.strip("[]()")
    return gold.translate(BRACKETS).lower() == answer.translate(BRACKETS).lower()


def entries(text: str) -> list[str]:
    """The entries of a tuple, an interval or a matrix, row by row; none for anything else."""
    matrix = MATRIX.fullmatch(text)
    if matrix:
        return [entry for row in matrix[2].split(r"\\") if row for entry in row.split("&")]
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and "," in text:
        return text[1:-1].split(",")
    return []


def _difference(sides: Sequence[str]) -> str:
    return f"{sides[0].strip()} - ({sides[1].strip()})"
