"""The pages of the documentation and their fenced blocks, all of which tests run or read."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
COMMENT = re.compile(r"(?:^|\s+)#.*")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: Path
    line: int
    """Of the opening fence, from 1."""

    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Those of a block of `sh`: comments gone, continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [command for line in lines if (command := COMMENT.sub("", line).strip())]


def blocks(*languages: str, page: Path | None = None) -> list[Block]:
    """The blocks in any of these languages (all without one), of a page or of all."""
    found = [
        Block(it, text.count("\n", 0, match.start()) + 1, match["language"], match["text"])
        for it in ([page] if page else PAGES)
        for text in [it.read_text(encoding="utf-8")]
        for match in FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def inline_code(page: Path) -> list[str]:
    """What stands between back-ticks in its prose and tables."""
    return INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
