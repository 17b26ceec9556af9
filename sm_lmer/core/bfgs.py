"""Quasi-Newton minimisation that treats a failed factorisation as a rejected step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .terms import FloatArray

Objective = Callable[[FloatArray], tuple[float, FloatArray]]
Metric = Callable[[FloatArray, FloatArray], FloatArray]
Values = Callable[[FloatArray], float]

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
NOISE = 1e-14
"""Relative rounding error of the objective, below which a decrease means nothing."""

LONGEST_STEP = 2.0
TRIALS = 25

SCORING = 1e-3
"""Newton decrement below which updates serve better than the metric."""

SLOW = 0.3
"""Ratio of successive Newton decrements from which on the metric is corrected."""

SCORING_STEPS = 6
"""Most steps that take their Hessian from the metric."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the minimisation stopped.

    Attributes
    ----------
    x, gradient : ndarray, shape (k,)
        The gradient is that before the last step.
    value : float
    inverse_hessian : ndarray, shape (k, k)
        Quasi-Newton approximation.
    decrement : float
        Newton decrement g'H^-1 g: twice the decrease that a Newton step promises.
        After a last step without a gradient, what the rate of the search promises.
    iterations : int
    stop : {"converged", "stalled", "limit"}
    """

    x: FloatArray
    value: float
    gradient: FloatArray
    inverse_hessian: FloatArray
    decrement: float
    iterations: int
    stop: str


def minimize_bfgs(
    objective: Objective,
    x: FloatArray,
    metric: Metric,
    tolerance: float,
    maxiter: int,
    value: Values | None = None,
) -> Minimum:
    """Minimise by scoring, then BFGS, with a Wolfe line search.

    The first steps take their Hessian from `metric`; once the Newton decrement is
    small, or scoring has had its chance, the last of these is updated instead
    (Nocedal and Wright 2006, ch. 6), which converges superlinearly.

    Parameters
    ----------
    objective : callable
        Returns value and gradient; raises LinAlgError where it is not defined.
    x : ndarray, shape (k,)
        Start; the objective must be defined there.
    metric : callable
        Returns an approximate inverse Hessian, positive definite, shape (k, k), at a
        point with the gradient there.
    tolerance : float
        Stop when the Newton decrement falls below it.
    maxiter : int
        Largest number of iterations.
    value : callable, optional
        The objective alone, infinite where it is not defined. The last step, after
        which the decrement will be below the tolerance if it shrinks by no less than
        it did before, needs no gradient.
    """
    f, g = objective(x)
    H = metric(x, g)
    scored = 1
    fresh = True
    before = np.nan
    for iteration in range(maxiter):
        direction = -H @ g
        decrement = -float(g @ direction)
        if decrement <= tolerance:
            return Minimum(x, f, g, H, decrement, iteration, "converged")
        promised = decrement * (decrement / before)
        if value is not None and promised <= tolerance:
            f_new = value(x + direction)
            if f_new <= f + NOISE * max(1.0, abs(f)):
                x = x + direction
                return Minimum(x, f_new, g, H, promised, iteration + 1, "converged")
        before = decrement
        longest = np.max(np.abs(direction) / np.maximum(1.0, np.abs(x)))
        if longest > LONGEST_STEP:
            direction *= LONGEST_STEP / longest
        found = _line_search(objective, x, f, g, direction)
        if found is None:
            if fresh:
                return Minimum(x, f, g, H, decrement, iteration, "stalled")
            H, fresh = metric(x, g), True
            continue
        s, y = found[0] - x, found[2] - g
        x, f, g = found
        if decrement > SCORING and scored < SCORING_STEPS:
            H, fresh = metric(x, g), True
            scored += 1
            if float(g @ H @ g) <= SLOW * decrement:
                continue  # the metric is good enough as it is
        if s @ y > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            H, fresh = _update(H, s, y), False
    return Minimum(x, f, g, H, float(g @ H @ g), maxiter, "limit")


def _update(H: FloatArray, s: FloatArray, y: FloatArray) -> FloatArray:
    """The BFGS update of the inverse Hessian (Nocedal and Wright, eq. 6.17)."""
    rho = 1.0 / float(s @ y)
    Hy = H @ y
    scale = rho * (1.0 + rho * float(y @ Hy))
    cross = rho * np.outer(Hy, s)
    updated: FloatArray = H + scale * np.outer(s, s) - cross - cross.T
    return updated


def _line_search(
    objective: Objective, x: FloatArray, f: float, g: FloatArray, direction: FloatArray
) -> tuple[FloatArray, float, FloatArray] | None:
    """A point with sufficient decrease and curvature; the best seen, or None."""
    slope = float(g @ direction)
    noise = NOISE * max(1.0, abs(f))
    low, low_slope, high, high_slope = 0.0, slope, np.inf, 0.0
    best = None
    step = 1.0
    for _ in range(TRIALS):
        x_new = x + step * direction
        try:
            f_new, g_new = objective(x_new)
        except np.linalg.LinAlgError:
            high, high_slope = step, np.nan
            step = 0.5 * (low + high)
            continue
        slope_new = float(g_new @ direction)
        if f_new > f + SUFFICIENT_DECREASE * step * slope + noise:
            high, high_slope = step, slope_new
        else:
            if abs(slope_new) <= CURVATURE * abs(slope):
                return x_new, f_new, g_new
            if best is None or f_new < best[1]:
                best = x_new, f_new, g_new
            if slope_new < 0:
                low, low_slope = step, slope_new
            else:
                high, high_slope = step, slope_new
        step = _next_step(low, low_slope, high, high_slope)
    return best


def _next_step(low: float, low_slope: float, high: float, high_slope: float) -> float:
    """Secant step on the slopes, kept well inside the bracket."""
    if not np.isfinite(high):
        return max(2.0 * low, 1e-3)
    share = 0.5
    if high_slope > 0:
        share = low_slope / (low_slope - high_slope)
    return low + (high - low) * min(max(share, 0.1), 0.9)
