"""Maximum likelihood and REML estimates of theta, with a verdict on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize as scipy_optimize

from .bfgs import minimize_bfgs
from .criterion import Evaluation
from .likelihood import CENTRAL, FIVE_POINT, Likelihood
from .start import collinear_start, em_step, inverse_information
from .terms import FloatArray

DECREMENT = 1e-13
"""Newton decrement at which the quasi-Newton search stops."""

DECREMENT_BY_DIFFERENCES = 1e-9
"""The same where the gradient comes from differences."""

ACCEPTED = 1e-6
"""Newton decrement up to which a stopped search counts as converged."""

EM_STEPS = 2
"""EM steps before scoring: they find the order of magnitude of the variances."""

SINGULAR = 1e-4
"""Singular value of a whitened template below which a fit is singular."""

FIRST_AXES = 5
"""Iterations before the first turn to the principal axes; then twice as many, ..."""

SNAP = 1e-2
"""Diagonals below this are tried at exactly zero."""

IMPROVED = 1e-7
"""Decrease of the criterion that makes a restart's optimum another one."""

METHODS = {
    "bfgs": None,
    "bobyqa": "COBYQA",
    "lbfgs": "L-BFGS-B",
    "cg": "CG",
    "nm": "Nelder-Mead",
    "powell": "Powell",
}
"""What ``fit(method=...)`` takes; all but the first are SciPy's."""

GRADIENT_FREE = ("bobyqa", "nm", "powell")


@dataclass(frozen=True, eq=False)
class Point:
    """Inner coordinates, and the rotations of the whitened columns they belong to."""

    inner: FloatArray
    rotations: tuple[FloatArray, ...]

    def to_user(self, likelihood: Likelihood) -> tuple[FloatArray, list[FloatArray]]:
        """theta, and the conditioned templates of the blocks at it."""
        return likelihood.rotated(self.rotations).to_user(self.inner)


@dataclass(frozen=True, eq=False)
class LogEntry:
    """One evaluation of the criterion: its number, value and place."""

    number: int
    value: float
    point: Point


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum and how it was reached.

    Attributes
    ----------
    point : Point
    value : float
    decrement : float
        Newton decrement g'H^-1 g at the optimum, in units of the criterion.
    converged : bool
    smallest : tuple of float
        Smallest singular value of each term's whitened template.
    message : str
    iterations, evaluations : int
    restarts : int
        Searches begun from other points: automatic ones at a boundary and for
        independent coefficients of collinear columns, and those asked for.
    log : tuple of LogEntry
    seconds : float
    """

    point: Point
    value: float
    decrement: float
    converged: bool
    smallest: tuple[float, ...]
    message: str
    iterations: int
    evaluations: int
    restarts: int
    log: tuple[LogEntry, ...]
    seconds: float


class _Recorder:
    """The objective of one fit: counts, logs and shows its evaluations.

    Its `likelihood` has the coordinates of the moment.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        reml: bool,
        show: Callable[[LogEntry], None] | None,
    ) -> None:
        self.likelihood, self.reml, self.show = likelihood, reml, show
        self.log: list[LogEntry] = []
        self.latest: tuple[FloatArray, Evaluation] | None = None

    def __call__(self, inner: FloatArray) -> tuple[float, FloatArray]:
        at = self._evaluate(inner)
        value = at.value + self.likelihood.constant(self.reml)
        self._record(value, inner)
        return value, self.likelihood.gradient_at(inner, at)

    def _evaluate(self, inner: FloatArray) -> Evaluation:
        at = self.likelihood.evaluate(self.likelihood.inner_templates(inner), self.reml)
        self.latest = inner.copy(), at
        return at

    def metric(self, inner: FloatArray, gradient: FloatArray) -> FloatArray:
        """Approximate inverse Hessian, from the latest evaluation if it was here."""
        if self.latest is not None and np.array_equal(self.latest[0], inner):
            at = self.latest[1]
        else:
            at = self._evaluate(inner)
        return inverse_information(self.likelihood, inner, gradient, at)

    def value(self, inner: FloatArray) -> float:
        """The criterion alone; infinite where it is not defined."""
        try:
            value = self.likelihood.value(inner, self.reml, inner=True)
        except np.linalg.LinAlgError:
            return np.inf
        self._record(value, inner)
        return value

    def _record(self, value: float, inner: FloatArray) -> None:
        point = Point(inner.copy(), tuple(self.likelihood.rotations))
        entry = LogEntry(len(self.log) + 1, value, point)
        self.log.append(entry)
        if self.show is not None:
            self.show(entry)


