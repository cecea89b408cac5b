"""Words that may be a model's or a program's, in Markdown."""

import re

# Brackets and underscores only where they would make a link or italics: the file is read too.
MARKS = re.compile(r"[\\`*]|(?<!\w)_|_(?!\w)|\](?=[(\[:])")


def plain(text: str) -> str:
    """`text` in one line, so that Markdown shows it as it is: no mark-up, no HTML."""
    line = " ".join(text.split())
    return MARKS.sub(r"\\\g<0>", line.replace("&", "&amp;").replace("<", "&lt;"))
