"""The deviance with one parameter held, as a smooth function of all the others.

Each restriction maps free coordinates x and the held coordinate w to the templates
and sigma, with exact derivatives in both:

- a fixed effect enters in closed form: given theta, holding it at v adds
  (v - beta)^2 / var(beta) to the penalised residual sum of squares;
- sigma is a coordinate itself, as is a standard deviation once the term's whitened
  columns are rotated so that its column comes first: then it is sigma |T_11|;
- a correlation needs its two columns first: with them b_1 = T_11 u_1 and b_2 = h (rho
  u_1 + sqrt(1 - rho^2) u_2), so the three leading entries of T follow from T_11, h and
  rho. T_11 and h are squares of free coordinates, and rho = sin(w), which leaves no
  bound, only even functions at the boundary.

The square template of a block may be anything (:mod:`sm_lmer.core.criterion`), so
the rotations cost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .criterion import Evaluation
from .likelihood import Likelihood
from .terms import FloatArray

STEP = 1e-4
"""Step of central differences where the solver has no gradient."""

LIFTED = 1e-2
"""Smallest diagonal a search starts from: at zero its derivative vanishes."""


AT_BOUND = 1e-7
"""Distance from a bound, in units of the coordinate, that counts as none."""


class Values(NamedTuple):
    """All parameters at a point.

    Attributes
    ----------
    random : ndarray
        Of each term in turn its covariance's lower triangle by columns: standard
        deviations on the diagonal, correlations below it (nan without variance).
    sigma : float
    beta : ndarray, shape (p,)
    """

    random: FloatArray
    sigma: float
    beta: FloatArray


@dataclass(frozen=True, eq=False)
class Estimate:
    """The unrestricted optimum.

    Attributes
    ----------
    likelihood : Likelihood
    theta : ndarray
        In the user's coordinates.
    deviance : float
        Minus twice the log-likelihood (of the restricted one for REML) there.
    sigma : float
    beta, se : ndarray, shape (p,)
    values : Values
    reml : bool
    """

    likelihood: Likelihood
    theta: FloatArray
    deviance: float
    sigma: float
    beta: FloatArray
    se: FloatArray
    values: Values
    reml: bool


def estimate_at(
    likelihood: Likelihood,
    theta: FloatArray,
    Ts: Sequence[FloatArray],
    reml: bool,
) -> Estimate:
    """The estimates at the optimum theta, where the conditioned templates are Ts."""
    at = likelihood.evaluate(Ts, reml)
    basis = likelihood.fixed.basis
    sigma = float(np.sqrt(at.sigma2))
    beta = likelihood.fixed.ols + basis.C @ at.beta
    variances = np.einsum("ij,jk,ik->i", basis.C, at.Fxx_inverse, basis.C)
    return Estimate(
        likelihood,
        theta,
        at.value + likelihood.constant(reml),
        sigma,
        beta,
        sigma * np.sqrt(variances),
        Values(random_values(likelihood, Ts, sigma), sigma, beta),
        reml,
    )


def random_values(
    likelihood: Likelihood, Ts: Sequence[FloatArray], sigma: float
) -> FloatArray:
    """Standard deviations and correlations at the conditioned templates Ts."""
    out = np.empty(likelihood.k_theta)
    for block, A, T in zip(likelihood.blocks, likelihood.As, Ts, strict=True):
        rows = A @ T
        lengths = np.linalg.norm(rows, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = rows / lengths[:, None]
        correlations = np.clip(unit @ unit.T, -1.0, 1.0)
        diagonal = block.rows == block.cols
        out[block.index] = np.where(
            diagonal, sigma * lengths[block.rows], correlations[block.rows, block.cols]
        )
    return out


class Restriction(ABC):
    """The deviance given one parameter, whose coordinate is w.

    Attributes
    ----------
    likelihood : Likelihood
        With the rotations that make the parameter a coordinate.
    estimate : Estimate
    centre : float
        w at the estimate.
    start : ndarray
        x at the estimate.
    bounds : tuple of float
        Of w.
    first_step : float
        A guess of the change of w that raises the deviance by about 0.1.
    """

    likelihood: Likelihood
    estimate: Estimate
    centre: float
    start: FloatArray
    bounds: tuple[float, float]
    first_step: float

    @abstractmethod
    def value_of(self, w: float) -> float:
        """The parameter at its coordinate w."""

    @abstractmethod
    def coordinate_of(self, value: float) -> float:
        """The coordinate w of a value of the parameter."""

    @abstractmethod
    def rate(self, w: float) -> float:
        """Derivative of the parameter in w."""

    @abstractmethod
    def _inner(self, x: FloatArray, w: float) -> FloatArray:
        """Inner coordinates of theta."""

    @abstractmethod
    def _held(
        self, at: Evaluation, x: FloatArray, w: float
    ) -> tuple[float, Evaluation, float]:
        """The deviance, the evaluation to take its gradient from, its partial in w."""

    @abstractmethod
    def _pull(
        self, x: FloatArray, w: float, g: FloatArray, at: Evaluation, partial: float
    ) -> tuple[FloatArray, float]:
        """Derivatives in x and in w from those in the inner coordinates."""

    @abstractmethod
    def lifted(self, x: FloatArray) -> FloatArray:
        """x off the boundary, where derivatives vanish by symmetry."""

    def evaluate(self, x: FloatArray, w: float) -> tuple[float, FloatArray, float]:
        """The deviance, its gradient in x and its derivative in w."""
        if not self.likelihood.criterion.has_gradient:
            return self._by_differences(x, w)
        inner = self._inner(x, w)
        at = self._evaluation(inner)
        value, held, partial = self._held(at, x, w)
        g = self.likelihood.gradient_at(inner, held)
        along, slope = self._pull(x, w, g, held, partial)
        return value, along, slope

    def values(self, x: FloatArray, w: float) -> Values:
        """All parameters at (x, w)."""
        inner = self._inner(x, w)
        Ts = self.likelihood.inner_templates(inner)
        at = self._evaluation(inner)
        _, held, _ = self._held(at, x, w)
        sigma = float(np.sqrt(held.r2 / held.df))
        fixed = self.likelihood.fixed
        beta = fixed.ols + fixed.basis.C @ held.beta
        return Values(random_values(self.likelihood, Ts, sigma), sigma, beta)

    def theta(self, x: FloatArray, w: float) -> FloatArray:
        """The user's theta at (x, w)."""
        return self.likelihood.to_user(self._inner(x, w))[0]

    def _evaluation(self, inner: FloatArray) -> Evaluation:
        templates = self.likelihood.inner_templates(inner)
        return self.likelihood.evaluate(templates, self.estimate.reml)

    def _deviance(self, x: FloatArray, w: float) -> float:
        return self._held(self._evaluation(self._inner(x, w)), x, w)[0]

    def _by_differences(
        self, x: FloatArray, w: float
    ) -> tuple[float, FloatArray, float]:
        value = self._deviance(x, w)
        g = np.empty(len(x) + 1)
        point = np.append(x, w)
        for k in range(len(point)):
            step = STEP * max(1.0, abs(point[k]))
            above, below = point.copy(), point.copy()
            above[k] += step
            below[k] -= step
            high = self._deviance(above[:-1], above[-1])
            g[k] = (high - self._deviance(below[:-1], below[-1])) / (2.0 * step)
        return value, g[:-1], float(g[-1])

    def _constant(self) -> float:
        return self.likelihood.constant(self.estimate.reml)

    def _lifted_inner(self, inner: FloatArray) -> FloatArray:
        vanished = self.likelihood.diagonal & (np.abs(inner) < LIFTED)
        return np.where(vanished, LIFTED, inner)


