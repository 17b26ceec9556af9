"""Frames of tests that print as R prints them, and are frames in all else."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd

DIGITS = 6
"""Significant digits of the largest number of a column."""

MOST_DECIMALS = 4

SMALLEST_P = 2.2e-16


class TableOfTests(pd.DataFrame):
    """A frame that prints with its heading, readable numbers and its notes.

    Whatever is made of it is an ordinary DataFrame. ``attrs["heading"]`` and
    ``attrs["notes"]`` hold the texts.
    """

    @classmethod
    def of(cls, frame: pd.DataFrame) -> TableOfTests:
        """A frame that prints so, with the texts of the given one."""
        table = cls(frame)
        table.attrs = frame.attrs
        return table

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        lines = [self._shown().to_string()]
        if self.attrs.get("heading"):
            lines.insert(0, str(self.attrs["heading"]) + "\n")
        lines += [f"\n{note}" for note in self.attrs.get("notes", ())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heading, notes = self.attrs.get("heading", ""), self.attrs.get("notes", ())
        parts = [f"<p>{escape(line)}</p>" for line in str(heading).splitlines()]
        parts.append(self._shown().to_html())
        return "\n".join([*parts, *(f"<p>{escape(str(note))}</p>" for note in notes)])

    def _shown(self) -> pd.DataFrame:
        """The cells as text."""
        cells = {name: _texts(str(name), self[name]) for name in self.columns}
        return pd.DataFrame(cells, index=self.index)


def _texts(name: str, column: pd.Series) -> list[str]:
    if column.dtype.kind not in "if":
        return [str(value) for value in column]
    values = column.to_numpy(dtype=np.float64)
    if name.lower().startswith("pr("):
        return [_p_value(p) for p in values]
    decimals = _decimals(values)
    return ["" if np.isnan(v) else f"{v:.{decimals}f}" for v in values]


def _p_value(p: float) -> str:
    if np.isnan(p):
        return ""
    if p < SMALLEST_P:
        return f"<{SMALLEST_P:.1e}"
    return f"{p:.4f}" if p >= 1e-3 else f"{p:.2e}"


def _decimals(values: np.ndarray) -> int:
    """So many that the largest number has its digits; none for whole numbers."""
    finite = values[np.isfinite(values)]
    if not len(finite) or (finite == np.round(finite)).all():
        return 0
    whole = int(np.floor(np.log10(max(float(np.abs(finite).max()), 1e-8)))) + 1
    return int(np.clip(DIGITS - max(whole, 0), 0, MOST_DECIMALS + max(0, -whole)))
