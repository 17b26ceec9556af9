"""The linear map from the leading block's K to its update of the trailing matrix.

Eliminating the leading block takes ``sum_i A21_i K_i A21_i'`` from A22. The sum is
linear in K, so where A21 is sparse it is one product with a sparse matrix that is
built once (docs/numerics.md); where A21 is well filled it is a matrix product.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]

MULTIPLICATIONS_A_MAP_ENTRY = 40.0
"""How many multiplications of a dense product one entry of the map costs."""


class LeadingUpdate(Protocol):
    """What both forms of the update offer."""

    def gram(self, K: FloatArray) -> FloatArray:
        """``sum_i A21_i K_i A21_i'``, shape (m, m), symmetric."""

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``A21_i' G A21_i`` of every level for a symmetric G, shape (L, q, q)."""


class DenseUpdate:
    """The update as a product of dense matrices."""

    def __init__(self, A21: FloatArray, q: int) -> None:
        self.flat = A21
        self.m, width = A21.shape
        self.q, self.L = q, width // q
        self.levels = np.ascontiguousarray(
            A21.reshape(self.m, self.L, q).transpose(1, 0, 2)
        )

    def gram(self, K: FloatArray) -> FloatArray:
        """``sum_i A21_i K_i A21_i'``, shape (m, m), symmetric."""
        if self.q == 1:
            return (self.flat * K.reshape(-1)) @ self.flat.T
        product = (self.levels @ K).transpose(1, 0, 2).reshape(self.m, -1)
        return product @ self.flat.T

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``A21_i' G A21_i`` of every level for a symmetric G, shape (L, q, q)."""
        product = G @ self.flat
        if self.q == 1:
            return np.einsum("ml,ml->l", self.flat, product).reshape(-1, 1, 1)
        product = product.reshape(self.m, self.L, self.q).transpose(1, 0, 2)
        return self.levels.transpose(0, 2, 1) @ product


class MapUpdate:
    """The update as a sparse matrix: entries of G by entries of all the K_i.

    Columns stand for the entries (i, r, s), r >= s, of the K_i, rows for the entries
    (a, b), a >= b, of G, in C order.
    """

    def __init__(self, A21: sparse.csr_array, q: int) -> None:
        self.m = A21.shape[0]
        self.q, self.L = q, A21.shape[1] // q
        self.r, self.s = np.tril_indices(q)
        indptr, rows, values = _columns_together(A21, q)
        first, second, ends = _lower_pairs(indptr)
        index = rows[first].astype(np.int64 if self.m > 46_340 else np.int32)
        index *= self.m
        index += rows[second]
        maps = []
        for r, s in zip(self.r, self.s, strict=True):
            value = values[first, r] * values[second, s]
            if r != s:
                value += values[first, s] * values[second, r]
            shape = (self.m * self.m, self.L)
            maps.append(sparse.csc_array((value, index, ends), shape=shape))
        self.map = maps[0] if q == 1 else sparse.hstack(maps, format="csc")
        self.transposed = self.map.T  # a CSR view of the same arrays

    def gram(self, K: FloatArray) -> FloatArray:
        """``sum_i A21_i K_i A21_i'``, shape (m, m), symmetric."""
        return mirrored(self.lower_gram(K))

    def lower_gram(self, K: FloatArray) -> FloatArray:
        """The lower triangle of :meth:`gram`; above it are zeros."""
        k = K.reshape(-1) if self.q == 1 else K[:, self.r, self.s].T.reshape(-1)
        lower: FloatArray = (self.map @ k).reshape(self.m, self.m)
        return lower

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``A21_i' G A21_i`` of every level for a symmetric G, shape (L, q, q)."""
        doubled = 2.0 * G
        doubled.flat[:: self.m + 1] *= 0.5
        return self.lower_adjoint(doubled)

    def lower_adjoint(self, doubled: FloatArray) -> FloatArray:
        """:meth:`adjoint` of the G whose lower triangle is given.

        Entries below the diagonal are doubled, those above it of no account.
        """
        k = self.transposed @ doubled.reshape(-1)
        if self.q == 1:
            return k.reshape(-1, 1, 1)
        result = np.empty((self.L, self.q, self.q))
        k = k.reshape(-1, self.L).T
        k = k * np.where(self.r == self.s, 1.0, 0.5)  # off-diagonals of K count twice
        result[:, self.r, self.s] = k
        result[:, self.s, self.r] = k
        return result


def _columns_together(
    A21: sparse.csr_array, q: int
) -> tuple[NDArray[Any], NDArray[np.int32], FloatArray]:
    """The q columns of each level on their common pattern: indptr, rows, values."""
    if q == 1:
        columns = A21.tocsc()
        columns.sort_indices()
        return columns.indptr, columns.indices, columns.data[:, None]
    m, L = A21.shape[0], A21.shape[1] // q
    entries = A21.tocoo()
    level, column = np.divmod(entries.col.astype(np.int64), q)
    keys, where = np.unique(level * m + entries.row, return_inverse=True)
    values = np.zeros((len(keys), q))
    values[where.reshape(-1), column] = entries.data
    counts = np.bincount(keys // m, minlength=L)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return indptr, (keys % m).astype(np.int32), values


def _lower_pairs(
    indptr: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pairs (a, b), b not after a, of the entries of each column.

    Returns the positions of a and of b, and where each column's pairs end.
    """
    lengths = np.diff(indptr)
    total = int((lengths.astype(np.int64) * (lengths + 1) // 2).sum())
    kind: Any = np.int32 if total < 2**31 else np.int64
    start = np.repeat(indptr[:-1].astype(kind), lengths)
    partners = np.arange(1, len(start) + 1, dtype=kind) - start  # 1, 2, ... a column
    ends = np.cumsum(partners, dtype=kind)
    first = np.repeat(np.arange(len(start), dtype=kind), partners)
    second = np.arange(total, dtype=kind)
    second -= np.repeat(ends - partners - start, partners)
    column_ends = np.concatenate([[0], ends])[indptr]
    return first, second, column_ends.astype(kind)


def mirrored(lower: FloatArray) -> FloatArray:
    """The symmetric matrix whose lower triangle is given, the upper one being 0."""
    full = lower + lower.T
    full.flat[:: len(full) + 1] *= 0.5
    return full


def leading_update(A21: sparse.csr_array, q: int) -> LeadingUpdate:
    """Choose the cheaper form of the update."""
    m, width = A21.shape
    products = float(m) * m * width
    a_level = np.bincount(A21.indices // q, minlength=width // q).astype(float)
    entries = float((a_level**2).sum())
    if products <= MULTIPLICATIONS_A_MAP_ENTRY * entries or products < 1e6:
        return DenseUpdate(A21.toarray(), q)
    return MapUpdate(A21, q)
