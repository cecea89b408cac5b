"""Words that may be a model's or a program's, in Markdown."""

import re

from relex.visible import one_line

# Brackets and underscores only where they would make a link or italics: the file is read too.
MARKS = re.compile(r"[\\`*]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])")
OPENINGS = re.compile(r"\A(\d*)([-+](?= )|-(?=--)|[#>]|\[(?=[^\]]*\]:)|(?<=\d)[.)](?= ))")
"""What makes a list, a rule, a heading, a quotation or a definition of the line that it opens."""

ENTITIES = {"&": "&amp;", "<": "&lt;", "~~": "&#126;&#126;"}


def plain(text: str) -> str:
    """`text` in one line, so that Markdown shows it as it is: no mark-up, no HTML."""
    line = MARKS.sub(r"\\\g<0>", one_line(text))
    for mark, entity in ENTITIES.items():
        line = line.replace(mark, entity)
    return OPENINGS.sub(r"\1\\\2", line)


def code(text: str) -> str:
    """`text` in one line of code, such as an address: fenced by more backticks than it holds."""
    line = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{line}{pad}{fence}"
