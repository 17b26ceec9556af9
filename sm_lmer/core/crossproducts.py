"""The sufficient statistics of a linear mixed model: sums over rows, nothing else.

With the leading grouping block as index 1, all trailing blocks together as index 2
and ``[Q y]`` the orthonormal fixed part beside the response (DESIGN.md 3.2, after
Bates et al. 2015, section 3), every array here is a sum over observations. One
evaluation of the criterion needs these sums only, so its cost does not grow with n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .terms import FloatArray, GroupingBlock


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


def block_matrix(block: GroupingBlock, Z: FloatArray) -> sparse.csr_array:
    """The block's columns of the model's Z, sparse, shape (n, L * q)."""
    n, q = Z.shape
    indices = (block.codes.astype(np.int32)[:, None] * q) + np.arange(q, dtype=np.int32)
    indptr = np.arange(0, n * q + 1, q)
    return sparse.csr_array((Z.ravel(), indices.ravel(), indptr), shape=(n, block.size))


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
    Z1 = block_matrix(blocks[0], Zs[0])
    B1 = Z1.T @ QY
    A11 = _leading_squares(blocks[0], Zs[0])
    C = QY.T @ QY
    if len(blocks) == 1:
        empty = sparse.csr_array((0, blocks[0].size))
        none = sparse.csr_array((0, 0))
        return CrossProducts(n, A11, empty, none, B1, np.zeros((0, width)), C)
    Z2 = sparse.hstack(
        [block_matrix(b, Z) for b, Z in zip(blocks[1:], Zs[1:], strict=True)],
        format="csr",
    )
    Z2t = Z2.T.tocsr()
    A21 = Z2t @ Z1
    A22 = Z2t @ Z2
    A21.sort_indices()
    A22.sort_indices()
    return CrossProducts(n, A11, A21, A22, B1, Z2t @ QY, C)


def _leading_squares(block: GroupingBlock, Z: FloatArray) -> FloatArray:
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
