"""A figure that notebooks show and that pyplot does not know."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

PIXELS_AN_INCH = 100
"""At which a notebook shows figures, however finely they are drawn."""


class DisplayedFigure(Figure):
    """A matplotlib figure that is shown when it is the last value of a notebook cell.

    pyplot keeps no reference to it, so nothing has to be closed.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        picture = BytesIO()
        self.savefig(picture, format="png")
        width = round(PIXELS_AN_INCH * self.get_figwidth())
        return picture.getvalue(), {"width": width}
