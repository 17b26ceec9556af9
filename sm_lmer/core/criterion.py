"""The profiled deviance and REML criterion, and their exact gradient.

Notation and equations are those of docs/numerics.md: the leading
grouping block is eliminated level by level, the trailing ones through one solver for
S, the fixed part last. All of it works on conditioned data, and on square templates
T that need not be triangular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from ..linalg import Factor, KrylovFactor, KrylovSolver, Solver
from ..linalg.small import SMALL, congruence, inverse_and_logdet, product
from .crossproducts import CrossProducts
from .terms import FloatArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation of the criterion, with what later steps reuse.

    Attributes
    ----------
    value : float
        The criterion in the conditioned coordinates of X.
    r2 : float
        Penalised residual sum of squares.
    df : int
        n - p for REML, n for ML.
    beta : ndarray, shape (p,)
        Coefficients of the orthonormal columns.
    Fxx_inverse : ndarray, shape (p, p)
        ``cov(beta) / sigma^2``.
    Ts : list of ndarray
        Templates of the blocks, the leading one first.
    M_inverse, K : ndarray, shape (L1, q1, q1)
    factor : Factor or None
    U, H : ndarray, shape (m, p + 1)
        S^-1 R, and the update of B2.
    R_F : ndarray, shape (p + 1, p + 1)
        Upper Cholesky factor of F.
    reml : bool
    """

    value: float
    r2: float
    df: int
    beta: FloatArray
    Fxx_inverse: FloatArray
    Ts: Sequence[FloatArray]
    M_inverse: FloatArray
    K: FloatArray
    factor: Factor | None
    U: FloatArray
    H: FloatArray
    R_F: FloatArray
    reml: bool

    @property
    def sigma2(self) -> float:
        """Profiled residual variance."""
        return self.r2 / self.df


