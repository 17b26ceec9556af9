"""Products with G = A22 - sum_i A21_i K_i A21_i', assembled or through its pieces.

Where few trailing levels meet in the leading ones, the entries of G come from one
sparse map (:mod:`.pattern`), and a product costs one pass over them. Where G would
fill, products go through A21 and its transpose and nothing is formed but the diagonal
blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from . import choice
from .layout import Layout
from .pattern import BlockPattern
from .small import product as level_products

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]

MAP_SHARE = 0.15
"""Of the memory that is free, what the map to the entries of G may take."""

PAIRS_AN_ENTRY = 10.0
"""Pairs an entry of A21 beyond which the map costs more than it saves."""

ALWAYS_MAPPED = 1e6
"""Pairs up to which that does not matter."""

LEADING_PASS = 1.5
"""What an entry of A21 costs in a pass over it, in passes over an entry of G."""


class Matrix(Protocol):
    """G at one K, or its change along a direction of K (with the sign left out).

    Attributes
    ----------
    blocks : list of ndarray, shape (levels, q, q)
        The diagonal blocks of each trailing part.
    """

    blocks: list[FloatArray]

    def product(self, X: FloatArray) -> FloatArray:
        """The matrix times X, shape (m, c)."""


class Operator(Protocol):
    """Makes G for any K, shape (L, q, q).

    Attributes
    ----------
    leading : tuple of int
        L and q.
    """

    leading: tuple[int, int]

    def at(self, K: FloatArray) -> Matrix:
        """G."""

    def change(self, K: FloatArray) -> Matrix:
        """``sum_i A21_i K_i A21_i'``, the change of -G along a symmetric K."""


def make_operator(
    cross: CrossProducts, A21t: sparse.csr_array, layout: Layout
) -> Operator:
    """The form whose products take less time, if its map fits in memory."""
    few = choice.pairs(cross) <= max(ALWAYS_MAPPED, PAIRS_AN_ENTRY * cross.A21.nnz)
    if few and choice.map_bytes(cross) <= MAP_SHARE * choice.available_bytes():
        pattern = BlockPattern(cross.A21, cross.A22, cross.A11.shape[:2], layout)
        entries = 2.0 * sum(pairs.base.size for pairs in pattern.pairs)
        if entries <= 2.0 * LEADING_PASS * cross.A21.nnz + cross.A22.nnz:
            return Assembled(pattern)
    return MatrixFree(cross, A21t, layout)


class Assembled:
    """Entries of G on its pattern, as one sparse matrix."""

    def __init__(self, pattern: BlockPattern) -> None:
        self.pattern, self.m = pattern, pattern.layout.m
        self.leading = (pattern.L, pattern.q)
        rows, columns = pattern.entries()
        once = np.concatenate(
            [np.repeat(p.weights == 1.0, p.base.shape[1]) for p in pattern.pairs]
        )
        number = np.arange(len(rows), dtype=np.int32)
        # float64 holds the numbers exactly while the matrix is brought in order
        placed = sparse.coo_array(
            (
                np.concatenate([number, number[once]]).astype(np.float64),
                (
                    np.concatenate([rows, columns[once]]).astype(np.int32),
                    np.concatenate([columns, rows[once]]).astype(np.int32),
                ),
            ),
            shape=(self.m, self.m),
        ).tocsr()
        self.indices, self.indptr = placed.indices, placed.indptr
        self.number = placed.data.astype(np.int32)

    def at(self, K: FloatArray) -> AssembledMatrix:
        """See :class:`Operator`."""
        return AssembledMatrix(self, self.pattern.update(K))

    def change(self, K: FloatArray) -> AssembledMatrix:
        """See :class:`Operator`."""
        update = self.pattern.update(K)
        pairs = zip(self.pattern.pairs, update, strict=True)
        return AssembledMatrix(self, [p.base - values for p, values in pairs])


class AssembledMatrix:
    """See :class:`Matrix`."""

    def __init__(self, operator: Assembled, entries: list[FloatArray]) -> None:
        self.blocks = [
            values[pairs.diagonal].reshape(-1, pairs.widths[0], pairs.widths[0])
            for pairs, values in zip(operator.pattern.pairs, entries, strict=True)
            if pairs.parts[0] == pairs.parts[1]
        ]
        data = np.concatenate([values.ravel() for values in entries])
        self.matrix = sparse.csr_array(
            (data[operator.number], operator.indices, operator.indptr),
            shape=(operator.m, operator.m),
        )

    def product(self, X: FloatArray) -> FloatArray:
        """The matrix times X."""
        result: FloatArray = self.matrix @ X
        return result


