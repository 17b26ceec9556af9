"""Krylov solver for the trailing Schur complement S = I + T2' G T2.

Nothing is factored. Systems are solved by conjugate gradients, preconditioned by the
diagonal blocks of S; the log-determinant and its derivatives are estimated from
products with random signs, the probes (docs/numerics.md; Kuendig and Sigrist 2024,
Gao and Owen 2020). The probes stay the same from one theta to the next, so that the
criterion is a smooth function, with the gradient that is returned, and each one is
confined to one column of one trailing term: the criterion is then even in every
column of T2, as the exact one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .lanczos import conjugate_gradients, lanczos
from .layout import Layout
from .operators import Operator, make_operator
from .preconditioners import BlockJacobi

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]

SOLVED = 1e-10
"""Relative residual of what conjugate gradients solve."""

EXHAUSTED = 1e-6
"""The same where Lanczos' method ends; the log-determinant's error is its square."""

NEGLIGIBLE = 1e-9
"""Share of the largest weight below which a direction adds nothing to a gradient."""

MOST_STEPS = 1_000
"""Limit of the iterations of both."""

BATCH_BYTES = 2.5e8
"""Memory for the Lanczos bases of the vectors that are iterated together."""

TYPICAL_STEPS = 25
"""Iterations that the batches are sized for."""

KEPT_BYTES = 1e9
"""Memory up to which directions are kept from an evaluation to its gradient."""

INVERTED_UP_TO = 2_000
"""Columns of S up to which blocks of its inverse are solved for, column by column."""


@dataclass(frozen=True)
class Krylov:
    """The Krylov solver and its settings, for ``fit(solver=...)``.

    Parameters
    ----------
    probes : int or "all"
        Random vectors behind the log-determinant. The Monte Carlo standard errors
        that the results carry fall with the square root of their number, and the time
        grows in proportion. "all" takes every unit vector instead, which is exact and
        slow: for checks on small data.
    rng : int or numpy.random.Generator
        Seed of the probes: the same seed gives the same numbers.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> model = sml.lmer(
    ...     "diameter ~ 1 + (1 | plate) + (1 | sample)",
    ...     sml.datasets.load_penicillin(),
    ... )
    >>> res = model.fit(solver=sml.Krylov(probes=100, rng=1))
    >>> exact = model.fit()
    >>> abs(res.llf - exact.llf) < 4 * res.llf_mcse
    True
    """

    probes: int | str = 50
    rng: Any = field(default=0)

    def __post_init__(self) -> None:
        if isinstance(self.probes, str):
            if self.probes != "all":
                raise ValueError(f"probes is a number or 'all', not {self.probes!r}.")
        elif isinstance(self.probes, bool) or int(self.probes) != self.probes:
            raise ValueError(f"probes is a whole number or 'all', not {self.probes!r}.")
        elif self.probes < 2:
            raise ValueError(
                "probes must be at least 2, or there is no Monte Carlo standard error."
            )
        if isinstance(self.rng, np.random.Generator):
            object.__setattr__(self, "rng", int(self.rng.integers(2**63)))
        elif isinstance(self.rng, bool) or not isinstance(self.rng, (int, np.integer)):
            raise TypeError("rng is a whole number or a numpy Generator.")
        elif self.rng < 0:
            raise ValueError("rng as a seed must not be negative.")


class KrylovSolver:
    """Solves with S and estimates its log-determinant.

    Parameters
    ----------
    cross : CrossProducts
    layout : Layout
    settings : Krylov

    Attributes
    ----------
    probes : int
        Number of independent estimates; 1 with all unit vectors.
    exact : bool
        Whether the probes are all unit vectors.
    """

    name = "krylov"
    has_gradient = True

    def __init__(self, cross: CrossProducts, layout: Layout, settings: Krylov) -> None:
        self.layout, self.settings = layout, settings
        self.A21, self.A21t = cross.A21, cross.A21.T.tocsr()
        self.operator: Operator = make_operator(cross, self.A21t, layout)
        self.exact = settings.probes == "all"
        self.columns = sum(q for _, _, q in layout.parts)
        if self.exact:
            self.probes, self.vectors = 1, layout.m
            return
        self.probes = int(settings.probes)
        self.vectors = self.probes * self.columns
        rng = np.random.default_rng(settings.rng)
        draw = rng.integers(0, 2, (layout.m, self.probes), dtype=np.int8)
        self.signs = (2 * draw - 1).astype(np.int8)
        first = 0
        self.column = np.empty(layout.m, dtype=np.int16)
        """Which column of which trailing term a row of S stands for."""
        for rows, levels, q in layout.parts:
            self.column[rows] = np.tile(np.arange(first, first + q), levels)
            first += q

    def batches(self) -> Iterator[tuple[FloatArray, NDArray[Any]]]:
        """Starting vectors, shape (m, c), and the probe that each belongs to."""
        m = self.layout.m
        size = max(4, min(32, int(BATCH_BYTES / (8.0 * m * TYPICAL_STEPS))))
        for first in range(0, self.vectors, size):
            number = np.arange(first, min(first + size, self.vectors))
            if self.exact:
                Z = np.zeros((m, len(number)))
                Z[number, np.arange(len(number))] = 1.0
                yield Z, np.zeros(len(number), dtype=int)
                continue
            probe, column = np.divmod(number, self.columns)
            signs = self.signs[:, probe].astype(np.float64)
            yield signs * (self.column[:, None] == column), probe

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> KrylovFactor:
        """S for the leading block's K, shape (L, q, q), and the templates.

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is not positive definite to working precision.
        """
        return KrylovFactor(self, K, Ts)


@dataclass(frozen=True, eq=False)
class TraceGradient:
    """Derivatives of the estimated log|S| with respect to the templates.

    Attributes
    ----------
    leading : ndarray, shape (probes, d)
        Along each direction of the leading block's K, by each probe.
    trailing : list of ndarray, shape (probes, q, q)
    """

    leading: FloatArray
    trailing: list[FloatArray]


class KrylovFactor:
    """What the criterion asks of S at one theta.

    Attributes
    ----------
    logdet : float
        Estimate of log|S|.
    estimates : ndarray, shape (probes,)
        The same by each probe.
    """

    def __init__(
        self, solver: KrylovSolver, K: FloatArray, Ts: Sequence[FloatArray]
    ) -> None:
        self.solver, self.Ts = solver, Ts
        self.transposed_Ts = [T.T for T in Ts]
        self.G = solver.operator.at(K)
        blocks = [
            T.T @ g @ T + np.eye(len(T)) for g, T in zip(self.G.blocks, Ts, strict=True)
        ]
        self.P = BlockJacobi(solver.layout, blocks)
        self.iterations = 0
        estimates = np.zeros(solver.probes)
        kept: list[tuple[FloatArray, FloatArray, NDArray[Any]]] = []
        spent = 0.0
        for forms, directions, weights, probe in self._runs():
            estimates += np.bincount(probe, forms, minlength=solver.probes)
            spent += directions.nbytes
            if spent <= KEPT_BYTES:
                kept.append((directions, weights, probe))
        self._kept = kept if spent <= KEPT_BYTES else None
        self.estimates = self.P.logdet + estimates
        self.logdet = float(self.estimates.mean())

    @property
    def logdet_mcse(self) -> float:
        """Monte Carlo standard error of :attr:`logdet`."""
        if self.solver.exact:
            return 0.0
        return float(self.estimates.std(ddof=1) / np.sqrt(self.solver.probes))

    def _product(self, X: FloatArray) -> FloatArray:
        """L^-1 S L^-T X."""
        X = self.P.upper(X)
        X += self.solver.layout.left(
            self.transposed_Ts,
            self.G.product(self.solver.layout.left(self.Ts, X)),
        )
        return self.P.lower(X)

    def _runs(
        self,
    ) -> Iterator[tuple[FloatArray, FloatArray, FloatArray, NDArray[Any]]]:
        """Lanczos' method for all probes, batch by batch.

        The derivative of z'log(A) z in A is taken to its principal directions,
        sum_r w_r d_r d_r', of which few have a weight.

        Yields
        ------
        forms : ndarray, shape (c,)
        directions : ndarray, shape (r, m, c)
        weights : ndarray, shape (r, c)
        probe : ndarray of int, shape (c,)
        """
        for Z, probe in self.solver.batches():
            basis = lanczos(self._product, Z, EXHAUSTED, MOST_STEPS)
            forms, C = basis.log_forms()
            self.iterations = max(self.iterations, len(basis.alpha))
            weights, turn = np.linalg.eigh(C)
            order = np.argsort(-np.abs(weights), axis=1)
            weights = np.take_along_axis(weights, order, axis=1)
            turn = np.take_along_axis(turn, order[:, None, :], axis=2)
            size = np.abs(weights)
            most = int((size > NEGLIGIBLE * size[:, :1]).sum(axis=1).max())
            directions = np.einsum(
                "jmc,cjr->rmc", basis.Q, turn[:, :, :most], optimize=True
            )
            yield forms, directions, weights[:, :most].T, probe

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        U, iterations = conjugate_gradients(
            self._product, self.P.lower(R), SOLVED, MOST_STEPS
        )
        self.iterations = max(self.iterations, iterations)
        return self.P.upper(U)

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass without log|S|, which :meth:`trace_gradient` has.

        See :meth:`DenseFactor.gradient`.
        """
        solver, layout = self.solver, self.solver.layout
        UF = U @ F
        TU, TUF = layout.left(self.Ts, U), layout.left(self.Ts, UF)
        R_hat = -2.0 * UF
        first = layout.diagonal_sums(self.G.product(TU), UF)
        second = layout.diagonal_sums(H, R_hat)
        T2 = [2.0 * a + b for a, b in zip(first, second, strict=True)]
        L, q = solver.operator.leading
        V = (solver.A21t @ TU).reshape(L, q, -1)
        VF = (solver.A21t @ TUF).reshape(L, q, -1)
        AGA = np.einsum("lrc,lsc->lrs", VF, V)
        return T2, AGA, layout.left(self.Ts, R_hat)

    def trace_gradient(self, along: FloatArray) -> TraceGradient:
        """Derivatives of log|S| as it is estimated, by each probe.

        Parameters
        ----------
        along : ndarray, shape (d, L, q, q)
            Directions of the leading block's K.
        """
        solver, layout, P = self.solver, self.solver.layout, self.P
        N = [solver.operator.change(K) for K in along]
        leading = np.zeros((solver.probes, len(along)))
        q_s = [q for _, _, q in layout.parts]
        trailing = [np.zeros((solver.probes, q, q)) for q in q_s]
        runs = self._kept
        if runs is None:
            runs = (run[1:] for run in self._runs())  # type: ignore[assignment]
        assert runs is not None
        for directions, weights, probe in runs:
            r, m, c = directions.shape
            flat = directions.transpose(1, 0, 2).reshape(m, r * c)
            X = P.upper(flat)
            Y = layout.left(self.Ts, X)
            W = self.G.product(Y)
            AD = P.lower(X + layout.left(self.transposed_Ts, W))
            weight, owner = weights.ravel(), np.tile(probe, r)
            own = slice(int(probe[0]), int(probe[-1]) + 1)
            pairs = zip(layout.parts, self.Ts, self.G.blocks, strict=True)
            for k, ((rows, _, q), T, g) in enumerate(pairs):
                both = _by_probe(W[rows], X[rows] * weight, q, owner)
                trailing[k][own] += 2.0 * both.sum(axis=1)
                B = _by_probe(flat[rows] * weight, AD[rows], q, owner)
                P_hat = P.adjoint(k, B)
                trailing[k][own] += _trailing_part(g, T, P_hat)
                for d, change in enumerate(N):
                    leading[own, d] -= _leading_part(change.blocks[k], T, P_hat)
            for d, change in enumerate(N):
                forms = np.einsum("mc,mc->c", Y, change.product(Y)) * weight
                leading[:, d] -= np.bincount(owner, forms, minlength=solver.probes)
        for k, (P_hat, T) in enumerate(
            zip(P.determinant_adjoint(), self.Ts, strict=True)
        ):
            trailing[k] += _trailing_part(self.G.blocks[k], T, P_hat[None])
            for d, change in enumerate(N):
                leading[:, d] -= _leading_part(change.blocks[k], T, P_hat[None])
        return TraceGradient(leading, trailing)

    def inverse(self) -> FloatArray:
        """S^-1, column by column.

        Raises
        ------
        NotImplementedError
            Where there are too many columns.
        """
        m = self.solver.layout.m
        if m > INVERTED_UP_TO:
            raise NotImplementedError(
                "variances of single random effects need entries of an inverse with "
                f"{m:,} columns, which solver='krylov' does not form; fit a part of "
                "the data with another solver, or simulate (bootstrap)."
            )
        return self.solve(np.eye(m))

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        solver, layout = self.solver, self.solver.layout
        inverse = self.inverse()
        B = layout.both(self.Ts, inverse)
        L, q = solver.operator.leading
        spread = np.empty((L, q, q))
        levels = max(1, int(BATCH_BYTES / (16.0 * q * layout.m)))
        for first in range(0, L, levels):
            part = slice(first, min(first + levels, L))
            rows = solver.A21t[part.start * q : part.stop * q].toarray()
            left = (rows @ B).reshape(-1, q, layout.m)
            right = rows.reshape(-1, q, layout.m).transpose(0, 2, 1)
            spread[part] = left @ right
        return layout.diagonal_blocks(inverse), spread


