"""The report as one file that opens anywhere: the Markdown with its pictures inside."""

import base64
import html
import re
from collections.abc import Mapping

import markdown

from relex.report.table import CHOSEN_MARK

CHOSEN_ROW = re.compile(rf"<tr>(?=(?:(?!</tr>).)*{CHOSEN_MARK})", re.DOTALL)
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
p, ul { max-width: 860px; }
h1 { font-size: 1.4rem; color: #6e6e6e; font-weight: 500; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { width: 900px; max-width: 100%; height: auto; margin: 1rem 0; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.88rem;
        margin-bottom: 1.2rem; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid #e3e3e3; text-align: left;
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: #6e6e6e; font-weight: 500; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
tr.chosen td { font-weight: 600; background: #fbf9dd; }
@media (max-width: 600px) { body { font-size: 15px; }
  table { font-size: 0.8rem; } th, td { padding: 0.3rem 0.4rem; } }
code { background: #f4f4f4; padding: 0.1rem 0.3rem; border-radius: 3px; overflow-wrap: anywhere; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
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
    return PAGE.format(title=html.escape(title), style=STYLE, body=body)