@dataclass(frozen=True, eq=False)
class _Search:
    point: Point
    value: float
    decrement: float
    iterations: int


def optimize(
    likelihood: Likelihood,
    reml: bool,
    *,
    start: FloatArray | None = None,
    method: str = "bfgs",
    restarts: int = 0,
    maxiter: int = 500,
    gtol: float | None = None,
    show: Callable[[LogEntry], None] | None = None,
) -> Optimum:
    """Minimise the criterion over theta.

    Parameters
    ----------
    likelihood : Likelihood
    reml : bool
    start : ndarray, optional
        Inner coordinates to start from; the identity template by default.
    method : str
        One of :data:`METHODS`.
    restarts : int
        Further searches from random points; one more is made by itself when the
        optimum is on the boundary.
    maxiter : int
        Largest number of iterations of each search.
    gtol : float, optional
        Newton decrement at which a search stops.
    show : callable, optional
        Called with each :class:`LogEntry`.
    """
    began = time.perf_counter()
    recorder = _Recorder(likelihood, reml, show)
    first = likelihood.start if start is None else np.asarray(start, dtype=np.float64)
    best = _search(recorder, first, method, maxiter, gtol)
    done = 0
    other = collinear_start(likelihood) if start is None else None
    if other is not None:
        done += 1
        recorder.likelihood = likelihood
        best = _better(best, _attempt(recorder, other, method, maxiter, gtol))
    if min(_smallest(likelihood, best.point)) < SINGULAR:
        done += 1
        recorder.likelihood = likelihood.rotated(best.point.rotations)
        point = _off_boundary(likelihood, best.point.inner)
        best = _better(best, _attempt(recorder, point, method, maxiter, gtol))
    rng = np.random.default_rng(0)
    for _ in range(restarts):
        done += 1
        recorder.likelihood = likelihood
        point = _random_start(likelihood, rng)
        best = _better(best, _attempt(recorder, point, method, maxiter, gtol))
    converged = best.decrement <= max(ACCEPTED, 10.0 * (gtol or 0.0))
    return Optimum(
        point=best.point,
        value=best.value,
        decrement=best.decrement,
        converged=converged,
        smallest=_smallest(likelihood, best.point),
        message=_message(best, converged, maxiter),
        iterations=best.iterations,
        evaluations=len(recorder.log),
        restarts=done,
        log=tuple(recorder.log),
        seconds=time.perf_counter() - began,
    )


def _message(best: _Search, converged: bool, maxiter: int) -> str:
    if converged:
        return f"converged: Newton decrement {best.decrement:.1e}"
    cause = "where no further step lowers it"
    if best.iterations >= maxiter:
        cause = f"at maxiter={maxiter}"
    return (
        f"the search stopped {cause} with a Newton decrement of "
        f"{best.decrement:.1e}, so the criterion may still be {best.decrement / 2:.1e} "
        "too high; try more iterations (maxiter=), restarts= or another method="
    )


def _attempt(
    recorder: _Recorder,
    start: FloatArray,
    method: str,
    maxiter: int,
    gtol: float | None,
) -> _Search | None:
    """A further search; None if the criterion is not defined where it starts."""
    try:
        return _search(recorder, start, method, maxiter, gtol)
    except np.linalg.LinAlgError:
        return None


def _search(
    recorder: _Recorder,
    start: FloatArray,
    method: str,
    maxiter: int,
    gtol: float | None,
) -> _Search:
    if method == "bfgs":
        return _snapped(recorder, _quasi_newton(recorder, start, maxiter, gtol))
    return _snapped(recorder, _scipy_search(recorder, start, method, maxiter))


def _quasi_newton(
    recorder: _Recorder, start: FloatArray, maxiter: int, gtol: float | None
) -> _Search:
    """EM steps, then scoring and BFGS, turned to the principal axes now and then."""
    likelihood = recorder.likelihood
    exact = likelihood.criterion.has_gradient
    tolerance = gtol or (DECREMENT if exact else DECREMENT_BY_DIFFERENCES)
    x = start
    for _ in range(EM_STEPS):
        x = em_step(likelihood, x, recorder(x)[1])
    turns = any(term.q > 1 and not term.diagonal for term in likelihood.terms)
    iterations, allowed = 0, FIRST_AXES if turns else maxiter
    while True:
        allowed = min(allowed, maxiter - iterations)
        found = minimize_bfgs(recorder, x, recorder.metric, tolerance, allowed)
        iterations += found.iterations
        if found.stop != "limit" or iterations >= maxiter:
            point = Point(found.x, tuple(recorder.likelihood.rotations))
            return _Search(point, found.value, found.decrement, iterations)
        recorder.likelihood, x = recorder.likelihood.on_principal_axes(found.x)
        recorder.latest = None
        allowed *= 2


