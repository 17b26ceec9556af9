"""Pictures of tables: PNG, PDF and SVG by way of Typst, without TeX or a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..table import Table
from .typst import drawn, string

Format = Literal["png", "pdf", "svg"]
FORMATS: tuple[Format, ...] = ("png", "pdf", "svg")

PAGE = """\
#set document(title: {title})
#set page(width: auto, height: auto, margin: 8pt, fill: white)
#set text(size: 10pt, number-width: "tabular")
#{body}
"""


def to_image(table: Table, path_or_format: str | Path, ppi: float = 200) -> bytes:
    """A picture of the table, as large as the table.

    Parameters
    ----------
    table : Table
    path_or_format : str or Path
        "png", "pdf" or "svg"; or a file to write, whose suffix is one of them.
    ppi : float
        Resolution of a PNG, in points an inch.

    Returns
    -------
    bytes
        The picture, whether or not it was written to a file.

    Raises
    ------
    ValueError
        If the format is none of these.
    ImportError
        If the package ``typst`` is not there.
    """
    path = Path(path_or_format)
    bare = str(path_or_format).lower() in FORMATS
    suffix = str(path_or_format).lower() if bare else path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ValueError(
            f"{str(path_or_format)!r} is no picture that can be made of a table; use "
            f"one of {', '.join(FORMATS)}, or a file with such a suffix."
        )
    try:
        import typst
    except ImportError:
        raise ImportError(
            "pictures of tables need the package typst; install it by "
            "pip install 'sm_lmer[image]'."
        ) from None
    source = image_source(table).encode()
    picture = typst.compile(source, format=suffix, ppi=ppi)
    if not bare:
        path.write_bytes(picture)
    return picture


def image_source(table: Table) -> str:
    """The Typst document of one page that the picture shows."""
    body = "\n".join(drawn(table, title=table.title))
    return PAGE.format(title=string(table.title), body=body)


__all__ = ["FORMATS", "image_source", "to_image"]
