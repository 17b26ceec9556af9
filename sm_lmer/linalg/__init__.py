"""Solvers for the trailing Schur complement S, behind one interface.

A solver has ``factor(K, Ts)``, which eliminates the leading block, scales by the
templates and returns a factor with ``logdet``, ``solve`` and ``inverse_blocks``;
``has_gradient`` says whether the factor also has ``gradient``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..compat.cholmod import HAS_CHOLMOD
from .dense import DenseFactor, DenseSolver
from .layout import Layout
from .nested import Levels, NestedFactor, NestedSolver, parents
from .sparse import SparseFactor, SparseSolver, factor_nonzeros, trailing_matrix

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

Solver = DenseSolver | NestedSolver | SparseSolver
Factor = DenseFactor | NestedFactor | SparseFactor

SOLVERS = ("auto", "dense", "nested", "sparse", "cholmod", "superlu")

NESTED_FROM = 40
"""Trailing columns from which on elimination beats the dense solver."""

DENSE_ALWAYS = 300
"""Up to this many trailing columns the dense solver is never slower."""

DENSE_LIMIT = 12_000
"""Trailing columns a dense S may have on a machine with 24 GiB."""

FILLED = 0.25
"""Share of entries from which on a sparse factor is slower than a dense one."""


def make_solver(
    name: str, cross: CrossProducts, layout: Layout, codes: Sequence[Levels]
) -> Solver | None:
    """Build the named solver; None where there is nothing to solve.

    Parameters
    ----------
    name : str
        One of :data:`SOLVERS`.
    cross : CrossProducts
    layout : Layout
    codes : sequence of ndarray, shape (n,)
        Levels of the rows in each grouping block, the leading one first.

    Raises
    ------
    ValueError
        For an unknown name.
    MemoryError
        If S is too large and too filled to be factored in memory.
    """
    if name not in SOLVERS:
        raise ValueError(
            f"unknown solver {name!r}; choose one of {', '.join(SOLVERS)}."
        )
    if layout.m == 0:
        return None
    if name in ("auto", "nested"):
        counts = [len(cross.A11), *(levels for _, levels, _ in layout.parts)]
        parent = parents(codes, counts) if _may_nest(name, layout) else None
        if parent is not None:
            return NestedSolver(cross, layout, parent)
        if name == "nested":
            raise ValueError(
                "solver='nested' needs each grouping factor nested in the next; "
                "use solver='auto'."
            )
        name = _choose(cross, layout)
    if name == "sparse":
        name = "cholmod" if HAS_CHOLMOD else "superlu"
    if name == "dense":
        return DenseSolver(cross, layout)
    return SparseSolver(cross, layout, name)


def _may_nest(name: str, layout: Layout) -> bool:
    """Whether nesting is worth a look: small trailing parts are as fast dense."""
    return name == "nested" or layout.m > NESTED_FROM


def _choose(cross: CrossProducts, layout: Layout) -> str:
    """Dense where S is small or fills, sparse where its factor stays sparse."""
    m = layout.m
    if m <= DENSE_ALWAYS:
        return "dense"
    L, q, _ = cross.A11.shape
    a_level = np.bincount(cross.A21.indices // q, minlength=L).astype(float)
    if m <= DENSE_LIMIT and (a_level**2).sum() > 4 * FILLED * m * m:
        return "dense"  # so many pairs meet in a leading level that S is well filled
    ones = np.broadcast_to(np.eye(q) * 1e-3, (L, q, q))
    S = trailing_matrix(cross, layout, ones, [np.eye(k) for _, _, k in layout.parts])
    if S.nnz > FILLED * m * m:
        filled = True
    elif m > DENSE_LIMIT and S.nnz > 100 * m:
        return "sparse"
    else:
        filled = factor_nonzeros(S) > FILLED * m * m
    if not filled:
        return "sparse"
    if m > DENSE_LIMIT:
        raise MemoryError(
            f"the trailing matrix has {m:,} columns and fills, so its dense factor "
            f"needs {8e-9 * 3 * m * m:.0f} GB; drop a random-effects term or pool "
            "levels."
        )
    return "dense"


__all__ = ["Factor", "Layout", "Solver", "SparseFactor", "make_solver"]