class Criterion:
    """The criterion as a function of the templates of the grouping blocks.

    Parameters
    ----------
    cross : CrossProducts
    solver : Solver or None
        Solver for the trailing blocks; None if there are none.
    """

    def __init__(self, cross: CrossProducts, solver: Solver | None) -> None:
        self.cross, self.solver = cross, solver
        self.p = cross.C.shape[0] - 1
        L, q, _ = cross.A11.shape
        self._B1 = cross.B1.reshape(L, q, -1)

    @property
    def has_gradient(self) -> bool:
        """Whether :meth:`gradient` is available."""
        return self.solver is None or self.solver.has_gradient

    @property
    def estimated(self) -> bool:
        """Whether log|S| is estimated, by probes that are the same at every theta."""
        return isinstance(self.solver, KrylovSolver)

    def evaluate(self, Ts: Sequence[FloatArray], reml: bool) -> Evaluation:
        """Evaluate at the templates Ts, the leading block's first.

        Raises
        ------
        numpy.linalg.LinAlgError
            If S or F is not positive definite to working precision.
        """
        cross, p = self.cross, self.p
        M_inverse, K, logdet = self._eliminate_leading(Ts[0])
        KB1 = product(K, self._B1).reshape(-1, p + 1)
        F = cross.C - cross.B1.T @ KB1
        if self.solver is None:
            factor, U, H = None, cross.B2, cross.B2
        else:
            H = cross.B2 - self.solver.A21 @ KB1
            factor = self.solver.factor(K, Ts[1:])
            R = self.solver.layout.left(factor.transposed_Ts, H)
            U = factor.solve(R)
            F -= R.T @ U
            logdet += factor.logdet
        R_F, info = lapack.dpotrf(F, lower=0, clean=1)
        if info != 0:
            raise np.linalg.LinAlgError("no residual variance is left")
        Rxx_inverse, _ = lapack.dtrtri(R_F[:p, :p]) if p else (np.zeros((0, 0)), 0)
        r2 = float(R_F[p, p] ** 2)
        df = cross.n - p if reml else cross.n
        value = logdet + df * (1.0 + float(np.log(2.0 * np.pi * r2 / df)))
        if reml:
            value += 2.0 * float(np.log(R_F.diagonal()[:p]).sum())
        if not np.isfinite(value):
            raise np.linalg.LinAlgError("the criterion is not finite")
        return Evaluation(
            value=value,
            r2=r2,
            df=df,
            beta=Rxx_inverse @ R_F[:p, p],
            Fxx_inverse=Rxx_inverse @ Rxx_inverse.T,
            Ts=Ts,
            M_inverse=M_inverse,
            K=K,
            factor=factor,
            U=U,
            H=H,
            R_F=R_F,
            reml=reml,
        )

    def gradient(self, at: Evaluation) -> list[FloatArray]:
        """Derivatives with respect to every entry of each block's template.

        Parameters
        ----------
        at : Evaluation
            The latest evaluation, of a criterion with ``has_gradient``.

        Returns
        -------
        list of ndarray, shape (q, q)
        """
        p = self.p
        v = np.append(-at.beta, 1.0)
        F = np.outer(v, v) * (at.df / at.r2)
        if at.reml:
            F[:p, :p] += at.Fxx_inverse
        if isinstance(at.factor, KrylovFactor):
            traces = self.trace_gradients(at, at.factor)
            estimated = [T.mean(axis=0) for T in traces]
            return [
                a + b
                for a, b in zip(self._without_traces(at, F), estimated, strict=True)
            ]
        return self._without_traces(at, F)

    def trace_gradients(self, at: Evaluation, factor: KrylovFactor) -> list[FloatArray]:
        """Derivatives of an estimated log|S| by each probe, (probes, q, q) a block."""
        L, q, _ = at.K.shape
        left = np.eye(q) - product(at.K, self.cross.A11)  # dK = left dT M^-1 T' + ...
        right = product(at.M_inverse, np.broadcast_to(at.Ts[0].T, at.K.shape))
        along = np.empty((q, q, L, q, q))
        for r in range(q):
            for c in range(q):
                half = left[:, :, r, None] * right[:, c, None, :]
                along[r, c] = half + half.transpose(0, 2, 1)
        found = factor.trace_gradient(along.reshape(q * q, L, q, q))
        return [found.leading.reshape(-1, q, q), *found.trailing]

    def _without_traces(self, at: Evaluation, F: FloatArray) -> list[FloatArray]:
        """The gradient, but for what the solver estimates by probes."""
        cross = self.cross
        L, q, _ = at.K.shape
        FB = (cross.B1 @ F).reshape(L, q, -1)
        trailing: list[FloatArray] = []
        spread: FloatArray | float = 0.0
        if self.solver is not None:
            assert at.factor is not None
            trailing, spread, H_hat = at.factor.gradient(at.U, F, at.H)
            FB = FB + (self.solver.A21t @ H_hat).reshape(L, q, -1)
        # K^ = -A21'G^A21 - sym(A21'H^B1') - B1 F^ B1', the last two as one product
        if q == 1:
            K_hat = -np.einsum("lqc,lqc->l", FB, self._B1).reshape(-1, 1, 1) - spread
            T, A = at.Ts[0][0, 0], cross.A11
            terms = ((1.0 - A * at.K) * K_hat + A) * at.M_inverse
            return [np.array([[2.0 * T * float(terms.sum())]]), *trailing]
        sides = _outer(FB, self._B1)
        K_hat = -0.5 * (sides + sides.transpose(0, 2, 1)) - spread
        A = cross.A11
        inner = K_hat - product(A, product(at.K, K_hat)) + A
        turned = (inner.reshape(-1, q) @ at.Ts[0]).reshape(L, q, q)
        leading = 2.0 * np.tensordot(turned, at.M_inverse, axes=([0, 2], [0, 1]))
        return [leading, *trailing]

    def modes(self, at: Evaluation) -> tuple[list[FloatArray], list[FloatArray]]:
        """Spherical conditional modes u and scores Z'(y - X beta - Z b) of each block.

        Both have shape (levels, q), with u = T' score.
        """
        us, scores = self.scores(at, np.append(-at.beta, 1.0)[:, None])
        return [u[:, :, 0] for u in us], [s[:, :, 0] for s in scores]

    def spherical_modes(self, at: Evaluation) -> list[FloatArray]:
        """Spherical conditional modes u of each block, shape (levels, q)."""
        us, *_ = self._solved(at, np.append(-at.beta, 1.0)[:, None])
        return [u[:, :, 0] for u in us]

    def scores(
        self, at: Evaluation, V: FloatArray
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """Spherical modes of combinations of [X y], and their scores Z'V^-1[X y]V.

        Parameters
        ----------
        at : Evaluation
            The latest evaluation.
        V : ndarray, shape (p + 1, c)

        Returns
        -------
        us, scores : list of ndarray, shape (levels, q, c)
            Of each block, with u = T' score.
        """
        cross, c = self.cross, V.shape[1]
        us, rest, b2 = self._solved(at, V)
        b1 = product(at.Ts[0][None], us[0])
        scores = [rest - product(cross.A11, b1)]
        if b2 is not None and self.solver is not None:
            s2 = cross.B2 @ V - self.solver.A21 @ b1.reshape(-1, c)
            s2 -= cross.A22 @ b2
            for rows, levels, width in self.solver.layout.parts:
                scores.append(s2[rows].reshape(levels, width, c))
        return us, scores

    def _solved(
        self, at: Evaluation, V: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray | None]:
        """The us of :meth:`scores`, Z1'[X y]V less A21' b2, and b2 = T2 u2."""
        L, q, _ = at.K.shape
        c = V.shape[1]
        rest = self.cross.B1 @ V
        trailing: list[FloatArray] = []
        b2 = None
        if at.factor is not None and self.solver is not None:
            u2 = at.U @ V
            b2 = self.solver.layout.left(at.Ts[1:], u2)
            rest = rest - self.solver.A21t @ b2
            for rows, levels, width in self.solver.layout.parts:
                trailing.append(u2[rows].reshape(levels, width, c))
        rest = rest.reshape(L, q, c)
        u1 = product(at.M_inverse, product(at.Ts[0].T[None], rest))
        return [u1, *trailing], rest, b2

    def average_information(
        self,
        at: Evaluation,
        positions: Sequence[tuple[int, int, int]],
        rotations: Sequence[FloatArray],
    ) -> FloatArray:
        """Average information for entries of the templates, profiled over sigma.

        The mean of observed and expected information is y'P V_j P V_k P y (Gilmour,
        Thompson and Cullis 1995, eq. 5), with V_k = dV/dtheta_k; it is positive
        semi-definite, and costs one solve a parameter.

        Parameters
        ----------
        at : Evaluation
            The latest evaluation.
        positions : sequence of (block, row, column)
            The free entries of the templates.
        rotations : sequence of ndarray, shape (q, q)
            Of each block: its template is the rotation times what has the entries.

        Returns
        -------
        ndarray, shape (k, k)
            Approximate Hessian of the criterion.
        """
        cross = self.cross
        us, scores = self.modes(at)
        W = [np.zeros((*u.shape, len(positions))) for u in us]
        for k, (j, r, c) in enumerate(positions):
            along = rotations[j][:, r]
            W[j][:, :, k] = np.outer(scores[j] @ along, at.Ts[j][:, c])
            W[j][:, :, k] += np.outer(us[j][:, c], along)
        W1 = W[0]
        BW1 = product(cross.A11, W1)
        W1, BW1 = W1.reshape(-1, len(positions)), BW1.reshape(-1, len(positions))
        F_xw, F_ww = cross.B1.T @ W1, W1.T @ BW1
        if at.factor is not None and self.solver is not None:
            W2 = np.concatenate([w.reshape(-1, len(positions)) for w in W[1:]])
            back = self.solver.A21t @ W2
            BW2 = self.solver.A21 @ W1 + cross.A22 @ W2
            F_xw += cross.B2.T @ W2
            F_ww += W1.T @ back + W2.T @ BW2
            BW1 = BW1 + back
        KB = product(at.K, BW1.reshape(*us[0].shape, -1)).reshape(BW1.shape)
        F_xw -= cross.B1.T @ KB
        F_ww -= BW1.T @ KB
        if at.factor is not None and self.solver is not None:
            H = BW2 - self.solver.A21 @ KB
            R = self.solver.layout.left(at.factor.transposed_Ts, H)
            F_xw -= at.U.T @ R
            F_ww -= R.T @ at.factor.solve(R)
        half = solve_triangular(at.R_F, F_xw, trans="T", check_finite=False)
        return (F_ww - half.T @ half) / at.sigma2

    def _eliminate_leading(self, T: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """M^-1 and K of every leading level, and the sum of the log|M_i|."""
        M = congruence(T.T, self.cross.A11)
        i = np.arange(M.shape[1])
        M[:, i, i] += 1.0
        M_inverse, logdet = inverse_and_logdet(M)
        return M_inverse, congruence(T, M_inverse), logdet


def _outer(left: FloatArray, right: FloatArray) -> FloatArray:
    """left_i right_i' for every level, shapes (L, q, c) to (L, q, q)."""
    L, q, _ = left.shape
    if q > SMALL:
        return left @ right.transpose(0, 2, 1)
    out = np.empty((L, q, q))
    for r in range(q):
        for s in range(q):
            out[:, r, s] = np.einsum("lc,lc->l", left[:, r], right[:, s])
    return out
