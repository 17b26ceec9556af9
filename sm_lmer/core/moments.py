"""Variances by the method of moments, from the cross-products: where a search starts.

With P the projection on X and r = (I - P) y, the sums over the levels i of each block
of w_i Z_i'r r'Z_i, and r'r, have expectations that are linear in the covariances of
the random effects and in sigma^2 (Henderson 1953, Biometrics 9, method 1, with X taken
out first). Solving for these needs no evaluation of the criterion, and in balanced
data gives the REML estimates, if positive.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .likelihood import Likelihood
from .terms import FloatArray

LEAST = 1e-2
"""Least variance to start from, relative to the residual variance."""

LARGEST = 1e4
"""Largest one."""

DENSE_UP_TO = 150
"""Random effects up to which their products are formed as one dense matrix."""


def moments_start(likelihood: Likelihood) -> FloatArray | None:
    """Inner coordinates of the moment estimates; None where there are none."""
    covariances = relative_covariances(likelihood)
    if covariances is None:
        return None
    start = likelihood.start.copy()
    members = zip(likelihood.blocks, covariances, strict=True)
    for block, Sigma in members:
        for k, first in zip(block.terms, block.starts, strict=True):
            term, part = likelihood.parts[k]
            own = Sigma[first : first + term.q, first : first + term.q]
            if term.q == 1 or term.diagonal:
                start[part] = np.sqrt(np.clip(own.diagonal(), LEAST, LARGEST))
                continue
            values, vectors = np.linalg.eigh(0.5 * (own + own.T))
            own = (vectors * np.clip(values, LEAST, LARGEST)) @ vectors.T
            start[part] = np.linalg.cholesky(own)[term.positions()]
    return start


def relative_covariances(likelihood: Likelihood) -> list[FloatArray] | None:
    """Moment estimates of each block's covariance over sigma^2; None if not to be had.

    They are matrices of shape (q, q), of inner columns, not always positive.
    """
    cross, p = likelihood.cross, likelihood.criterion.p
    qs = [block.q for block in likelihood.blocks]
    squares, B = _diagonal_blocks(likelihood), _responses(likelihood)
    few = sum(block.size for block in likelihood.blocks) <= DENSE_UP_TO
    N = _dense_products(likelihood, squares, B) if few else None
    ends = np.cumsum([q * q for q in qs])
    J, size = len(qs), int(ends[-1])
    M, moments = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for j in range(J):
        at = slice(ends[j] - qs[j] ** 2, ends[j])
        w = np.einsum("lrr->l", squares[j]) / qs[j]
        w = 1.0 / np.where(w > 0.0, w, 1.0)
        r = B[j][:, :, p]
        moments[at] = np.einsum("l,lr,ls->rs", w, r, r).ravel()
        left = B[j][:, :, :p]
        noise = squares[j] - left @ left.transpose(0, 2, 1)
        M[at, size] = np.tensordot(w, noise, axes=1).ravel()
        M[size, at] = noise.sum(axis=0).ravel()
        for k in range(J):
            to = slice(ends[k] - qs[k] ** 2, ends[k])
            if N is not None:
                M[at, to] = _dense_squares(N[j][k], w)
                continue
            A = _product_matrix(likelihood, squares, j, k)
            M[at, to] = _squares(A, w, left, B[k][:, :, :p])
    moments[size], M[size, size] = cross.C[p, p], cross.n - p
    found = np.linalg.lstsq(M, moments, rcond=1e-10)[0]
    if not np.isfinite(found).all() or found[size] <= 0.0:
        return None
    pieces = np.split(found[:size] / found[size], ends[:-1])
    return [piece.reshape(q, q) for piece, q in zip(pieces, qs, strict=True)]


def _responses(likelihood: Likelihood) -> list[FloatArray]:
    """Z'[Q y] of each block by levels, shape (L, q, p + 1)."""
    cross, blocks = likelihood.cross, likelihood.blocks
    out = [cross.B1.reshape(blocks[0].n_levels, blocks[0].q, -1)]
    for rows, levels, q in likelihood.layout.parts:
        out.append(cross.B2[rows].reshape(levels, q, -1))
    return out


def _diagonal_blocks(likelihood: Likelihood) -> list[FloatArray]:
    """Z'Z of the levels of each block, shape (L, q, q)."""
    out, A22 = [likelihood.cross.A11], likelihood.cross.A22
    for rows, levels, q in likelihood.layout.parts:
        if q == 1:
            out.append(A22.diagonal()[rows, None, None])
            continue
        i = rows.start + np.arange(levels)[:, None, None] * q
        r = np.arange(q)
        cells = np.broadcast_arrays(i + r[:, None], i + r)
        values = np.asarray(A22[cells[0].ravel(), cells[1].ravel()])
        out.append(values.reshape(levels, q, q))
    return out