def _scipy_search(
    recorder: _Recorder, start: FloatArray, method: str, maxiter: int
) -> _Search:
    free = method in GRADIENT_FREE
    options: dict[str, float] = {"maxiter": maxiter * (200 if free else 1)}
    if method in ("nm", "powell"):
        options |= {"xatol" if method == "nm" else "xtol": 1e-9}
        options |= {"fatol" if method == "nm" else "ftol": 1e-12}
        options["maxfev"] = options["maxiter"]
    elif method == "bobyqa":
        options |= {"final_tr_radius": 1e-8, "maxfev": options["maxiter"]}
    result = scipy_optimize.minimize(
        recorder.value if free else recorder,
        start,
        method=METHODS[method],
        jac=not free,
        tol=None if free else 1e-10,
        options=options,
    )
    x = np.asarray(result.x, dtype=np.float64)
    decrement = newton_decrement(recorder.likelihood, x, recorder.reml)
    point = Point(x, tuple(recorder.likelihood.rotations))
    return _Search(point, float(result.fun), decrement, int(result.nit))


def hessian(likelihood: Likelihood, inner: FloatArray, reml: bool) -> FloatArray:
    """Hessian of the criterion in inner coordinates, by differences of gradients.

    Exact gradients are differenced by the five-point formula, as near the boundary
    derivatives change over a distance of the size of theta.
    """
    k = len(inner)
    stencil = FIVE_POINT if likelihood.criterion.has_gradient else CENTRAL
    H = np.zeros((k, k))
    for j in range(k):
        step = np.zeros(k)
        step[j] = CENTRAL.step * max(1.0, abs(inner[j]))
        for times, weight in stencil.weights:
            above = likelihood.gradient(inner + times * step, reml, inner=True)
            below = likelihood.gradient(inner - times * step, reml, inner=True)
            H[j] += weight * (above - below) / step[j]
    return 0.5 * (H + H.T)


def newton_decrement(likelihood: Likelihood, inner: FloatArray, reml: bool) -> float:
    """g'H^-1 g, with directions of no curvature left out."""
    g = likelihood.gradient(inner, reml, inner=True)
    values, vectors = np.linalg.eigh(hessian(likelihood, inner, reml))
    curved = values > 1e-8 * max(1.0, float(np.abs(values).max()))
    along = vectors[:, curved].T @ g
    return float((along**2 / values[curved]).sum())


def _snapped(recorder: _Recorder, search: _Search) -> _Search:
    """Set small diagonals to exactly zero where the criterion gets no worse."""
    inner, value = search.point.inner, search.value
    small = recorder.likelihood.diagonal & (np.abs(inner) < SNAP) & (inner != 0)
    for k in np.flatnonzero(small):
        trial = inner.copy()
        trial[k] = 0.0
        at_zero = recorder.value(trial)
        if at_zero <= value + 1e-13 * max(1.0, abs(value)):
            inner, value = trial, at_zero
    point = Point(inner, search.point.rotations)
    return _Search(point, value, search.decrement, search.iterations)


def _better(old: _Search, new: _Search | None) -> _Search:
    return old if new is None or new.value >= old.value - IMPROVED else new


def _smallest(likelihood: Likelihood, point: Point) -> tuple[float, ...]:
    """Smallest singular value of each term's whitened template."""
    out = []
    for term, part in likelihood.parts:
        T = term.template(point.inner[part])
        out.append(float(np.linalg.svd(T, compute_uv=False).min()))
    return tuple(out)


def _off_boundary(likelihood: Likelihood, inner: FloatArray) -> FloatArray:
    """A point away from the boundary: vanished diagonals back at one half."""
    point = inner.copy()
    vanished = likelihood.diagonal & (np.abs(inner) < 10 * SINGULAR)
    point[vanished] = 0.5
    point[~likelihood.diagonal] *= 0.5
    return point


def _random_start(likelihood: Likelihood, rng: np.random.Generator) -> FloatArray:
    draw = rng.standard_normal(likelihood.k_theta)
    return np.where(likelihood.diagonal, np.exp(draw), 0.5 * draw)
