"""Z', Lambda, A and the pattern of L, in the order in which a fit eliminates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..core.terms import FloatArray, IntArray
from ..getme import get_me
from ..inference.nesting import unwrapped

if TYPE_CHECKING:
    from ..results import LMERResults

LARGEST_FACTOR = 300_000_000
"""Entries of L up to which they are counted."""


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a sparse matrix that are not zero by its structure.

    Attributes
    ----------
    shape : (int, int)
    rows, cols : ndarray of int, shape (entries,)
    values : ndarray, shape (entries,)
        Zero where the estimates happen to make an entry vanish.
    """

    shape: tuple[int, int]
    rows: IntArray
    cols: IntArray
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Blocks:
    """The grouping factors in the order of elimination.

    Attributes
    ----------
    names : tuple of str
    levels, columns : tuple of int
        Levels of each, and random effects of a level.
    order : ndarray of int, shape (q,)
        Where lme4's order, term by term, has each random effect.
    """

    names: tuple[str, ...]
    levels: tuple[int, ...]
    columns: tuple[int, ...]
    order: IntArray

    @property
    def borders(self) -> IntArray:
        """First random effect of each factor, and their total number."""
        sizes = [L * q for L, q in zip(self.levels, self.columns, strict=True)]
        return np.cumsum([0, *sizes])


@dataclass(frozen=True, eq=False)
class Structure:
    """Z', Lambda and A in the order of elimination; see :func:`structure`.

    Attributes
    ----------
    blocks : Blocks
    Zt, Lambda, A : Entries
        ``A`` is Lambda'Z'WZ Lambda + I.
    """

    blocks: Blocks
    Zt: Entries
    Lambda: Entries
    A: Entries

    def factor_pattern(self) -> list[IntArray]:
        """Rows below the diagonal of each column of L, the Cholesky factor of A.

        A column has those of A and of all columns whose first row below the diagonal
        it is (Davis 2006, Direct Methods for Sparse Linear Systems, section 4.1).

        Raises
        ------
        ValueError
            If they are too many.
        """
        below = self.A.rows > self.A.cols
        own = sparse.csc_array(
            (np.ones(below.sum(), np.int8), (self.A.rows[below], self.A.cols[below])),
            shape=self.A.shape,
        )
        own.sort_indices()
        n, total = self.A.shape[0], self.A.shape[0]
        found: list[IntArray] = []
        children: list[list[IntArray]] = [[] for _ in range(n)]
        present = np.zeros(n, dtype=bool)
        for j in range(n):
            parts = [own.indices[own.indptr[j] : own.indptr[j + 1]], *children[j]]
            column = _union(parts, present) if len(parts) > 1 else parts[0]
            if len(column):
                children[column[0]].append(column[1:])
            children[j] = []
            found.append(column)
            total += len(column)
            if total > LARGEST_FACTOR:
                raise ValueError(
                    f"L has more than {LARGEST_FACTOR:,} entries; leave it out of "
                    "which=."
                )
        return found


def _union(parts: list[IntArray], present: np.ndarray) -> IntArray:
    """The union of sorted sets; the largest itself where it holds the others."""
    largest = max(range(len(parts)), key=lambda k: len(parts[k]))
    base = parts.pop(largest)
    others = np.concatenate(parts)
    present[base] = True
    missing = others[~present[others]]
    present[base] = False
    return np.union1d(base, missing) if len(missing) else base


def structure(results: LMERResults) -> Structure:
    """The matrices of a fit, the random effects in the order of elimination.

    That is the order in which the fit eliminates them: the factor with most random
    effects first, or the finest where all are nested.
    """
    results = unwrapped(results)
    blocks = _blocks(results)
    order = blocks.order
    Zt = sparse.csr_array(get_me(results, "Zt"))[order]
    Zt.eliminate_zeros()
    Lambda = sparse.csr_array(get_me(results, "Lambda"))[order][:, order]
    weights = results.model.weights
    roots = None if weights is None else sparse.diags_array(np.sqrt(weights))
    U = Lambda.T @ (Zt if roots is None else Zt @ roots)
    unit = sparse.eye_array(len(order), format="csr")
    ones = _ones(_ones(Lambda).T @ _ones(Zt))
    pattern = (ones @ ones.T + unit).tocoo()
    A = (U @ U.T + unit).tocsr()
    rows, cols = pattern.row, pattern.col
    values = np.asarray(A[rows, cols], dtype=np.float64).reshape(-1)
    return Structure(
        blocks, _entries(Zt), _entries(Lambda), Entries(A.shape, rows, cols, values)
    )


def _ones(M: sparse.csr_array) -> sparse.csr_array:
    ones = M.copy()
    ones.data = np.ones(len(M.data))
    return ones


def _entries(M: sparse.csr_array) -> Entries:
    found = M.tocoo()
    return Entries(found.shape, found.row, found.col, found.data)


def _blocks(results: LMERResults) -> Blocks:
    terms = results.model.re_terms
    first = np.cumsum([0, *(t.factor.n_levels * t.q for t in terms)])
    order, blocks = [], results._likelihood().blocks
    for block in blocks:
        columns = [
            first[k] + np.arange(block.n_levels * terms[k].q).reshape(-1, terms[k].q)
            for k in block.terms
        ]
        order.append(np.hstack(columns).ravel())
    return Blocks(
        tuple(terms[block.terms[0]].name for block in blocks),
        tuple(block.n_levels for block in blocks),
        tuple(block.q for block in blocks),
        np.concatenate(order),
    )
