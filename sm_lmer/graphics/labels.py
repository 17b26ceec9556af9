"""Names and sentences as matplotlib shows them: literally, short, in lines."""

from __future__ import annotations

import textwrap
from typing import Any


def plain(text: Any) -> str:
    """Text that matplotlib does not read as mathematics."""
    return str(text).replace("$", r"\$")


def short(text: Any, most: int = 22) -> str:
    """A label of at most so many characters, cut in the middle, as plain text."""
    label = str(text)
    if len(label) > most:
        tail = (most - 1) // 2
        label = f"{label[: most - 1 - tail]}…{label[len(label) - tail :]}"
    return plain(label)


def in_lines(text: Any, most: int) -> str:
    """A long name in lines of at most so many characters, as plain text."""
    lines = textwrap.wrap(str(text), max(most, 8), break_on_hyphens=False) or [""]
    return plain("\n".join(lines))
