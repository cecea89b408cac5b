"""A picture in a page that needs nothing beside it: told where the pointer rests, and drawn again
for narrow screens, where the words of the wide one could not be read.

The picture stays a PNG; transparent circles of an SVG lie over it and have the words as titles, so
that the page needs no script.
"""

import base64
import html
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from matplotlib.axes import Axes

from relex.visible import one_line

WIDTH, RADIUS = 1000, 11
SIZE = slice(16, 24)
"""Of a PNG: width and height."""


@dataclass(frozen=True)
class Point:
    """A place in a picture, in shares of its width from the left and of its height from the top."""

    across: float
    down: float
    words: str


@dataclass(frozen=True)
class Image:
    """A PNG with the words of its points, and the same picture for a narrow screen."""

    png: bytes
    points: Sequence[Point] = ()
    narrow: Self | None = None

    def html(self, alt: str) -> str:
        """As a page shows it; `alt` is HTML already."""
        if self.narrow is None:
            return self._html(alt, "any")
        return self._html(alt, "wide") + self.narrow._html(alt, "narrow")

    def _html(self, alt: str, screen: str) -> str:
        data = base64.b64encode(self.png).decode()
        image = f'<img alt="{alt}" src="data:image/png;base64,{data}" />'
        return f'<span class="picture {screen}">{image}{self._circles()}</span>'

    def _circles(self) -> str:
        if not self.points:
            return ""
        width, height = struct.unpack(">II", self.png[SIZE])
        tall = WIDTH * height / width
        circles = "".join(
            f'<circle cx="{WIDTH * point.across:.0f}" cy="{tall * point.down:.0f}" r="{RADIUS}">'
            f"<title>{html.escape(one_line(point.words))}</title></circle>"
            for point in self.points
        )
        return f'<svg viewBox="0 0 {WIDTH} {tall:.0f}">{circles}</svg>'


def point_at(axes: Axes, x: float, y: float, words: str) -> Point:
    """Where `axes` of a figure that is drawn has the data point."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    across, up = figure.transFigure.inverted().transform(axes.transData.transform((x, y)))
    return Point(float(across), 1 - float(up), words)
