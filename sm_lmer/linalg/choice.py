"""Which solver takes the least time, and whether it fits in memory.

Times are for one evaluation with its gradient on one core, and need not be exact: what
they decide between differs by factors. Bytes count what is held at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .layout import Layout
from .structure import SECONDS_A_MULTIPLICATION, Structure

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

SECONDS_A_DENSE_ENTRY = 4e-8
"""Building a dense S, and its adjoint, an entry; a rough guess."""

DENSE_MATRICES = 4
"""Matrices of S's size that the dense solver holds at once."""

BYTES_A_PAIR = 24
"""Of the map from K to S, for each pair of entries that meet in a leading level."""

SHARE = 0.9
"""Of the memory that is free, what a fit may take."""

GIB = 2.0**30


def dense_seconds(m: int) -> float:
    """Estimated time of one evaluation with m trailing columns, densely."""
    return SECONDS_A_MULTIPLICATION * m**3 + SECONDS_A_DENSE_ENTRY * m**2


def dense_bytes(m: int) -> float:
    """Memory of the dense solver."""
    return 8.0 * DENSE_MATRICES * float(m) ** 2


def sparse_bytes(structure: Structure) -> float:
    """Memory of the sparse solver's factor, inverse and updates."""
    return 8.0 * (2.0 * structure.entries + 3.0 * structure.updates_at_once())


def pairs(cross: CrossProducts) -> float:
    """Pairs of trailing columns that meet in leading levels, repeats counted."""
    L, q, _ = cross.A11.shape
    a_level = np.bincount(cross.A21.indices // q, minlength=L) / q
    return float((a_level**2).sum() / 2.0)


def map_bytes(cross: CrossProducts) -> float:
    """Memory of the map from K to the entries of S."""
    q = cross.A11.shape[1]
    return BYTES_A_PAIR * pairs(cross) * q * (q + 1) / 2


def check_memory(needed: float, layout: Layout, advice: str) -> None:
    """Refuse a fit that would not fit in memory, before it starts.

    Raises
    ------
    MemoryError
        With the estimate, what is free, and what to do.
    """
    free = available_bytes()
    if needed <= SHARE * free:
        return
    levels = max(levels for _, levels, _ in layout.parts)
    raise MemoryError(
        f"the random effects of all grouping factors but the largest are {layout.m:,} "
        f"together and their matrix needs about {needed / GIB:.1f} GiB, where "
        f"{free / GIB:.1f} GiB are free: drop or pool levels of the factor with "
        f"{levels:,} levels, simplify its term{advice}; or fit with solver='krylov', "
        "which needs little memory, at a Monte Carlo error."
    )


def available_bytes() -> float:
    """Memory that this process can still take, as far as the system tells."""
    limits = [_free_memory()]
    group = Path("/sys/fs/cgroup")
    for limit, used, statistics, cache in (
        ("memory.max", "memory.current", "memory.stat", "file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_cache",
        ),
    ):
        top, now = _number(group / limit), _number(group / used)
        if top is not None:
            held = (now or 0.0) - _field(group / statistics, cache)
            limits.append(top - held)
    return max(0.0, min(limits))


def _field(path: Path, name: str) -> float:
    """A number of a file of names and numbers; files are cached, and give way."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.split()[:1] == [name]]
    return float(found[0]) if found else 0.0


def _free_memory() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return 1024.0 * float(line.split()[1])
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not every system knows
        return np.inf


def _number(path: Path) -> float | None:
    """What a file of the control groups says, if it says a number."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
