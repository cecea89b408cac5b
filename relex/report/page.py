"""Pages and tables: words that may be a model's or a program's are shown as they are, in Markdown,
in HTML and in a terminal."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import markdown
from rich import box
from rich.table import Column, Table

from relex.report.image import Image
from relex.visible import one_line

CHOSEN_MARK = "★"
NOT_MEASURED = "-"
CHOSEN = "chosen"
AGAINST = ("against", "behind")
"""How titles of differences begin, for which a terminal has no room."""

Row = dict[str, str]

# Brackets and underscores only where they would make a link or italics: the file is read too.
MARKS = re.compile(r"[\\`*]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])")
OPENINGS = re.compile(r"\A(\d*)([-+](?= )|-(?=--)|[#>]|\[(?=[^\]]*\]:)|(?<=\d)[.)](?= ))")
"""What makes a list, a rule, a heading, a quotation or a definition of the line that it opens."""

ENTITIES = {"&": "&amp;", "<": "&lt;", "~~": "&#126;&#126;"}
LINK = re.compile(r"https?://[!#-;=?-_a-~]+")
CHOSEN_ROW = re.compile(rf"<tr>(?=(?:(?!</tr>).)*<td>{CHOSEN_MARK}</td>)", re.DOTALL)
ALARM = "⚑ "
"""Begins a line that is shown in red."""

ALARM_LINE = re.compile(rf"<(li|p)>(?=(?:<strong>)?{ALARM})")
QUESTION = "question"
"""Title of the first column of a table of answers, whose cells have more than one line."""

ANSWER_TABLE = re.compile(rf"<table>(?=\s*<thead>\s*<tr>\s*<th>{QUESTION}</th>)")
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --quiet: #6e6e6e; --line: #e3e3e3;
        --chosen: #fbf9dd; --code: #f4f4f4; --alarm: #b3261e; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
p, ul { max-width: 860px; }
ul { padding-left: 1.3rem; }
h1 { font-size: 1.4rem; color: var(--quiet); font-weight: 500; }
h1, a, code { overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
p:has(img) { max-width: none; }
img { width: 900px; max-width: 100%; height: auto; }
.picture { position: relative; display: inline-block; }
.picture.narrow { display: none; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; }
circle { fill: transparent; }
circle:hover { stroke: #8888; stroke-width: 3; }
.alarm { color: var(--alarm); }
table.answers td { white-space: normal; vertical-align: top; min-width: 8rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.88rem;
        margin-bottom: 1.2rem; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--quiet); font-weight: 500; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
tr.chosen td { font-weight: 600; background: var(--chosen); }
code { background: var(--code); padding: 0.1rem 0.3rem; border-radius: 3px; }
@media (max-width: 600px) { body { font-size: 15px; margin: 1rem auto; }
  table { font-size: 0.8rem; } th, td { padding: 0.3rem 0.4rem; }
  .picture.wide { display: none; } .picture.narrow { display: inline-block; } }
/* The pictures are drawn on white: turned over, their paper is that of the page. */
@media (prefers-color-scheme: dark) {
  :root { --paper: #171717; --ink: #dcdcdc; --quiet: #9a9a9a; --line: #3a3a3a;
          --chosen: #3a3717; --code: #2a2a2a; --alarm: #ff8a80; }
  img { filter: invert(0.91) hue-rotate(180deg); } }
"""
# What stands in the text is shown; nothing of it is run, and nothing loaded from elsewhere.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head>
<body>{body}</body>
</html>
"""


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


def address(text: str) -> str:
    """Where to look: a link where a browser can open it, else one line of code."""
    return f"<{text}>" if LINK.fullmatch(text) else code(text)


def markdown_table(rows: Sequence[Row]) -> str:
    """A Markdown table; every row has the columns of the first."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    title, *lines = [
        " | ".join(plain(cell).replace("|", r"\|") for cell in line).join(("| ", " |"))
        for line in cells
    ]
    return "\n".join([title, "|" + " --- |" * len(rows[0]), *lines])


def is_against(title: str) -> bool:
    """Whether a column holds differences."""
    return title.startswith(AGAINST)


def terminal_table(rows: Sequence[Row]) -> Table:
    """A table that fits a terminal of 80 columns: no differences, the chosen row in bold; where it
    is too wide, names go on in a second line and numbers stay whole."""
    titles = [title for title in rows[0] if not is_against(title)]
    # The star says itself what it is.
    starred = {CHOSEN, *(title for row in rows for title in row if row[title] == CHOSEN_MARK)}
    shown = ["" if title in starred else title for title in titles]
    columns = [Column(shown[0], overflow="fold"), *(Column(it, no_wrap=True) for it in shown[1:])]
    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        style = "bold green" if CHOSEN_MARK in row.values() else None
        table.add_row(*(row[title] for title in titles), style=style)
    return table


def report_html(title: str, text: str, pictures: Mapping[str, Image]) -> str:
    """A self-contained page from Markdown `text`; `pictures` are by the names used there."""
    body = CHOSEN_ROW.sub('<tr class="chosen">', markdown.markdown(text, extensions=["tables"]))
    body = ALARM_LINE.sub(r'<\1 class="alarm">', body)
    body = ANSWER_TABLE.sub('<table class="answers">', body)
    for name, image in pictures.items():
        for found in re.findall(rf'<img alt="[^"]*" src="{re.escape(name)}" />', body):
            alt = found.split('"')[1]
            body = body.replace(found, image.html(alt))
    return PAGE.format(title=html.escape(title), policy=POLICY, style=STYLE, body=body)


def write_page(out: Path, name: str, text: str, pictures: Mapping[str, Image]) -> None:
    """`NAME.md` with its pictures beside it, and `NAME.html`, whose title is the first heading."""
    title = text.partition("\n")[0].removeprefix("# ")
    for file, image in pictures.items():
        (out / file).write_bytes(image.png)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / f"{name}.html").write_text(report_html(title, text, pictures), encoding="utf-8")
