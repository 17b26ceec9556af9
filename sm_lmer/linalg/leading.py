"""The linear map from the leading block's K to its update of the trailing matrix.

Eliminating the leading block takes ``sum_i A21_i K_i A21_i'`` from A22. The sum is
linear in K, so where A21 is sparse it is one product with a sparse matrix that is
built once (docs/numerics.md); where A21 is well filled it is a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]

MULTIPLICATIONS_A_MAP_ENTRY = 40.0
"""How many multiplications of a dense product one entry of the map costs."""


CHUNK = 1 << 20
"""Entries that are gathered at a time while the map is built."""


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


class Pattern:
    """The entries (a, b), a >= b, of a symmetric matrix that can differ from zero.

    They are listed block by block, so that what depends on the blocks of a and b
    alone is one number a slice.

    Parameters
    ----------
    marked : ndarray of bool, shape (m, m)
        Where such entries are; of its lower triangle only. The diagonal is added.
    parts : sequence of slice
        The blocks of rows.
    """

    def __init__(self, marked: NDArray[np.bool_], parts: Sequence[slice]) -> None:
        self.m = m = len(marked)
        marked.flat[:: m + 1] = True
        pieces: list[NDArray[np.intp]] = []
        self.blocks: list[tuple[int, int, slice]] = []
        start = 0
        for j, rows in enumerate(parts):
            for k, columns in enumerate(parts[: j + 1]):
                r, c = np.nonzero(marked[rows, columns])
                r += rows.start
                r *= m
                r += c + columns.start
                pieces.append(r)
                self.blocks.append((j, k, slice(start, start + len(r))))
                start += len(r)
        self.index = np.concatenate(pieces)
        """Places of the entries in the flat matrix in C order."""
        self.diagonal = np.flatnonzero(self.index % (m + 1) == 0)
        """Which entries are on the diagonal, in the order of the rows."""

    def places(self, cells: NDArray[Any]) -> NDArray[np.int32]:
        """Where flat cells of the matrix stand among the entries."""
        place = np.empty(self.m * self.m, dtype=np.int32)
        place[self.index] = np.arange(len(self.index), dtype=np.int32)
        out = np.empty(len(cells), dtype=np.int32)
        for part in _chunks(len(cells)):
            np.take(place, cells[part], out=out[part])
        return out


class MapUpdate:
    """The update as a sparse matrix: entries of G by entries of all the K_i.

    Columns stand for the entries (i, r, s), r >= s, of the K_i, rows for the entries
    of G that can change, or that A22 has.

    Parameters
    ----------
    A21 : csr_array, shape (m, L * q)
    q : int
    A22 : csr_array, shape (m, m), optional
    parts : sequence of slice, optional
        Blocks by which the entries are listed.
    """

    def __init__(
        self,
        A21: sparse.csr_array,
        q: int,
        A22: sparse.csr_array | None = None,
        parts: Sequence[slice] = (),
    ) -> None:
        self.m = m = A21.shape[0]
        self.q, self.L = q, A21.shape[1] // q
        self.r, self.s = np.tril_indices(q)
        indptr, rows, values = _columns_together(A21, q)
        first, second, ends = _lower_pairs(indptr)
        cells = rows[first].astype(np.int64 if m > 46_340 else np.int32, copy=False)
        cells *= m
        cells += rows[second]
        marked = np.zeros(m * m, dtype=bool)
        for part in _chunks(len(cells)):
            marked[cells[part]] = True
        own, own_values = _lower_cells(A22, m)
        marked[own] = True
        self.pattern = Pattern(marked.reshape(m, m), parts or [slice(0, m)])
        index = self.pattern.places(cells)
        del cells, marked
        size = len(self.pattern.index)
        self.base = np.zeros(size)
        """A22 at the entries."""
        self.base[self.pattern.places(own)] = own_values
        maps = []
        for r, s in zip(self.r, self.s, strict=True):
            value = np.empty(len(index))
            left, right = values[:, r].copy(), values[:, s].copy()
            for part in _chunks(len(index)):
                a, b = first[part], second[part]
                value[part] = left.take(a) * right.take(b)
                if r != s:
                    value[part] += right.take(a) * left.take(b)
            maps.append(sparse.csc_array((value, index, ends), shape=(size, self.L)))
        self.map = maps[0] if q == 1 else sparse.hstack(maps, format="csc")
        self.transposed = self.map.T  # a CSR view of the same arrays

    def gram(self, K: FloatArray) -> FloatArray:
        """``sum_i A21_i K_i A21_i'``, shape (m, m), symmetric."""
        lower = np.zeros(self.m * self.m)
        lower[self.pattern.index] = self.entries(K)
        return mirrored(lower.reshape(self.m, self.m))

    def entries(self, K: FloatArray) -> FloatArray:
        """The entries of :meth:`gram` in the pattern."""
        k = K.reshape(-1) if self.q == 1 else K[:, self.r, self.s].T.reshape(-1)
        entries: FloatArray = self.map @ k
        return entries

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``A21_i' G A21_i`` of every level for a symmetric G, shape (L, q, q)."""
        return self.adjoint_of_entries(G.reshape(-1).take(self.pattern.index))

    def adjoint_of_entries(self, entries: FloatArray) -> FloatArray:
        """:meth:`adjoint` of the G with these entries in the pattern."""
        doubled = 2.0 * entries  # for those above the diagonal
        doubled[self.pattern.diagonal] *= 0.5
        k = self.transposed @ doubled
        if self.q == 1:
            return k.reshape(-1, 1, 1)
        result = np.empty((self.L, self.q, self.q))
        k = k.reshape(-1, self.L).T
        k = k * np.where(self.r == self.s, 1.0, 0.5)  # off-diagonals of K count twice
        result[:, self.r, self.s] = k
        result[:, self.s, self.r] = k
        return result


def _chunks(total: int) -> Iterator[slice]:
    """Slices that cover 0 to total, so that what gathers needs no large memory."""
    for start in range(0, total, CHUNK):
        yield slice(start, min(start + CHUNK, total))


def _lower_cells(
    A: sparse.csr_array | None, m: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Flat places and values of the entries of A on and below its diagonal."""
    if A is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    rows = np.repeat(np.arange(m, dtype=np.int64), np.diff(A.indptr))
    lower = A.indices <= rows
    return rows[lower] * m + A.indices[lower], A.data[lower]


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


def leading_update(
    A21: sparse.csr_array,
    q: int,
    A22: sparse.csr_array | None = None,
    parts: Sequence[slice] = (),
) -> DenseUpdate | MapUpdate:
    """Choose the cheaper form of the update; see :class:`MapUpdate`."""
    m, width = A21.shape
    products = float(m) * m * width
    a_level = np.bincount(A21.indices // q, minlength=width // q).astype(float)
    entries = float((a_level**2).sum())
    if products <= MULTIPLICATIONS_A_MAP_ENTRY * entries or products < 1e6:
        return DenseUpdate(A21.toarray(), q)
    return MapUpdate(A21, q, A22, parts)
