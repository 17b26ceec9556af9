"""The trailing matrix on its pattern alone: what K gives, and what its adjoint takes.

Eliminating the leading block makes two trailing levels meet where they meet in a row
of the data or in a leading level. Which ones do is known beforehand, so G and S are
kept as arrays of small blocks, one for each pair of levels, and the update of G is one
product with a sparse matrix built once (docs/numerics.md). Entries that vanish at some
theta stay in the pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .layout import Layout

FloatArray = NDArray[np.float64]
Index = NDArray[Any]

PAIRS_AT_ONCE = 100_000
"""Blocks whose products with the fixed part are held in memory together."""


class Pairs:
    """The blocks of the trailing matrix in rows of one factor, columns of another.

    Parameters
    ----------
    parts : tuple of int
        Row part j and column part k <= j; for j = k the pairs have row >= column.
    entries : tuple of _Entries
        What A21 has of the two parts.
    A22 : csr_array
        Rows of part j and columns of part k of A22.
    widths : tuple of int
        Columns of a level of the two parts.

    Attributes
    ----------
    rows, columns : ndarray of int, shape (b,)
        Levels of each pair.
    weights : ndarray, shape (b,)
        1 for pairs of different levels, which stand for two blocks, else 1/2.
    base : ndarray, shape (b, q_j * q_k)
        Blocks of A22.
    """

    def __init__(
        self,
        parts: tuple[int, int],
        entries: tuple[_Entries, _Entries],
        A22: sparse.csr_array,
        widths: tuple[int, int],
    ) -> None:
        self.parts, self.widths = parts, widths
        left, right = entries
        first, second, ends = _pairs_of_entries(left, right)
        direct = A22.tocoo()
        counts = (A22.shape[0] // widths[0], A22.shape[1] // widths[1])
        i, j = direct.row // widths[0], direct.col // widths[1]
        keep = i >= j if parts[0] == parts[1] else np.ones(len(i), dtype=bool)
        i, j = i[keep].astype(np.int64), j[keep].astype(np.int64)
        met = left.levels[first].astype(np.int64) * counts[1] + right.levels[second]
        keys, at = _distinct(np.concatenate([met, i * counts[1] + j]), counts)
        self.rows, self.columns = np.divmod(keys, counts[1])
        own = (self.rows == self.columns) & (parts[0] == parts[1])
        self.weights = np.where(own, 0.5, 1.0)
        q = widths[0] * widths[1]
        inside = (direct.row % widths[0]) * widths[1] + direct.col % widths[1]
        base = np.bincount(
            at[len(met) :] * q + inside[keep],
            weights=direct.data[keep],
            minlength=len(keys) * q,
        )
        self.base = base.astype(np.float64, copy=False).reshape(-1, q)
        shape = (len(keys) * q, len(ends) - 1)
        self.map = _map(left, right, (first, second, ends), at[: len(met)], shape)
        self.transposed = self.map.T

    @property
    def diagonal(self) -> Index:
        """Which blocks stand on the diagonal, in the order of the levels."""
        return np.flatnonzero(self.weights == 0.5)


class _Entries:
    """The entries of A21 in one part, leading level by leading level.

    Attributes
    ----------
    indptr : ndarray of int, shape (L + 1,)
    levels : ndarray of int, shape (e,)
        Trailing levels that meet each leading level.
    values : ndarray, shape (e, q, q1)
    """

    def __init__(self, A21: sparse.csr_array, q: int, q1: int) -> None:
        L, levels = A21.shape[1] // q1, A21.shape[0] // q
        if q == q1 == 1:
            columns = A21.tocsc()
            columns.sort_indices()
            self.indptr, self.levels = columns.indptr, columns.indices
            self.values = columns.data.reshape(-1, 1, 1)
            return
        cells = A21.tocoo()
        level, c = np.divmod(cells.col.astype(np.int64), q1)
        node, r = np.divmod(cells.row.astype(np.int64), q)
        keys, at = np.unique(level * levels + node, return_inverse=True)
        self.values = np.zeros((len(keys), q, q1))
        self.values[at, r, c] = cells.data
        self.levels = keys % levels
        counts = np.bincount(keys // levels, minlength=L)
        self.indptr = np.concatenate([[0], np.cumsum(counts)])


def _pairs_of_entries(left: _Entries, right: _Entries) -> tuple[Index, Index, Index]:
    """Entries of both parts in the same leading level, and where each level ends.

    Within one part, only pairs whose first entry is not before the second.
    """
    counts = np.diff(right.indptr).astype(np.int64)
    level = np.repeat(np.arange(len(counts)), np.diff(left.indptr))
    begin = right.indptr[:-1].astype(np.int64)[level]
    if left is right:
        partners = np.arange(1, len(level) + 1) - begin
    else:
        partners = counts[level]
    ends = np.concatenate([[0], np.cumsum(partners)])
    first = np.repeat(np.arange(len(level), dtype=np.int32), partners)
    second = np.arange(ends[-1]) - np.repeat(ends[:-1] - begin, partners)
    return first, second, ends[left.indptr]


def _distinct(keys: Index, counts: tuple[int, int]) -> tuple[Index, Index]:
    """Distinct keys, sorted, and where each of the given ones is among them."""
    if counts[0] * counts[1] > 8 * len(keys) + 10_000_000:
        distinct, at = np.unique(keys, return_inverse=True)
        return distinct, at
    number = np.zeros(counts[0] * counts[1], dtype=np.int32)
    number[keys] = 1
    distinct = np.flatnonzero(number)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[keys]


def _map(
    left: _Entries,
    right: _Entries,
    pairs: tuple[Index, Index, Index],
    at: Index,
    shape: tuple[int, int],
) -> sparse.csc_array:
    """Entries of the blocks by entries (r, s, i), r >= s, of the K_i."""
    first, second, ends = pairs
    q = left.values.shape[1] * right.values.shape[1]
    large = shape[0] > 2**31 - 1 or len(first) * q > 2**31 - 1
    kind: Any = np.int64 if large else np.int32
    index = (at.astype(kind)[:, None] * q + np.arange(q, dtype=kind)).ravel()
    indptr = (ends * q).astype(kind)
    maps = []
    for r, s in zip(*np.tril_indices(left.values.shape[2]), strict=True):
        a, b = left.values[first][:, :, None], right.values[second][:, None, :]
        value = a[..., r] * b[..., s]
        if r != s:
            value += a[..., s] * b[..., r]
        maps.append(sparse.csc_array((value.ravel(), index, indptr), shape=shape))
    return maps[0] if len(maps) == 1 else sparse.hstack(maps, format="csc")


class BlockPattern:
    """All pairs of trailing levels that meet, and the matrices on them.

    A matrix is a list of arrays of blocks, shape (b, q_j * q_k), one for each of
    `pairs`; the blocks above the diagonal are left out.
    """

    def __init__(
        self,
        A21: sparse.csr_array,
        A22: sparse.csr_array,
        leading: tuple[int, int],
        layout: Layout,
    ) -> None:
        self.layout = layout
        self.L, self.q = leading
        self.r, self.s = np.tril_indices(self.q)
        parts = layout.parts
        entries = [_Entries(A21[rows], width, self.q) for rows, _, width in parts]
        self.pairs = [
            Pairs(
                (j, k),
                (entries[j], entries[k]),
                sparse.csr_array(A22[parts[j][0], parts[k][0]]),
                (parts[j][2], parts[k][2]),
            )
            for j in range(len(parts))
            for k in range(j + 1)
        ]

    def filled(self) -> float:
        """Share of the entries of S that are in the pattern."""
        counted = sum(float(2.0 * p.base.size * p.weights.mean()) for p in self.pairs)
        return counted / float(self.layout.m) ** 2

    def nodes(self) -> tuple[Index, Index, Index]:
        """Rows and columns of the pairs among all trailing levels, and their widths."""
        levels = [levels for _, levels, _ in self.layout.parts]
        firsts = np.cumsum([0, *levels])
        rows = [pairs.rows + firsts[pairs.parts[0]] for pairs in self.pairs]
        columns = [pairs.columns + firsts[pairs.parts[1]] for pairs in self.pairs]
        widths = np.repeat([q for _, _, q in self.layout.parts], levels)
        return np.concatenate(rows), np.concatenate(columns), widths

    def entries(self) -> tuple[Index, Index]:
        """Rows and columns of all entries of a matrix, block by block."""
        rows, columns = [], []
        for pairs in self.pairs:
            (j, k), (q, p) = pairs.parts, pairs.widths
            row = self.layout.parts[j][0].start + pairs.rows * q
            column = self.layout.parts[k][0].start + pairs.columns * p
            rows.append((row[:, None] + np.repeat(np.arange(q), p)).ravel())
            columns.append((column[:, None] + np.tile(np.arange(p), q)).ravel())
        return np.concatenate(rows), np.concatenate(columns)

    def update(self, K: FloatArray) -> list[FloatArray]:
        """G = A22 - sum_i A21_i K_i A21_i' for K, shape (L, q, q)."""
        k = K.reshape(-1) if self.q == 1 else K[:, self.r, self.s].T.reshape(-1)
        return [
            pairs.base - (pairs.map @ k).reshape(pairs.base.shape)
            for pairs in self.pairs
        ]

    def scaled(
        self, G: Sequence[FloatArray], Ts: Sequence[FloatArray]
    ) -> list[FloatArray]:
        """T2' G T2."""
        return [
            g @ np.kron(Ts[pairs.parts[0]], Ts[pairs.parts[1]])
            for pairs, g in zip(self.pairs, G, strict=True)
        ]

    def add_outer(
        self, S: Sequence[FloatArray], left: FloatArray, right: FloatArray
    ) -> None:
        """S += left right' in place, for a symmetric product of (m, c) matrices."""
        for pairs, values in zip(self.pairs, S, strict=True):
            (j, k), (q, p) = pairs.parts, pairs.widths
            a = left[self.layout.parts[j][0]].reshape(-1, q, left.shape[1])
            b = right[self.layout.parts[k][0]].reshape(-1, p, left.shape[1])
            for first in range(0, len(values), PAIRS_AT_ONCE):
                part = slice(first, first + PAIRS_AT_ONCE)
                rows, columns = a[pairs.rows[part]], b[pairs.columns[part]]
                product = np.einsum("nrc,nsc->nrs", rows, columns)
                values[part] += product.reshape(-1, q * p)

    def adjoints(
        self, G: Sequence[FloatArray], S: Sequence[FloatArray], Ts: Sequence[FloatArray]
    ) -> tuple[list[FloatArray], FloatArray]:
        """Derivatives through S = T2' G T2 for a symmetric derivative in S.

        Returns
        -------
        T2 : list of ndarray, shape (q, q)
            Diagonal blocks of 2 G T2 S, summed over the levels.
        AGA : ndarray, shape (L, q, q)
            A21_i' T2 S T2' A21_i.
        """
        T2 = [np.zeros_like(T) for T in Ts]
        for pairs, g, s in zip(self.pairs, G, S, strict=True):
            (j, k), (q, p) = pairs.parts, pairs.widths
            C = (g.T @ (s * pairs.weights[:, None])).reshape(q, p, q, p)
            T2[j] += 2.0 * np.einsum("abrs,bs->ar", C, Ts[k])
            T2[k] += 2.0 * np.einsum("abrs,ar->bs", C, Ts[j])
        return T2, self.leading_products(S, Ts)

    def leading_products(
        self, S: Sequence[FloatArray], Ts: Sequence[FloatArray]
    ) -> FloatArray:
        """A21_i' T2 S T2' A21_i of every leading level, shape (L, q, q)."""
        k = np.zeros(self.L * len(self.r))
        for pairs, s in zip(self.pairs, S, strict=True):
            T = np.kron(Ts[pairs.parts[0]], Ts[pairs.parts[1]])
            both = (s * (2.0 * pairs.weights)[:, None]) @ T.T
            k += pairs.transposed @ both.reshape(-1)
        if self.q == 1:
            return k.reshape(-1, 1, 1)
        k = k.reshape(-1, self.L).T * np.where(self.r == self.s, 1.0, 0.5)
        result = np.empty((self.L, self.q, self.q))
        result[:, self.r, self.s] = k
        result[:, self.s, self.r] = k
        return result