class HeldFixedEffect(Restriction):
    """Coefficient j of the fixed part; w is its distance in standard errors."""

    def __init__(self, estimate: Estimate, j: int) -> None:
        self.estimate, self.likelihood = estimate, estimate.likelihood
        self._j, self._row = j, self.likelihood.fixed.basis.C[j]
        self.start = self.likelihood.to_inner(estimate.theta)
        self.centre, self.bounds, self.first_step = 0.0, (-np.inf, np.inf), 0.3

    def value_of(self, w: float) -> float:
        return float(self.estimate.beta[self._j] + w * self.estimate.se[self._j])

    def coordinate_of(self, value: float) -> float:
        return float((value - self.estimate.beta[self._j]) / self.estimate.se[self._j])

    def rate(self, w: float) -> float:
        return float(self.estimate.se[self._j])

    def lifted(self, x: FloatArray) -> FloatArray:
        return self._lifted_inner(x)

    def _inner(self, x: FloatArray, w: float) -> FloatArray:
        return x

    def _held(
        self, at: Evaluation, x: FloatArray, w: float
    ) -> tuple[float, Evaluation, float]:
        towards = at.Fxx_inverse @ self._row
        variance = float(self._row @ towards)
        free = float(self._row @ at.beta) + float(self.likelihood.fixed.ols[self._j])
        distance = self.value_of(w) - free
        r2 = at.r2 + distance**2 / variance
        value = at.value + at.df * float(np.log(r2 / at.r2)) + self._constant()
        held = replace(at, r2=r2, beta=at.beta + towards * (distance / variance))
        return value, held, 2.0 * at.df / r2 * distance / variance * self.rate(w)

    def _pull(
        self, x: FloatArray, w: float, g: FloatArray, at: Evaluation, partial: float
    ) -> tuple[FloatArray, float]:
        return g, partial