def _dense_products(
    likelihood: Likelihood, squares: list[FloatArray], B: list[FloatArray]
) -> list[list[FloatArray]]:
    """Z_j'(I - P) Z_k of all pairs of blocks, (levels j, q_j, levels k, q_k)."""
    cross, p = likelihood.cross, likelihood.criterion.p
    n1 = len(cross.B1)
    left = np.concatenate([cross.B1[:, :p], cross.B2[:, :p]])
    N = -(left @ left.T)
    L, q, _ = cross.A11.shape
    i = np.arange(L)
    N[:n1, :n1].reshape(L, q, L, q)[i, :, i, :] += cross.A11
    if len(N) > n1:
        A21 = cross.A21.toarray()
        N[n1:, :n1] += A21
        N[:n1, n1:] += A21.T
        N[n1:, n1:] += cross.A22.toarray()
    starts = np.cumsum([0, *(block.size for block in likelihood.blocks)])
    pieces = []
    for j, mine in enumerate(B):
        rows = N[starts[j] : starts[j + 1]]
        pieces.append(
            [
                rows[:, starts[k] : starts[k + 1]].reshape(
                    *mine.shape[:2], *other.shape[:2]
                )
                for k, other in enumerate(B)
            ]
        )
    return pieces


def _dense_squares(N: FloatArray, w: FloatArray) -> FloatArray:
    """Sum over i and l of w_i N_il (x) N_il, shape (qj^2, qk^2)."""
    levels, qj, others, qk = N.shape
    if qj == qk == 1:
        return np.array([[w @ np.einsum("irls,irls->i", N, N)]])
    flat = N.transpose(1, 3, 0, 2).reshape(qj * qk, levels * others)
    total = (flat * np.repeat(w, others)) @ flat.T
    four = total.reshape(qj, qk, qj, qk).transpose(0, 2, 1, 3)
    return four.reshape(qj * qj, qk * qk)


def _product_matrix(
    likelihood: Likelihood, squares: list[FloatArray], j: int, k: int
) -> sparse.bsr_array:
    """Z_j'Z_k of two blocks, in blocks of a level of one and a level of the other."""
    cross, parts = likelihood.cross, likelihood.layout.parts
    if j == k:
        levels = np.arange(len(squares[j]) + 1)
        return sparse.bsr_array((squares[j], levels[:-1], levels))
    high, low = max(j, k), min(j, k)
    rows = parts[high - 1][0]
    if low == 0:
        A = cross.A21[rows]
    else:
        A = cross.A22[rows][:, parts[low - 1][0]]
    A = A if high == j else A.T
    widths = (likelihood.blocks[j].q, likelihood.blocks[k].q)
    return A.tobsr(blocksize=widths)


def _squares(
    A: sparse.bsr_array, w: FloatArray, left: FloatArray, right: FloatArray
) -> FloatArray:
    """Sum over i and l of w_i N_il (x) N_il with N_il = A_il - left_i right_l'.

    Shapes of left and right are (levels, q, p); that of the result (qj^2, qk^2).
    """
    blocks, levels = A.data, np.repeat(w, np.diff(A.indptr))
    qj, qk = blocks.shape[1:]
    flat = blocks.reshape(len(blocks), qj * qk)
    total = ((flat * levels[:, None]).T @ flat).reshape(qj, qk, qj, qk)
    if left.shape[2]:
        weighted = left * w[:, None, None]
        middle = np.empty((qj, qk, qj, qk))
        for a in range(qj):
            for c in range(qk):
                shape = (len(left), len(right))
                one = sparse.csr_array((blocks[:, a, c], A.indices, A.indptr), shape)
                along = (one @ right.reshape(len(right), -1)).reshape(
                    -1, *right.shape[1:]
                )
                middle[a, c] = np.einsum("lbx,ldx->bd", weighted, along, optimize=True)
        total = total - middle - middle.transpose(2, 3, 0, 1)
        first = np.tensordot(weighted, left, axes=([0], [0]))  # a, x, b, y
        second = np.tensordot(right, right, axes=([0], [0]))
        both = np.einsum("axby,cxdy->acbd", first, second, optimize=True)
        total = total + both
    return total.transpose(0, 2, 1, 3).reshape(qj * qj, qk * qk)
