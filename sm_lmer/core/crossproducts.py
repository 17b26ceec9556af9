"""The sufficient statistics of a linear mixed model: sums over rows, nothing else.

With the leading grouping block as index 1, all trailing blocks together as index 2
and ``[Q y]`` the orthonormal fixed part beside the response (docs/numerics.md, after
Bates et al. 2015, section 3), every array here is a sum over observations. One
evaluation of the criterion needs these sums only, so its cost does not grow with n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .terms import FloatArray, GroupingBlock

BY_BINCOUNT = 2_000
"""Entries of Z up to which sums by column are faster than sparse products."""


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Cross-products of Z1 (leading block), Z2 (trailing blocks) and [Q y].

    Attributes
    ----------
    n : int
        Number of rows.
    A11 : ndarray, shape (L1, q1, q1)
        Diagonal blocks of Z1'Z1.
    A21 : csr_array, shape (m, L1 * q1)
    A22 : csr_array, shape (m, m)
    B1 : ndarray, shape (L1 * q1, p + 1)
    B2 : ndarray, shape (m, p + 1)
    C : ndarray, shape (p + 1, p + 1)
    """

    n: int
    A11: FloatArray
    A21: sparse.csr_array
    A22: sparse.csr_array
    B1: FloatArray
    B2: FloatArray
    C: FloatArray

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """Statistics of two sets of rows together."""
        return CrossProducts(
            self.n + other.n,
            self.A11 + other.A11,
            self.A21 + other.A21,
            self.A22 + other.A22,
            self.B1 + other.B1,
            self.B2 + other.B2,
            self.C + other.C,
        )


def accumulate(
    blocks: Sequence[GroupingBlock], Zs: Sequence[FloatArray], QY: FloatArray
) -> CrossProducts:
    """Sum the cross-products over rows.

    Parameters
    ----------
    blocks : sequence of GroupingBlock
        Leading block first.
    Zs : sequence of ndarray, shape (n, q)
        Conditioned columns of each block.
    QY : ndarray, shape (n, p + 1)
        Orthonormal fixed part and response.
    """
    n, width = QY.shape
    lead, trailing = blocks[0], list(zip(blocks[1:], Zs[1:], strict=True))
    B1 = _sums(lead, Zs[0], QY)
    A11 = diagonal_blocks(lead, Zs[0])
    C = QY.T @ QY
    if not trailing:
        empty = sparse.csr_array((0, lead.size))
        none = sparse.csr_array((0, 0))
        return CrossProducts(n, A11, empty, none, B1, np.zeros((0, width)), C)
    A21 = sparse.vstack([between(b, Z, lead, Zs[0]) for b, Z in trailing])
    A22 = sparse.block_array(
        [
            [_among_trailing(trailing, j, k) for k in range(len(trailing))]
            for j in range(len(trailing))
        ]
    )
    B2 = np.concatenate([_sums(b, Z, QY) for b, Z in trailing])
    return CrossProducts(n, A11, _sorted(A21), _sorted(A22), B1, B2, C)


def _sorted(M: sparse.sparray) -> sparse.csr_array:
    rows = sparse.csr_array(M)
    rows.sort_indices()
    return rows


def _among_trailing(
    trailing: Sequence[tuple[GroupingBlock, FloatArray]], j: int, k: int
) -> sparse.sparray:
    """Z_j'Z_k of two trailing blocks, by levels where they are the same."""
    if j != k:
        return between(*trailing[j], *trailing[k])
    block, Z = trailing[j]
    squares = diagonal_blocks(block, Z)
    L = block.n_levels
    return sparse.bsr_array((squares, np.arange(L), np.arange(L + 1))).tocsr()


def between(
    left: GroupingBlock, ZL: FloatArray, right: GroupingBlock, ZR: FloatArray
) -> sparse.csr_array:
    """Z_left'Z_right, sparse; equal cells are summed in one pass over the rows."""
    rows, columns, values = [], [], []
    for r in range(left.q):
        for s in range(right.q):
            rows.append(left.codes * left.q + r)
            columns.append(right.codes * right.q + s)
            values.append(ZL[:, r] * ZR[:, s])
    cells = (np.concatenate(rows), np.concatenate(columns))
    entries = sparse.coo_array(
        (np.concatenate(values), cells), shape=(left.size, right.size)
    )
    return entries.tocsr()


def _sums(block: GroupingBlock, Z: FloatArray, QY: FloatArray) -> FloatArray:
    """Z'QY, shape (L * q, p + 1)."""
    n, q = Z.shape
    if n * q > BY_BINCOUNT:
        return np.asarray(block_matrix(block, Z).T @ QY)
    sums = np.empty((block.n_levels, q, QY.shape[1]))
    for r in range(q):
        for c in range(QY.shape[1]):
            values = Z[:, r] * QY[:, c]
            sums[:, r, c] = np.bincount(block.codes, values, block.n_levels)
    return sums.reshape(block.size, -1)


def block_matrix(block: GroupingBlock, Z: FloatArray) -> sparse.csr_array:
    """The block's columns of the model's Z, sparse, shape (n, L * q)."""
    n, q = Z.shape
    indices = block.codes.astype(np.int32)[:, None] * q + np.arange(q, dtype=np.int32)
    indptr = np.arange(0, n * q + 1, q)
    return sparse.csr_array((Z.ravel(), indices.ravel(), indptr), shape=(n, block.size))


def diagonal_blocks(block: GroupingBlock, Z: FloatArray) -> FloatArray:
    """Diagonal blocks of Z'Z, shape (L, q, q)."""
    L, q = block.n_levels, block.q
    A = np.empty((L, q, q))
    for r in range(q):
        for s in range(r + 1):
            A[:, r, s] = np.bincount(block.codes, Z[:, r] * Z[:, s], minlength=L)
            A[:, s, r] = A[:, r, s]
    return A


def with_response(
    cross: CrossProducts,
    blocks: Sequence[GroupingBlock],
    Zs: Sequence[FloatArray],
    Q: FloatArray,
    y: FloatArray,
) -> CrossProducts:
    """The same statistics for another response: only B and C change."""
    p = Q.shape[1]
    sums = [
        np.column_stack(
            [
                np.bincount(b.codes, Z[:, r] * y, minlength=b.n_levels)
                for r in range(b.q)
            ]
        ).ravel()
        for b, Z in zip(blocks, Zs, strict=True)
    ]
    B1, B2, C = cross.B1.copy(), cross.B2.copy(), cross.C.copy()
    B1[:, p] = sums[0]
    if len(sums) > 1:
        B2[:, p] = np.concatenate(sums[1:])
    C[:p, p] = C[p, :p] = Q.T @ y
    C[p, p] = y @ y
    return replace(cross, B1=B1, B2=B2, C=C)