class _GivenSigma(Restriction):
    """A restriction in which sigma is a coordinate rather than profiled out."""

    @abstractmethod
    def _log_sigma(self, x: FloatArray, w: float) -> float:
        """log(sigma) at (x, w)."""

    def _held(
        self, at: Evaluation, x: FloatArray, w: float
    ) -> tuple[float, Evaluation, float]:
        log_sigma = self._log_sigma(x, w)
        sigma2 = float(np.exp(2.0 * log_sigma))
        share = at.r2 / (at.df * sigma2)
        value = at.value + at.df * (share - 1.0 - float(np.log(share)))
        partial = 2.0 * at.df * (1.0 - share)  # in log(sigma)
        return value + self._constant(), replace(at, r2=at.df * sigma2), partial


class HeldSigma(_GivenSigma):
    """The residual standard deviation; w is its logarithm."""

    def __init__(self, estimate: Estimate) -> None:
        self.estimate, self.likelihood = estimate, estimate.likelihood
        self._scaled = self.likelihood.to_inner(estimate.theta)
        self.start = self._scaled
        self.centre = float(np.log(estimate.sigma))
        self.bounds = (-np.inf, np.inf)
        self.first_step = 0.3 / float(np.sqrt(2.0 * self.likelihood.n))

    def value_of(self, w: float) -> float:
        return float(np.exp(w))

    def coordinate_of(self, value: float) -> float:
        return float(np.log(value)) if value > 0 else -np.inf

    def rate(self, w: float) -> float:
        return float(np.exp(w))

    def lifted(self, x: FloatArray) -> FloatArray:
        return self._lifted_inner(x)

    def _inner(self, x: FloatArray, w: float) -> FloatArray:
        return x

    def _log_sigma(self, x: FloatArray, w: float) -> float:
        return w

    def _pull(
        self, x: FloatArray, w: float, g: FloatArray, at: Evaluation, partial: float
    ) -> tuple[FloatArray, float]:
        return g, partial


