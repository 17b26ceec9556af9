"""The table that modelsummary returns: it shows itself and goes into any format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from .render.headers import flattened
from .table import Table

FORMATS = (
    "text",
    "markdown",
    "html",
    "latex",
    "latex_tabular",
    "typst",
    "docx",
    "gt",
    "csv",
    "dataframe",
)
"""What ``output=`` takes besides a path."""

SUFFIXES = (
    ".txt",
    ".md",
    ".html",
    ".tex",
    ".typ",
    ".csv",
    ".docx",
    ".xlsx",
    ".png",
    ".pdf",
    ".svg",
)
"""Suffixes of the files that ``save`` writes."""


@dataclass(frozen=True)
class ModelTable:
    """A table of models; printing it shows it as text.

    Parameters
    ----------
    table : Table
        What is shown, in no format yet.
    raw : DataFrame
        The numbers: the tidy frames of all models, one below the other, with the
        model's name in the column ``model`` (and its panel's in ``panel``).
    gof : DataFrame
        The statistics: one row a model, with the same columns of names.
    theme : {"booktabs", "striped", "plain"}
        Look of HTML.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.tables.modelsummary import modelsummary
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> table = modelsummary(res, fmt=2, gof_map=["nobs"], auto_notes=False)
    >>> print(table.to_markdown(), end="")
    |                      |   (1)    |
    |:---------------------|:--------:|
    | Intercept            | 1527.50  |
    |                      |  (19.38) |
    | **Random effects**   |          |
    | SD (Intercept Batch) |   42.00  |
    | SD (Observations)    |   49.51  |
    | Num.Obs.             |   30     |
    >>> table.raw[["model", "term", "group"]].values.tolist()[1:]
    [['(1)', 'Intercept', 'Batch'], ['(1)', 'Observation', 'Residual']]
    """

    table: Table
    raw: pd.DataFrame
    gof: pd.DataFrame = field(default_factory=pd.DataFrame)
    theme: str = "booktabs"

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        """For notebooks; Quarto takes the block of its format from the Markdown."""
        html, latex, typst = self.to_html(), self.to_latex(), self.to_typst()
        blocks = {"html": html, "latex": latex, "typst": typst}
        return {
            "text/plain": self.to_text(),
            "text/html": html,
            "text/latex": latex,
            "text/markdown": _for_quarto(blocks, self.to_markdown()),
        }

    def to_text(self, *, unicode_minus: bool = False) -> str:
        """Plain text; see :func:`sm_lmer.tables.render.text.to_text`."""
        from .render.text import to_text

        return to_text(self.table, unicode_minus=unicode_minus)

    def to_markdown(self, *, unicode_minus: bool = True) -> str:
        """A pipe table; see :func:`sm_lmer.tables.render.markdown.to_markdown`."""
        from .render.markdown import to_markdown

        return to_markdown(self.table, unicode_minus=unicode_minus)

    def to_html(
        self,
        *,
        document: bool = False,
        theme: str | None = None,
        unicode_minus: bool = True,
    ) -> str:
        """HTML, a fragment or a whole page; see :mod:`sm_lmer.tables.render.html`."""
        from .render.html import to_html, to_html_document

        render = to_html_document if document else to_html
        return render(
            self.table, theme=theme or self.theme, unicode_minus=unicode_minus
        )

    def to_latex(
        self,
        *,
        tabular_only: bool = False,
        siunitx: bool = True,
        longtable: bool = False,
    ) -> str:
        """LaTeX with booktabs; see :func:`sm_lmer.tables.render.latex.to_latex`."""
        from .render.latex import to_latex

        return to_latex(
            self.table,
            tabular_only=tabular_only,
            siunitx=siunitx,
            longtable=longtable,
        )

    def to_typst(self) -> str:
        """Typst; see :func:`sm_lmer.tables.render.typst.to_typst`."""
        from .render.typst import to_typst

        return to_typst(self.table)

    def to_csv(self, *, annotations: bool = True) -> str:
        """Comma-separated values; see :func:`sm_lmer.tables.render.csv.to_csv`."""
        from .render.csv import to_csv

        return to_csv(self.table, annotations=annotations)

    def to_docx(self, document: Any = None) -> Any:
        """A Word document, or one with the table added to it (extra ``docx``)."""
        from .render.docx import to_docx

        return to_docx(self.table, document=document)

    def to_gt(self) -> Any:
        """An object of great_tables (extra ``gt``)."""
        from .render.gt import to_gt

        return to_gt(self.table)

    def to_xlsx(self, path: str | Path) -> None:
        """An Excel file (extra ``xlsx``)."""
        from .render.xlsx import to_xlsx

        to_xlsx(self.table, path)

    def to_image(self, path_or_format: str | Path, ppi: float = 200) -> bytes:
        """A picture: PNG, PDF or SVG (extra ``image``)."""
        from .render.image import to_image

        return to_image(self.table, path_or_format, ppi=ppi)

    def to_frame(self) -> pd.DataFrame:
        """What the cells show, as texts.

        Returns
        -------
        DataFrame
            Columns panel, if there are any, part ("coefficients", "random", "gof"),
            term, group where there are groups, line ("estimate", "statistic", "gof",
            "added"), and one a value column. Labels are repeated in every line.
        """
        depth = len(self.table.stub)
        records: list[list[str]] = []
        panel = ""
        for section in self.table.sections:
            if section.title and section.kind != "random":
                panel = section.title
            part = "coefficients" if section.kind == "panel" else section.kind
            stub = ("",) * depth
            for row in section.rows:
                stub = row.stub if any(row.stub) else stub
                cells = [cell.text for cell in row.cells]
                records.append([panel, part, *stub, row.kind, *cells])
        names = ["term", "group", *(f"stub_{k + 1}" for k in range(2, depth))][:depth]
        columns = ["panel", "part", *names, "line", *flattened(self.table)]
        frame = pd.DataFrame(records, columns=columns, dtype=object)
        return frame if panel else frame.iloc[:, 1:]

    def save(self, path: str | Path) -> ModelTable:
        """Write the table in the format that the path's suffix names, in UTF-8.

        Parameters
        ----------
        path : str or Path
            Ends in .txt, .md, .html, .tex, .typ, .csv, .docx, .xlsx, .png, .pdf or
            .svg.

        Returns
        -------
        ModelTable
            The table itself.

        Raises
        ------
        ValueError
            If the suffix is none of these.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(
                f"{path.name!r} does not say its format; end it in one of "
                f"{', '.join(SUFFIXES)}."
            )
        if suffix in _TEXTS:
            text = _TEXTS[suffix](self)
            ended = text if text.endswith("\n") else f"{text}\n"
            path.write_text(ended, encoding="utf-8", newline="")
        elif suffix == ".docx":
            self.to_docx().save(str(path))
        elif suffix == ".xlsx":
            self.to_xlsx(path)
        else:
            self.to_image(path)
        return self

    def as_format(self, name: str) -> Any:
        """The table in a format of :data:`FORMATS`."""
        return _OBJECTS[name](self)