def _by_probe(
    left: FloatArray, right: FloatArray, q: int, owner: NDArray[Any]
) -> FloatArray:
    """Diagonal blocks of left right', of each probe's columns apart.

    Shapes (levels * q, c) to (probes, levels, q, q), for the probes from the first of
    the owners on.
    """
    probes = int(owner[-1] - owner[0]) + 1
    indicator = np.zeros((len(owner), probes))
    indicator[np.arange(len(owner)), owner - owner[0]] = 1.0
    a, b = left.reshape(-1, q, len(owner)), right.reshape(-1, q, len(owner))
    out = np.empty((probes, len(a), q, q))
    for r in range(q):
        for s in range(q):
            out[:, :, r, s] = ((a[:, r] * b[:, s]) @ indicator).T
    return out


def _trailing_part(g: FloatArray, T: FloatArray, P_hat: FloatArray) -> FloatArray:
    """2 G T S^ of the diagonal blocks of S^, shape (probes, q, q)."""
    along = 2.0 * np.einsum("lab,plbc->pac", g @ T, P_hat)
    return np.asarray(along)


def _leading_part(change: FloatArray, T: FloatArray, P_hat: FloatArray) -> FloatArray:
    """tr(T'N T S^) of the diagonal blocks of S^ and of N, shape (probes,)."""
    traces = np.einsum("lab,plab->p", T.T @ change @ T, P_hat)
    return np.asarray(traces)