class HeldSD(_GivenSigma):
    """The standard deviation of a term's column; w is it over the estimated sigma.

    In the whitened, rotated columns it is sigma |a| T_11, with a the row of the
    whitening matrix A, and w = T_11 at sigma as estimated. x ends with log(sigma).
    """

    def __init__(self, estimate: Estimate, term: int, column: int) -> None:
        self.estimate = estimate
        whitening = _whitening(estimate.likelihood, term)
        levels = estimate.likelihood.terms[term].factor.n_levels
        frame, size = _first_axes(whitening[[column]])
        if estimate.likelihood.terms[term].diagonal:
            k = _position(estimate.likelihood, term, column, column)
            self.likelihood = estimate.likelihood
        else:
            k = _position(estimate.likelihood, term, 0, 0)
            self.likelihood = _turned(estimate.likelihood, term, frame)
        self._k, self._unit = k, float(size[0, 0]) * estimate.sigma
        self._reference = float(np.log(estimate.sigma))
        inner = self.likelihood.to_inner(estimate.theta)
        self.start = np.append(np.delete(inner, k), self._reference)
        self.centre = float(inner[k]) if inner[k] > AT_BOUND else 0.0
        self.bounds = (0.0, np.inf)
        self.first_step = 0.3 * max(self.centre, 0.1) / float(np.sqrt(2.0 * levels))

    def value_of(self, w: float) -> float:
        return w * self._unit

    def coordinate_of(self, value: float) -> float:
        return value / self._unit

    def rate(self, w: float) -> float:
        return self._unit

    def lifted(self, x: FloatArray) -> FloatArray:
        inner = self._lifted_inner(self._inner(x, 1.0))
        return np.append(np.delete(inner, self._k), x[-1])

    def _inner(self, x: FloatArray, w: float) -> FloatArray:
        ratio = float(np.exp(self._reference - x[-1]))
        return np.insert(x[:-1], self._k, w * ratio)

    def _log_sigma(self, x: FloatArray, w: float) -> float:
        return float(x[-1])

    def _pull(
        self, x: FloatArray, w: float, g: FloatArray, at: Evaluation, partial: float
    ) -> tuple[FloatArray, float]:
        along = float(g[self._k] * np.exp(self._reference - x[-1]))
        return np.append(np.delete(g, self._k), partial - w * along), along