_TEXTS: dict[str, Callable[[ModelTable], str]] = {
    ".txt": ModelTable.to_text,
    ".md": ModelTable.to_markdown,
    ".html": lambda table: table.to_html(document=True),
    ".tex": ModelTable.to_latex,
    ".typ": ModelTable.to_typst,
    ".csv": ModelTable.to_csv,
}

_OBJECTS: dict[str, Callable[[ModelTable], Any]] = {
    "text": ModelTable.to_text,
    "markdown": ModelTable.to_markdown,
    "html": ModelTable.to_html,
    "latex": ModelTable.to_latex,
    "latex_tabular": lambda table: table.to_latex(tabular_only=True),
    "typst": ModelTable.to_typst,
    "docx": ModelTable.to_docx,
    "gt": ModelTable.to_gt,
    "csv": ModelTable.to_csv,
    "dataframe": ModelTable.to_frame,
}


def _for_quarto(blocks: dict[str, str], markdown: str) -> str:
    """Raw blocks, one a format, and the pipe table for all others."""
    raw = [
        f"{_fence(text)}{{={name}}}\n{text}\n{_fence(text)}"
        for name, text in blocks.items()
    ]
    hidden = ("html", "latex", "typst")
    opening = [
        f'{":" * (len(hidden) + 3 - k)} {{.content-hidden when-format="{name}"}}'
        for k, name in enumerate(hidden)
    ]
    closing = [":" * (3 + k + 1) for k in range(len(hidden))]
    return "\n\n".join([*raw, *opening, markdown, *closing])


def _fence(text: str) -> str:
    """Backticks that no line of the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


__all__ = ["FORMATS", "SUFFIXES", "ModelTable"]
