"""The criterion and its gradient for many responses at once, each at its own theta.

Refits to simulated responses share all cross-products of the design. For a small
design the work of one evaluation is less than the calls it takes, so here the
replicates are one more axis of every array, the first one. The equations are those of
:mod:`sm_lmer.core.criterion`; what is linear in K is a matrix product with maps that
are built once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .conditioning import constant_column
from .crossproducts import block_matrix
from .likelihood import Likelihood
from .terms import FloatArray

TRAILING_LIMIT = 64
"""Columns of the trailing blocks up to which S is formed for all replicates."""

MAP_LIMIT = 1_000_000
"""Entries of the largest map."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Cross-products of responses with a conditioned design, one a row.

    Attributes
    ----------
    ols : ndarray, shape (R, p)
        Least-squares coefficients in the user's columns.
    B1 : ndarray, shape (R, L, q)
    B2 : ndarray, shape (R, m)
    C : ndarray, shape (R, p)
    square : ndarray, shape (R,)
        Sums of squares of the residuals of least squares.
    """

    ols: FloatArray
    B1: FloatArray
    B2: FloatArray
    C: FloatArray
    square: FloatArray

    def take(self, rows: np.ndarray) -> Responses:
        """Some of the responses."""
        return Responses(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The criterion of many responses.

    Attributes
    ----------
    value, r2 : ndarray, shape (R,)
    beta : ndarray, shape (R, p)
        Coefficients of the orthonormal columns.
    Fxx_inverse : ndarray, shape (R, p, p)
    gradient : ndarray, shape (R, k_theta), or None
    """

    value: FloatArray
    r2: FloatArray
    beta: FloatArray
    Fxx_inverse: FloatArray
    gradient: FloatArray | None


@dataclass(frozen=True, eq=False)
class _Trailing:
    """What the trailing blocks add to an evaluation."""

    G: FloatArray
    H: FloatArray
    U: FloatArray
    S_inverse: FloatArray
    T2: FloatArray


def suits(likelihood: Likelihood) -> bool:
    """Whether the design is small enough to evaluate many responses at once."""
    L, q, _ = likelihood.cross.A11.shape
    m, p = likelihood.layout.m, likelihood.cross.C.shape[0] - 1
    widest = max(m * m, m * p, p * p, 1)
    return m <= TRAILING_LIMIT and L * q * q * widest <= MAP_LIMIT