class HeldCorrelation(Restriction):
    """The correlation of two columns of a term; w is its arc sine."""

    def __init__(self, estimate: Estimate, term: int, first: int, second: int) -> None:
        self.estimate = estimate
        whitening = _whitening(estimate.likelihood, term)
        frame, axes = _first_axes(whitening[[first, second]])
        self.likelihood = _turned(estimate.likelihood, term, frame)
        self._size, self._alpha, self._gamma = axes[0, 0], axes[0, 1], axes[1, 1]
        of_entry = [(0, 0), (1, 0), (1, 1)]
        self._three = [_position(self.likelihood, term, r, c) for r, c in of_entry]
        inner = self.likelihood.to_inner(estimate.theta)
        T11, T21, T22 = inner[self._three]
        along = self._alpha * T11 + self._gamma * T21
        across = self._gamma * T22
        h = float(np.hypot(along, across))
        self.start = self._packed(np.sqrt([T11, h]), np.delete(inner, self._three))
        self.bounds = (-np.pi / 2, np.pi / 2)
        self.centre = float(np.arctan2(along, across))
        if h > 0 and across < AT_BOUND * h:
            self.centre = self.bounds[1] if along > 0 else self.bounds[0]
        levels = self.likelihood.terms[term].factor.n_levels
        self.first_step = 0.3 / float(np.sqrt(levels))

    def value_of(self, w: float) -> float:
        return float(np.sin(w))

    def coordinate_of(self, value: float) -> float:
        return float(np.arcsin(np.clip(value, -1.0, 1.0)))

    def rate(self, w: float) -> float:
        return float(np.cos(w))

    def lifted(self, x: FloatArray) -> FloatArray:
        roots, others = x[:2], x[2:]
        inner = self._spread(self._leading(np.maximum(roots**2, LIFTED), 0.0), others)
        others = np.delete(self._lifted_inner(inner), self._three)
        floor = np.sqrt(LIFTED * np.array([1.0, abs(self._gamma)]))
        return self._packed(np.maximum(np.abs(roots), floor), others)

    @staticmethod
    def _packed(roots: FloatArray, others: FloatArray) -> FloatArray:
        return np.concatenate([roots, others])

    def _leading(self, sizes: FloatArray, w: float) -> FloatArray:
        """T_11, T_21 and T_22 from T_11 and h."""
        t, h = sizes
        T21 = (np.sin(w) * h - self._alpha * t) / self._gamma
        return np.array([t, T21, np.cos(w) * h / self._gamma])

    def _spread(self, leading: FloatArray, others: FloatArray) -> FloatArray:
        inner = np.empty(self.likelihood.k_theta)
        rest = np.delete(np.arange(self.likelihood.k_theta), self._three)
        inner[self._three], inner[rest] = leading, others
        return inner

    def _inner(self, x: FloatArray, w: float) -> FloatArray:
        return self._spread(self._leading(x[:2] ** 2, w), x[2:])

    def _held(
        self, at: Evaluation, x: FloatArray, w: float
    ) -> tuple[float, Evaluation, float]:
        return at.value + self._constant(), at, 0.0

    def _pull(
        self, x: FloatArray, w: float, g: FloatArray, at: Evaluation, partial: float
    ) -> tuple[FloatArray, float]:
        g11, g21, g22 = g[self._three]
        sin, cos = np.sin(w), np.cos(w)
        in_t = g11 - g21 * self._alpha / self._gamma
        in_h = (g21 * sin + g22 * cos) / self._gamma
        slope = x[1] ** 2 / self._gamma * (g21 * cos - g22 * sin)
        roots = 2.0 * x[:2] * np.array([in_t, in_h])
        return self._packed(roots, np.delete(g, self._three)), float(slope)


# -- rotations -------------------------------------------------------------------------


def _part(likelihood: Likelihood, term: int) -> tuple[int, slice]:
    """Block of a term, and its columns within the block."""
    for j, block in enumerate(likelihood.blocks):
        for k, start in zip(block.terms, block.starts, strict=True):
            if k == term:
                return j, slice(start, start + likelihood.terms[term].q)
    raise IndexError(f"there is no term {term}")


def _whitening(likelihood: Likelihood, term: int) -> FloatArray:
    """The term's part of A: its columns are the whitened ones times its inverse."""
    j, part = _part(likelihood, term)
    return likelihood.As[j][part, part]


def _first_axes(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A rotation whose first axes span the rows, and the rows along these axes.

    Returns
    -------
    frame : ndarray, shape (q, q)
    axes : ndarray, shape (r, r)
        Upper triangular, its diagonal positive; row i is ``frame[:, :r] @ axes[:, i]``.
    """
    r = len(rows)
    frame, axes = np.linalg.qr(rows.T, mode="complete")
    signs = np.where(axes[:r].diagonal() < 0, -1.0, 1.0)
    frame[:, :r] *= signs
    return frame, axes[:r] * signs[:, None]


def _turned(likelihood: Likelihood, term: int, frame: FloatArray) -> Likelihood:
    """The likelihood with one term's whitened columns rotated."""
    block, part = _part(likelihood, term)
    rotations = [np.eye(b.q) for b in likelihood.blocks]
    rotations[block][part, part] = frame
    return likelihood.rotated(rotations)


def _position(likelihood: Likelihood, term: int, row: int, column: int) -> int:
    """Where an entry of a term's template stands in theta."""
    found, part = likelihood.parts[term]
    rows, columns = found.positions()
    return part.start + int(np.flatnonzero((rows == row) & (columns == column))[0])
