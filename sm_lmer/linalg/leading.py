"""The linear map from the leading block's K to its update of the trailing matrix.

Eliminating the leading block takes ``sum_i A21_i K_i A21_i'`` from A22. The sum is
linear in K, so where A21 is sparse it is one product with a sparse matrix that is
built once (DESIGN.md 3.3); where A21 is well filled it is a matrix product.
"""

from __future__ import annotations

from typing import Protocol

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
    (a, b), a >= b, of G.
    """

    def __init__(self, A21: sparse.csr_array, q: int) -> None:
        self.m = A21.shape[0]
        self.q = q
        self.L = A21.shape[1] // q
        lower = np.tril_indices(q)
        self.r, self.s = lower
        columns = A21.tocsc()
        columns.sort_indices()
        maps = [
            _pair_map(columns[:, r::q], columns[:, s::q], symmetric=r == s)
            for r, s in zip(*lower, strict=True)
        ]
        self.map = maps[0] if q == 1 else sparse.hstack(maps, format="csc")
        self.transposed = self.map.T  # a CSR view of the same arrays

    def gram(self, K: FloatArray) -> FloatArray:
        """``sum_i A21_i K_i A21_i'``, shape (m, m), symmetric."""
        k = K.reshape(-1) if self.q == 1 else K[:, self.r, self.s].T.reshape(-1)
        return mirrored((self.map @ k).reshape(self.m, self.m))

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``A21_i' G A21_i`` of every level for a symmetric G, shape (L, q, q)."""
        doubled = 2.0 * G
        doubled.flat[:: self.m + 1] *= 0.5
        k = self.transposed @ doubled.reshape(-1)
        if self.q == 1:
            return k.reshape(-1, 1, 1)
        result = np.empty((self.L, self.q, self.q))
        k = k.reshape(-1, self.L).T
        off = np.where(self.r == self.s, 1.0, 0.5)  # K's off-diagonals count twice
        result[:, self.r, self.s] = k * off
        result[:, self.s, self.r] = k * off
        return result


def mirrored(lower: FloatArray) -> FloatArray:
    """The symmetric matrix whose lower triangle is given, the upper one being 0."""
    full = lower + lower.T
    full.flat[:: len(full) + 1] *= 0.5
    return full


def _pair_map(
    left: sparse.csc_array, right: sparse.csc_array, symmetric: bool
) -> sparse.csc_array:
    """Column i: the lower triangle of l_i r_i' (plus its transpose unless equal)."""
    m, L = left.shape
    pieces = [_pairs(left, right)]
    if not symmetric:
        pieces.append(_pairs(right, left))
    maps = []
    for level, a, b, value in pieces:
        keep = a >= b
        index = a[keep].astype(np.int64) * m + b[keep]
        counts = np.bincount(level[keep], minlength=L)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        maps.append(sparse.csc_array((value[keep], index, indptr), shape=(m * m, L)))
    return maps[0] if symmetric else maps[0] + maps[1]


def _pairs(
    left: sparse.csc_array, right: sparse.csc_array
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32], FloatArray]:
    """All pairs of entries that the columns i of two matrices hold, level by level."""
    nl, nr = np.diff(left.indptr), np.diff(right.indptr)
    level = np.repeat(np.arange(len(nl)), nl * nr)
    first = np.repeat(np.arange(left.nnz), np.repeat(nr, nl))
    within = np.arange(len(level)) - np.repeat(np.cumsum(nl * nr) - nl * nr, nl * nr)
    second = right.indptr[level] + within % nr[level]
    return (
        level,
        left.indices[first],
        right.indices[second],
        left.data[first] * right.data[second],
    )


def leading_update(A21: sparse.csr_array, q: int) -> LeadingUpdate:
    """Choose the cheaper form of the update."""
    m, width = A21.shape
    products = float(m) * m * width
    a_level = np.bincount(A21.indices // q, minlength=width // q).astype(float)
    entries = float((a_level**2).sum())
    if products <= MULTIPLICATIONS_A_MAP_ENTRY * entries or products < 1e6:
        return DenseUpdate(A21.toarray(), q)
    return MapUpdate(A21, q)
