"""Solvers for the trailing Schur complement S, behind one interface.

A solver has ``factor(K, Ts)``, which eliminates the leading block, scales by the
templates and returns a factor with ``logdet``, ``solve``, ``gradient`` and
``inverse_blocks``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..compat.cholmod import HAS_CHOLMOD
from . import choice
from .dense import DenseFactor, DenseSolver
from .krylov import Krylov, KrylovFactor, KrylovSolver
from .layout import Layout
from .nested import Levels, NestedFactor, NestedSolver, parents
from .sparse import SparseFactor, SparseSolver, trailing_pattern

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

Solver = DenseSolver | NestedSolver | SparseSolver | KrylovSolver
Factor = DenseFactor | NestedFactor | SparseFactor | KrylovFactor

SOLVERS = ("auto", "dense", "nested", "sparse", "cholmod", "superlu", "krylov")

NESTED_FROM = 40
"""Trailing columns from which on elimination beats the dense solver."""

DENSE_ALWAYS = 300
"""Up to this many trailing columns the dense solver is never slower."""

FILLED = 0.25
"""Share of entries of S from which on its factor is taken to be full."""


def make_solver(
    name: str | Krylov, cross: CrossProducts, layout: Layout, codes: Sequence[Levels]
) -> Solver | None:
    """Build the named solver; None where there is nothing to solve.

    Parameters
    ----------
    name : str or Krylov
        One of :data:`SOLVERS`, or the Krylov solver with its settings.
    cross : CrossProducts
    layout : Layout
    codes : sequence of ndarray, shape (n,)
        Levels of the rows in each grouping block, the leading one first.

    Raises
    ------
    ValueError
        For an unknown name.
    MemoryError
        If the solver would need more memory than there is.
    """
    if isinstance(name, Krylov):
        return None if layout.m == 0 else KrylovSolver(cross, layout, name)
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
        return _cheapest(cross, layout)
    if name == "dense":
        return _dense(cross, layout)
    if name == "krylov":
        return KrylovSolver(cross, layout, Krylov())
    choice.check_memory(choice.map_bytes(cross), layout, "")
    solver = SparseSolver(cross, layout, _library(name))
    choice.check_memory(choice.sparse_bytes(solver.structure), layout, "")
    return solver


def _may_nest(name: str, layout: Layout) -> bool:
    """Whether nesting is worth a look: small trailing parts are as fast dense."""
    return name == "nested" or layout.m > NESTED_FROM


def _library(name: str) -> str:
    if name in ("auto", "sparse"):
        return "cholmod" if HAS_CHOLMOD else "superlu"
    return name


def _dense(cross: CrossProducts, layout: Layout) -> DenseSolver:
    advice = ", or try solver='sparse' or 'auto'"
    choice.check_memory(choice.dense_bytes(layout.m), layout, advice)
    return DenseSolver(cross, layout)


def _cheapest(cross: CrossProducts, layout: Layout) -> Solver:
    """Dense where S is small or fills, sparse where that takes less time.

    The sparse factor's blocks are found without a number being factored, and what was
    found is kept if the sparse solver is chosen.
    """
    m = layout.m
    if m <= DENSE_ALWAYS:
        return DenseSolver(cross, layout)
    if _surely_filled(cross, m):
        return _dense(cross, layout)
    choice.check_memory(choice.map_bytes(cross), layout, "")
    pattern = trailing_pattern(cross, layout)
    if pattern.filled() > FILLED:
        return _dense(cross, layout)
    solver = SparseSolver(cross, layout, _library("auto"), pattern)
    if solver.structure.seconds < choice.dense_seconds(m):
        choice.check_memory(choice.sparse_bytes(solver.structure), layout, "")
        return solver
    return _dense(cross, layout)


def _surely_filled(cross: CrossProducts, m: int) -> bool:
    """Whether so many pairs meet in the leading levels that S is well filled."""
    q = cross.A11.shape[1]
    return choice.pairs(cross) > 2 * FILLED * m * m and cross.A21.nnz / q > m


__all__ = [
    "Factor",
    "Krylov",
    "KrylovFactor",
    "KrylovSolver",
    "Layout",
    "Solver",
    "SparseFactor",
    "make_solver",
]