class BatchedCriterion:
    """The criterion of many responses on one design.

    Parameters
    ----------
    likelihood : Likelihood
        Its rotations must be identities.
    reml : bool
    """

    def __init__(self, likelihood: Likelihood, reml: bool) -> None:
        cross = likelihood.cross
        self.likelihood, self.reml = likelihood, reml
        self.A11 = cross.A11
        self.L, self.q, _ = cross.A11.shape
        self.m, self.p = likelihood.layout.m, cross.C.shape[0] - 1
        self.df = likelihood.n - (self.p if reml else 0)
        p = self.p
        # copies, as a view would round otherwise once it has gone to another process
        self.Cxx, self.B2x = cross.C[:p, :p].copy(), cross.B2[:, :p].copy()
        self.B1x = cross.B1[:, :p].copy()
        self.A21, self.A22 = cross.A21.toarray(), cross.A22.toarray()
        self.Z = [
            block_matrix(block, Z).T.tocsr()
            for block, Z in zip(likelihood.blocks, likelihood.Zs, strict=True)
        ]
        left = self.B1x.reshape(self.L, self.q, p)
        trailing = self.A21.T.reshape(self.L, self.q, self.m)
        self.to_F = self._map(left, left)
        self.to_H = self._map(trailing, left)
        self.to_G = self._map(trailing, trailing)

    def _map(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """The matrix that takes all the K_i to ``sum_i left_i' K_i right_i``."""
        products = np.einsum("lra,lsb->lrsab", left, right)
        return products.reshape(self.L * self.q**2, -1)

    # -- responses -------------------------------------------------------------

    def responses(self, Y: FloatArray) -> Responses:
        """Cross-products of the columns of Y, shape (n, R)."""
        likelihood = self.likelihood
        data, basis = likelihood.data, likelihood.fixed.basis
        j0 = constant_column(data.X[:, basis.kept])
        level = np.zeros(Y.shape[1]) if j0 is None else Y.mean(axis=0)
        rest = Y - level
        if likelihood.sqrt_weights is not None:
            rest *= likelihood.sqrt_weights[:, None]
        coordinates = np.zeros((self.p, Y.shape[1]))
        for _ in range(2):  # twice, as in conditioning.project
            step = basis.Q.T @ rest
            rest -= basis.Q @ step
            coordinates += step
        ols = (basis.C @ coordinates).T
        if j0 is not None:
            ols[:, j0] += level / data.X[0, basis.kept[j0]]
        sums = [(Z @ rest).T for Z in self.Z]
        return Responses(
            ols,
            np.ascontiguousarray(sums[0]).reshape(-1, self.L, self.q),
            np.hstack([np.zeros((Y.shape[1], 0)), *sums[1:]]),
            (basis.Q.T @ rest).T,
            np.einsum("nr,nr->r", rest, rest),
        )

    # -- evaluation ------------------------------------------------------------

    def templates(self, x: FloatArray) -> list[FloatArray]:
        """Templates of the blocks, shape (R, q, q), from inner coordinates (R, k)."""
        out = []
        for block in self.likelihood.blocks:
            T = np.zeros((len(x), block.q, block.q))
            T[:, block.rows, block.cols] = x[:, block.index]
            out.append(T)
        return out

    def evaluate(
        self, x: FloatArray, given: Responses, gradient: bool = True
    ) -> Evaluations:
        """The criterion at inner coordinates x, shape (R, k), row by row.

        Raises
        ------
        numpy.linalg.LinAlgError
            If it is not defined for one of them.
        """
        R, p = len(x), self.p
        Ts = self.templates(x)
        P, K, logdet = self._eliminate_leading(Ts[0])
        flat = K.reshape(R, -1)
        KB1y = (K * given.B1[:, :, None, :]).sum(axis=-1)
        F = np.empty((R, p + 1, p + 1))
        F[:, :p, :p] = self.Cxx - (flat @ self.to_F).reshape(R, p, p)
        F[:, :p, p] = given.C - KB1y.reshape(R, -1) @ self.B1x
        F[:, p, :p] = F[:, :p, p]
        F[:, p, p] = given.square - (given.B1 * KB1y).reshape(R, -1).sum(axis=1)
        trailing = None
        if self.m:
            trailing, added = self._trailing(flat, KB1y, Ts[1:], given)
            F -= _transposed(trailing.T2 @ trailing.U) @ trailing.H
            logdet += added
        R_F = np.linalg.cholesky(F)
        diagonal = np.diagonal(R_F, axis1=1, axis2=2)
        r2 = diagonal[:, p] ** 2
        value = logdet + self.df * (1.0 + np.log(2.0 * np.pi * r2 / self.df))
        if self.reml:
            value += 2.0 * np.log(diagonal[:, :p]).sum(axis=1)
        Fxx_inverse = np.linalg.inv(F[:, :p, :p])
        beta = (Fxx_inverse @ F[:, :p, p:])[:, :, 0]
        slopes = None
        if gradient:
            v = np.concatenate([-beta, np.ones((R, 1))], axis=1)
            F_hat = v[:, :, None] * v[:, None, :] * (self.df / r2)[:, None, None]
            if self.reml:
                F_hat[:, :p, :p] += Fxx_inverse
            slopes = self._gradient(P, K, Ts, F_hat, trailing, given)
        return Evaluations(value, r2, beta, Fxx_inverse, slopes)

    def _eliminate_leading(
        self, T: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """T M^-1 and K = T M^-1 T' of every level, and the sums of the log|M_i|."""
        R, q = len(T), self.q
        squares = (T[:, :, None, :, None] * T[:, None, :, None, :]).reshape(
            R, q * q, q * q
        )  # vec(T'A T) = vec(A) (T kron T), row by row
        M = (self.A11.reshape(self.L, q * q) @ squares).reshape(R, self.L, q, q)
        i = np.arange(q)
        M[:, :, i, i] += 1.0
        inverse, logdet = _inverses(M)
        P = _products(np.broadcast_to(T[:, None], inverse.shape), inverse)
        K = _products(P, np.broadcast_to(_transposed(T)[:, None], P.shape))
        return P, K, logdet

    def _trailing(
        self,
        flat: FloatArray,
        KB1y: FloatArray,
        Ts: Sequence[FloatArray],
        given: Responses,
    ) -> tuple[_Trailing, FloatArray]:
        R, m, p = len(flat), self.m, self.p
        G = self.A22 - (flat @ self.to_G).reshape(R, m, m)
        H = np.empty((R, m, p + 1))
        H[:, :, :p] = self.B2x - (flat @ self.to_H).reshape(R, m, p)
        H[:, :, p] = given.B2 - KB1y.reshape(R, -1) @ self.A21.T
        T2 = np.zeros((R, m, m))
        for (rows, levels, q), T in zip(self.likelihood.layout.parts, Ts, strict=True):
            first = rows.start + q * np.arange(levels)
            for r in range(q):
                for s in range(q):
                    T2[:, first + r, first + s] = T[:, r, s, None]
        S = _transposed(T2) @ G @ T2
        i = np.arange(m)
        S[:, i, i] += 1.0
        factor = np.linalg.cholesky(S)
        logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        S_inverse = np.linalg.inv(S)
        U = S_inverse @ (_transposed(T2) @ H)
        return _Trailing(G, H, U, S_inverse, T2), logdet

    def _gradient(
        self,
        P: FloatArray,
        K: FloatArray,
        Ts: Sequence[FloatArray],
        F: FloatArray,
        trailing: _Trailing | None,
        given: Responses,
    ) -> FloatArray:
        """The backward pass of docs/numerics.md; F is the derivative in F."""
        R, p, q = len(K), self.p, self.q
        out = np.empty((R, self.likelihood.k_theta))
        along = F[:, :p, p] @ self.B1x.T
        along = 2.0 * along.reshape(R, self.L, q)
        along += F[:, p, p, None, None] * given.B1
        K_hat = -(F[:, :p, :p].reshape(R, -1) @ self.to_F.T)
        if trailing is not None:
            UF = trailing.U @ F
            S_hat = trailing.S_inverse + UF @ _transposed(trailing.U)
            T2, H_hat = trailing.T2, -2.0 * trailing.T2 @ UF
            TS = T2 @ S_hat
            K_hat -= (TS @ _transposed(T2)).reshape(R, -1) @ self.to_G.T
            K_hat -= np.ascontiguousarray(H_hat[:, :, :p]).reshape(R, -1) @ self.to_H.T
            along += (H_hat[:, :, p] @ self.A21).reshape(R, self.L, q)
            full = 2.0 * trailing.G @ TS - 2.0 * trailing.H @ _transposed(UF)
            self._pick_trailing(full, out)
        K_hat = K_hat.reshape(K.shape) - along[..., :, None] * given.B1[..., None, :]
        K_hat = 0.5 * (K_hat + _transposed(K_hat))
        A = np.broadcast_to(self.A11, K.shape)
        inner = K_hat + A - _products(A, _products(K, K_hat))
        turned = inner.transpose(0, 2, 1, 3).reshape(R, q, self.L * q)
        first = self.likelihood.blocks[0]
        leading = 2.0 * turned @ P.reshape(R, self.L * q, q)
        out[:, first.index] = leading[:, first.rows, first.cols]
        return out

    def _pick_trailing(self, full: FloatArray, out: FloatArray) -> None:
        """Sums over the levels of the entries of T2's derivative at theta's places."""
        layout = self.likelihood.layout
        for (rows, levels, q), block in zip(
            layout.parts, self.likelihood.blocks[1:], strict=True
        ):
            first = rows.start + q * np.arange(levels)
            for k, r, c in zip(block.index, block.rows, block.cols, strict=True):
                out[:, k] = full[:, first + r, first + c].sum(axis=1)


def _transposed(M: FloatArray) -> FloatArray:
    return np.swapaxes(M, -1, -2)


def _products(A: FloatArray, B: FloatArray) -> FloatArray:
    """Products of stacks of small matrices, as sums of outer products."""
    q = A.shape[-1]
    if q > 3:
        return A @ B
    out = A[..., :, :1] * B[..., :1, :]
    for k in range(1, q):
        out += A[..., :, k, None] * B[..., k, None, :]
    return out


def _inverses(M: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverses of M, shape (R, L, q, q), and log-determinants summed over L."""
    q = M.shape[-1]
    if q == 1:
        return 1.0 / M, np.log(M[:, :, 0, 0]).sum(axis=1)
    if q > 2:
        logdet: FloatArray = np.linalg.slogdet(M)[1].sum(axis=1)
        return np.asarray(np.linalg.inv(M), dtype=np.float64), logdet
    a, b, d = M[:, :, 0, 0], M[:, :, 1, 0], M[:, :, 1, 1]
    det = a * d - b * b
    inverse = np.empty_like(M)
    inverse[:, :, 0, 0] = d / det
    inverse[:, :, 1, 1] = a / det
    inverse[:, :, 0, 1] = inverse[:, :, 1, 0] = -b / det
    return inverse, np.log(det).sum(axis=1)
