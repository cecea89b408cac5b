"""The report as one file that opens anywhere: the Markdown with its pictures inside."""

import base64
import html
import re
from collections.abc import Mapping

import markdown

from relex.report.table import CHOSEN_MARK

CHOSEN_ROW = re.compile(rf"<tr>(?=(?:(?!</tr>).)*<td>{CHOSEN_MARK}</td>)", re.DOTALL)
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --quiet: #6e6e6e; --line: #e3e3e3;
        --chosen: #fbf9dd; --code: #f4f4f4; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
p, ul { max-width: 860px; }
ul { padding-left: 1.3rem; }
h1 { font-size: 1.4rem; color: var(--quiet); font-weight: 500; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
p:has(> img) { max-width: none; overflow-x: auto; }
img { width: 900px; max-width: 100%; height: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.88rem;
        margin-bottom: 1.2rem; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--quiet); font-weight: 500; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
tr.chosen td { font-weight: 600; background: var(--chosen); }
code { background: var(--code); padding: 0.1rem 0.3rem; border-radius: 3px;
       overflow-wrap: anywhere; }
/* Words in a picture can be read on a phone; it is pushed aside like a table. */
@media (max-width: 600px) { body { font-size: 15px; margin: 1rem auto; }
  table { font-size: 0.8rem; } th, td { padding: 0.3rem 0.4rem; } img { min-width: 600px; } }
/* The pictures are drawn on white: turned over, their paper is that of the page. */
@media (prefers-color-scheme: dark) {
  :root { --paper: #171717; --ink: #dcdcdc; --quiet: #9a9a9a; --line: #3a3a3a;
          --chosen: #3a3717; --code: #2a2a2a; }
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


def report_html(title: str, text: str, pictures: Mapping[str, bytes]) -> str:
    """A self-contained page from Markdown `text`; `pictures` are PNGs by the names used there."""
    body = CHOSEN_ROW.sub('<tr class="chosen">', markdown.markdown(text, extensions=["tables"]))
    for name, data in pictures.items():
        embedded = base64.b64encode(data).decode()
        body = re.sub(rf'src="{re.escape(name)}"', f'src="data:image/png;base64,{embedded}"', body)
    return PAGE.format(title=html.escape(title), policy=POLICY, style=STYLE, body=body)
