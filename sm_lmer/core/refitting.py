"""Fits of many responses on one design, from the estimates of one of them.

Nothing that the design determines is computed again: a refit starts at theta-hat with
the factors and the metric found there, and returns numbers, not results. Small designs
are refitted all at once (:mod:`sm_lmer.core.batched`), others one by one. Whatever
stops near the boundary or short of convergence goes through an ordinary search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ..linalg.dense import DenseFactor
from .batched import BatchedCriterion, Evaluations, Responses, suits
from .bfgs import LONGEST_STEP, SUFFICIENT_DECREASE, minimize_bfgs
from .criterion import Evaluation
from .fitted import solve_at
from .likelihood import Likelihood
from .optimize import (
    ACCEPTED,
    IMPROVED,
    SINGULAR,
    SNAP,
    Optimum,
    Point,
    optimize,
)
from .solving import quadratic_slope, with_factors_of
from .start import inverse_information
from .terms import FloatArray

TOLERANCE = 1e-10
"""Newton decrement at which a refit stops: 1e-5 standard errors of theta."""

LAST_STEP = 1e-5
"""Newton decrement from which one more step, not evaluated, ends a single refit."""

MOST_ITERATIONS = 60
"""Evaluations of a refit after which an ordinary search takes over."""

AT_ONCE = 128
"""Most responses that are refitted together."""

NUMBERS_AT_ONCE = 4_000_000
"""Most numbers in an array of such a batch."""


@dataclass(frozen=True, eq=False)
class Refits:
    """Estimates of fits to R responses.

    Attributes
    ----------
    theta : ndarray, shape (R, k_theta)
    beta, se : ndarray, shape (R, p)
        Fixed effects in the user's units, and their standard errors.
    sigma : ndarray, shape (R,)
    value : ndarray, shape (R,)
        The criterion.
    smallest : ndarray, shape (R,)
        Smallest singular value of the whitened templates.
    converged : ndarray of bool, shape (R,)
    """

    theta: FloatArray
    beta: FloatArray
    se: FloatArray
    sigma: FloatArray
    value: FloatArray
    smallest: FloatArray
    converged: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma)

    @property
    def singular(self) -> np.ndarray:
        """Which of the fits are singular."""
        return self.smallest < SINGULAR

    def take(self, rows: np.ndarray) -> Refits:
        """Some of the fits."""
        return Refits(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def together(cls, parts: list[Refits]) -> Refits:
        """Refits of several batches, one after the other."""
        names = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(r, n) for r in parts]) for n in names))


class Refitter:
    """Fits other responses on the design of a fit.

    Parameters
    ----------
    likelihood : Likelihood
        That of the fit, with its rotations at the identity.
    theta : ndarray, shape (k_theta,)
        The user's theta to start from.
    reml : bool
    """

    def __init__(self, likelihood: Likelihood, theta: FloatArray, reml: bool) -> None:
        self.likelihood, self.reml = likelihood, reml
        self.start = _inside(likelihood, likelihood.to_inner(theta))
        at = likelihood.evaluate(likelihood.inner_templates(self.start), reml)
        gradient = likelihood.gradient_at(self.start, at)
        self.metric = inverse_information(likelihood, self.start, gradient, at)
        self.at, self.slope = at, gradient
        if likelihood.criterion.has_gradient:
            self.slope = gradient - self._quadratic(likelihood, at)
        self.batched = BatchedCriterion(likelihood, reml) if suits(likelihood) else None

    @property
    def at_once(self) -> int:
        """Number of responses that make up a batch; a property of the design."""
        if self.batched is None:
            return max(1, min(AT_ONCE, NUMBERS_AT_ONCE // self.likelihood.n))
        b = self.batched
        widest = max(self.likelihood.n, b.L * b.q**2, b.m * b.m, 1)
        return max(1, min(AT_ONCE, NUMBERS_AT_ONCE // widest))

    def refit(self, Y: FloatArray) -> Refits:
        """Fit the columns of Y, shape (n, R), less the offset.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the criterion is not defined at the start for one of them.
        """
        parts = []
        for first in range(0, Y.shape[1], self.at_once):
            part = Y[:, first : first + self.at_once]
            found = None if self.batched is None else self._all(self.batched, part)
            if found is None:
                found = Refits.together([self._light(y) for y in part.T])
            parts.append(found)
        return Refits.together(parts)

    # -- one by one ------------------------------------------------------------

    def _quadratic(self, likelihood: Likelihood, at: Evaluation) -> FloatArray:
        """The part of the gradient that depends on the response."""
        slopes = quadratic_slope(likelihood.criterion, at)
        return np.array([slopes[j][r, c] for j, r, c in likelihood.positions])

    def _at_start(self, likelihood: Likelihood) -> tuple[float, FloatArray]:
        """Criterion and gradient at the start, by the factors of the fit."""
        at = with_factors_of(likelihood.criterion, self.at)
        value = at.value + likelihood.constant(self.reml)
        return value, self.slope + self._quadratic(likelihood, at)

    def optimum(self, y: FloatArray) -> tuple[Likelihood, Optimum]:
        """The optimum of one response by the light search, or else the ordinary one."""
        likelihood = self.likelihood.with_response(y)
        light = self._search(likelihood)
        if light is not None:
            return likelihood, light
        return likelihood, optimize(
            likelihood, self.reml, start=self.start, gtol=TOLERANCE
        )

    def _search(self, likelihood: Likelihood) -> Optimum | None:
        """A search with the metric of the fit; None near a boundary or if it stops."""
        if not likelihood.criterion.has_gradient:
            return None
        reml, constant = self.reml, likelihood.constant(self.reml)
        calls, latest = 0, self.at
        keeps_factors = self.at.factor is None or isinstance(
            self.at.factor, DenseFactor
        )

        def objective(x: FloatArray) -> tuple[float, FloatArray]:
            nonlocal calls, latest
            calls += 1
            if calls == 1 and keeps_factors:
                return self._at_start(likelihood)
            latest = likelihood.evaluate(likelihood.inner_templates(x), reml)
            return latest.value + constant, likelihood.gradient_at(x, latest)

        def metric(x: FloatArray, gradient: FloatArray) -> FloatArray:
            if calls == 1:
                return self.metric
            return inverse_information(likelihood, x, gradient, latest)

        found = minimize_bfgs(objective, self.start, metric, LAST_STEP, MOST_ITERATIONS)
        x = found.x - found.inverse_hessian @ found.gradient
        smallest = tuple(smallest_values(likelihood, x[None])[0])
        if found.decrement > LAST_STEP or min(smallest) < SNAP:
            return None
        return Optimum(
            point=Point(x, tuple(likelihood.rotations)),
            value=found.value - 0.5 * found.decrement,
            decrement=found.decrement,
            converged=True,
            smallest=smallest,
            message=f"converged: Newton decrement {found.decrement:.1e}",
            iterations=found.iterations,
            evaluations=calls,
            restarts=0,
            log=(),
            seconds=0.0,
        )

    def _light(self, y: FloatArray) -> Refits:
        return light(*self.optimum(y), self.reml)

    # -- many at once ----------------------------------------------------------

    def _all(self, criterion: BatchedCriterion, Y: FloatArray) -> Refits | None:
        """All the columns of Y together; None if the criterion fails for one."""
        likelihood = self.likelihood
        given = criterion.responses(Y)
        start = np.tile(self.start, (Y.shape[1], 1))
        try:
            x, value, converged = self._minimise(criterion, start, given)
            edge = np.flatnonzero(smallest_values(likelihood, x).min(axis=1) < SINGULAR)
            if len(edge):
                away = np.array([_off_boundary(likelihood, x[r]) for r in edge])
                there, lower, done = self._minimise(criterion, away, given.take(edge))
                better = done & (lower < value[edge] - IMPROVED)
                x[edge[better]], value[edge[better]] = there[better], lower[better]
                converged[edge[better]] = True
            self._snap(criterion, x, value, given)
            at = criterion.evaluate(x, given, gradient=False)
        except np.linalg.LinAlgError:
            return None
        found = self._gathered(criterion, x, at, given, converged)
        for r in np.flatnonzero(~converged):
            one = self._light(Y[:, r])
            for f in fields(found):
                getattr(found, f.name)[r] = getattr(one, f.name)[0]
        return found

    def _minimise(
        self, criterion: BatchedCriterion, x: FloatArray, given: Responses
    ) -> tuple[FloatArray, FloatArray, np.ndarray]:
        def objective(
            points: FloatArray, rows: np.ndarray
        ) -> tuple[FloatArray, FloatArray]:
            at = criterion.evaluate(points, given.take(rows))
            assert at.gradient is not None
            return at.value, at.gradient

        return minimise_together(objective, x, self.metric)

    def _snap(
        self,
        criterion: BatchedCriterion,
        x: FloatArray,
        value: FloatArray,
        given: Responses,
    ) -> None:
        """Set small diagonals to exactly zero where the criterion gets no worse."""
        for k in np.flatnonzero(self.likelihood.diagonal):
            rows = np.flatnonzero((np.abs(x[:, k]) < SNAP) & (x[:, k] != 0))
            if not len(rows):
                continue
            trial = x[rows].copy()
            trial[:, k] = 0.0
            at = criterion.evaluate(trial, given.take(rows), gradient=False)
            good = at.value <= value[rows] + 1e-13 * np.maximum(1.0, abs(value[rows]))
            x[rows[good]], value[rows[good]] = trial[good], at.value[good]

    def _gathered(
        self,
        criterion: BatchedCriterion,
        x: FloatArray,
        at: Evaluations,
        given: Responses,
        converged: np.ndarray,
    ) -> Refits:
        likelihood = self.likelihood
        C = likelihood.fixed.basis.C
        sigma2 = at.r2 / criterion.df
        variances = np.einsum("ai,rij,aj->ra", C, at.Fxx_inverse, C, optimize=True)
        return Refits(
            theta=_user_thetas(likelihood, criterion.templates(x)),
            beta=given.ols + at.beta @ C.T,
            se=np.sqrt(sigma2[:, None] * variances),
            sigma=np.sqrt(sigma2),
            value=at.value + likelihood.constant(self.reml),
            smallest=smallest_values(likelihood, x).min(axis=1),
            converged=converged,
        )


def light(likelihood: Likelihood, optimum: Optimum, reml: bool) -> Refits:
    """The estimates of one fit, as refits have them."""
    theta, Ts = optimum.point.to_user(likelihood)
    solution = solve_at(likelihood, theta, reml, Ts)
    variances = solution.sigma2 * solution.vcov_unscaled.diagonal()
    return Refits(
        theta=theta[None],
        beta=solution.beta[None],
        se=np.sqrt(variances)[None],
        sigma=np.sqrt([solution.sigma2]),
        value=np.array([solution.value]),
        smallest=np.array([min(optimum.smallest)]),
        converged=np.array([optimum.converged]),
    )


def minimise_together(
    objective: Callable[[FloatArray, np.ndarray], tuple[FloatArray, FloatArray]],
    x: FloatArray,
    metric: FloatArray,
) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """BFGS with backtracking for many functions of k variables side by side.

    Parameters
    ----------
    objective : callable
        Values and gradients of the functions of some numbers at points, one a row.
    x : ndarray, shape (R, k)
        Starts.
    metric : ndarray, shape (k, k)
        Inverse Hessian of the first step of all.

    Returns
    -------
    x : ndarray, shape (R, k)
    value : ndarray, shape (R,)
    converged : ndarray of bool, shape (R,)
    """
    R = len(x)
    x = x.copy()
    f, g = objective(x, np.arange(R))
    f, g = f.copy(), g.copy()
    H = np.tile(metric, (R, 1, 1))
    step = np.ones(R)
    decrement = np.einsum("ri,rij,rj->r", g, H, g)
    active = np.flatnonzero(decrement > TOLERANCE)
    for _ in range(MOST_ITERATIONS):
        if not len(active):
            break
        here, slopes = x[active], g[active]
        direction = -np.einsum("rij,rj->ri", H[active], slopes)
        longest = (abs(direction) / np.maximum(1.0, abs(here))).max(axis=1)
        direction *= np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-300))[
            :, None
        ]
        slope = np.einsum("ri,ri->r", slopes, direction)
        move = step[active, None] * direction
        f_new, g_new = objective(here + move, active)
        noise = 1e-14 * np.maximum(1.0, abs(f[active]))
        limit = f[active] + SUFFICIENT_DECREASE * step[active] * slope + noise
        good = f_new <= limit
        rise = f_new - f[active] - step[active] * slope
        share = -slope * step[active] / np.maximum(2.0 * rise, 1e-300)
        step[active] = np.where(good, 1.0, step[active] * np.clip(share, 0.1, 0.5))
        rows = active[good]
        s, y = move[good], g_new[good] - slopes[good]
        x[rows] += s
        f[rows], g[rows] = f_new[good], g_new[good]
        H[rows] = _updated(H[rows], s, y)
        decrement[rows] = np.einsum("ri,rij,rj->r", g[rows], H[rows], g[rows])
        active = active[(decrement[active] > TOLERANCE) & (step[active] > 1e-10)]
    return x, f, decrement <= ACCEPTED


def _updated(H: FloatArray, s: FloatArray, y: FloatArray) -> FloatArray:
    """BFGS updates of inverse Hessians where the curvature is positive."""
    sy = np.einsum("ri,ri->r", s, y)
    sizes = np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    curved = sy > 1e-12 * sizes
    rho = np.where(curved, 1.0 / np.where(curved, sy, 1.0), 0.0)
    Hy = np.einsum("rij,rj->ri", H, y)
    scale = rho * (1.0 + rho * np.einsum("ri,ri->r", y, Hy))
    cross = rho[:, None, None] * Hy[:, :, None] * s[:, None, :]
    square = scale[:, None, None] * s[:, :, None] * s[:, None, :]
    return H + square - cross - cross.transpose(0, 2, 1)


def _inside(likelihood: Likelihood, inner: FloatArray) -> FloatArray:
    """The start, away from a boundary, where the criterion is always stationary."""
    return _off_boundary(likelihood, inner) if _flat(likelihood, inner) else inner


def _off_boundary(likelihood: Likelihood, inner: FloatArray) -> FloatArray:
    """A point away from the boundary: vanished diagonals back at one half."""
    vanished = likelihood.diagonal & (np.abs(inner) < 10 * SINGULAR)
    moved = np.where(likelihood.diagonal, inner, 0.5 * inner)
    return np.where(vanished, 0.5, moved)


def _flat(likelihood: Likelihood, inner: FloatArray) -> bool:
    return bool(smallest_values(likelihood, inner[None]).min() < SINGULAR)


def smallest_values(likelihood: Likelihood, x: FloatArray) -> FloatArray:
    """Smallest singular value of each term's template, shape (R, terms)."""
    out = np.empty((len(x), len(likelihood.terms)))
    for k, (term, part) in enumerate(likelihood.parts):
        if term.q == 1 or term.diagonal:
            out[:, k] = abs(x[:, part]).min(axis=1)
            continue
        T = np.zeros((len(x), term.q, term.q))
        rows, cols = term.positions()
        T[:, rows, cols] = x[:, part]
        out[:, k] = np.linalg.svd(T, compute_uv=False).min(axis=1)
    return out


def _user_thetas(likelihood: Likelihood, Ts: list[FloatArray]) -> FloatArray:
    """The user's theta for each of the conditioned templates, shape (R, k_theta)."""
    theta = np.empty((len(Ts[0]), likelihood.k_theta))
    for block, A, T in zip(likelihood.blocks, likelihood.As, Ts, strict=True):
        B = A @ T
        full = np.zeros_like(B)
        for k, start in zip(block.terms, block.starts, strict=True):
            term, part = (
                likelihood.terms[k],
                slice(start, start + likelihood.terms[k].q),
            )
            if term.diagonal or term.q == 1:
                full[:, part, part] = abs(B[:, part, part])
                continue
            _, R = np.linalg.qr(B[:, part, part].transpose(0, 2, 1))
            diagonal = np.diagonal(R, axis1=1, axis2=2)
            signs = np.where(diagonal < 0, -1.0, 1.0)
            full[:, part, part] = np.tril((R * signs[:, :, None]).transpose(0, 2, 1))
        theta[:, block.index] = full[:, block.rows, block.cols]
    return theta