class MatrixFree:
    """G through A21, K and A22."""

    def __init__(
        self, cross: CrossProducts, A21t: sparse.csr_array, layout: Layout
    ) -> None:
        self.A21, self.A21t, self.A22 = cross.A21, A21t, cross.A22
        L, q, _ = cross.A11.shape
        self.leading = (L, q)
        self.own = [
            _DiagonalBlocks(cross.A21[rows], width, q)
            for rows, _, width in layout.parts
        ]
        self.base = [
            _diagonal_of(cross.A22, rows, levels, width)
            for rows, levels, width in layout.parts
        ]

    def at(self, K: FloatArray) -> MatrixFreeMatrix:
        """See :class:`Operator`."""
        changes = [own.sums(K) for own in self.own]
        blocks = [a - b for a, b in zip(self.base, changes, strict=True)]
        return MatrixFreeMatrix(self, K, blocks, changed=False)

    def change(self, K: FloatArray) -> MatrixFreeMatrix:
        """See :class:`Operator`."""
        return MatrixFreeMatrix(self, K, [own.sums(K) for own in self.own], True)


class MatrixFreeMatrix:
    """See :class:`Matrix`."""

    def __init__(
        self,
        operator: MatrixFree,
        K: FloatArray,
        blocks: list[FloatArray],
        changed: bool,
    ) -> None:
        self.operator, self.K, self.blocks = operator, K, blocks
        self.changed = changed

    def product(self, X: FloatArray) -> FloatArray:
        """The matrix times X."""
        operator = self.operator
        V = (operator.A21t @ X).reshape(*operator.leading, X.shape[1])
        if self.K.shape[1] == 1:
            V *= self.K
        else:
            V = level_products(self.K, V)
        through: FloatArray = operator.A21 @ V.reshape(-1, X.shape[1])
        if self.changed:
            return through
        result: FloatArray = operator.A22 @ X
        result -= through
        return result


class _DiagonalBlocks:
    """The diagonal blocks of ``sum_i A21_i K_i A21_i'`` for one trailing part."""

    def __init__(self, A21: sparse.csr_array, q: int, q1: int) -> None:
        self.q, self.q1 = q, q1
        L = A21.shape[1] // q1
        if q == q1 == 1:
            squares = A21.data * A21.data
            self.maps = [(0, 0, _like(squares, A21, L))]
            return
        blocks = A21.tobsr(blocksize=(q, q1))
        self.maps = []
        for a in range(q):
            for b in range(a + 1):
                left, right = blocks.data[:, a], blocks.data[:, b]
                both = left[:, :, None] * right[:, None, :]
                # one row a level and column of K's entries, the entries of a level
                # next to each other
                indices = blocks.indices[:, None].astype(np.int64) * q1 * q1
                indices = (indices + np.arange(q1 * q1)).ravel()
                matrix = sparse.csr_array(
                    (both.ravel(), indices, blocks.indptr * (q1 * q1)),
                    shape=(A21.shape[0] // q, L * q1 * q1),
                )
                self.maps.append((a, b, matrix))

    def sums(self, K: FloatArray) -> FloatArray:
        """The blocks for K, shape (levels, q, q)."""
        out = np.empty((self.maps[0][2].shape[0], self.q, self.q))
        for a, b, matrix in self.maps:
            out[:, a, b] = out[:, b, a] = matrix @ K.reshape(-1)
        return out


def _like(data: FloatArray, A: sparse.csr_array, columns: int) -> sparse.csr_array:
    """Other values in the pattern of A."""
    return sparse.csr_array((data, A.indices, A.indptr), shape=(A.shape[0], columns))


def _diagonal_of(A22: sparse.csr_array, rows: slice, levels: int, q: int) -> FloatArray:
    """The diagonal blocks of A22 in one part, shape (levels, q, q)."""
    if q == 1:
        diagonal: Any = A22.diagonal()[rows]
        return np.asarray(diagonal).reshape(-1, 1, 1)
    own = A22[rows, rows].tocoo()
    inside = own.row // q == own.col // q
    row, col = own.row[inside], own.col[inside]
    out = np.zeros((levels, q, q))
    out[row // q, row % q, col % q] = own.data[inside]
    return out
