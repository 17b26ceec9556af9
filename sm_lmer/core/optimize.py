"""Maximum likelihood and REML estimates of theta, with a verdict on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize as scipy_optimize

from .bfgs import minimize_bfgs
from .criterion import Evaluation
from .fitted import Solution, solution_of
from .likelihood import CENTRAL, FIVE_POINT, Likelihood
from .moments import moments_start
from .monte_carlo import MonteCarloErrors, monte_carlo_errors
from .start import collinear_start, em_step, inverse_information
from .terms import FloatArray

DECREMENT = 1e-13
"""Newton decrement at which the quasi-Newton search stops.

Its root is the distance from the optimum in units of the standard error of theta.
"""

DECREMENT_BY_DIFFERENCES = 1e-9
"""The same where the gradient comes from differences."""

DECREMENT_BY_PROBES = 1e-7
"""The same where log|S| is estimated, as its error moves the optimum much further."""

ACCEPTED = 1e-6
"""Newton decrement up to which a stopped search counts as converged."""

EM_STEPS = 2
"""EM steps before scoring where the start says nothing of the variances."""

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
    errors : MonteCarloErrors or None
        Of a criterion that is estimated.
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
    errors: MonteCarloErrors | None = None


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
        self.latest: tuple[Likelihood, FloatArray, Evaluation] | None = None

    def __call__(self, inner: FloatArray) -> tuple[float, FloatArray]:
        at = self.at(inner)
        value = at.value + self.likelihood.constant(self.reml)
        self._record(value, inner)
        gradient = self.likelihood.gradient_at(inner, at)
        if not self.likelihood.criterion.has_gradient:
            self.latest = None  # its factor was overwritten for the differences
        return value, gradient

    def at(self, inner: FloatArray) -> Evaluation:
        """The evaluation at a point, which is the latest one where possible."""
        if self.latest is not None:
            likelihood, point, at = self.latest
            if likelihood is self.likelihood and np.array_equal(point, inner):
                return at
        self.latest = None  # lets its memory be used again
        at = self.likelihood.evaluate(self.likelihood.inner_templates(inner), self.reml)
        self.latest = self.likelihood, inner.copy(), at
        return at

    def at_point(self, point: Point) -> Evaluation:
        """The evaluation at a point, in its own coordinates."""
        current = self.likelihood.rotations
        if any(a is not b for a, b in zip(current, point.rotations, strict=True)):
            self.likelihood = self.likelihood.rotated(point.rotations)
        return self.at(point.inner)

    def metric(self, inner: FloatArray, gradient: FloatArray) -> FloatArray:
        """Approximate inverse Hessian, from the latest evaluation if it was here."""
        return inverse_information(self.likelihood, inner, gradient, self.at(inner))

    def value(self, inner: FloatArray) -> float:
        """The criterion alone; infinite where it is not defined."""
        try:
            at = self.at(inner)
        except np.linalg.LinAlgError:
            return np.inf
        value = at.value + self.likelihood.constant(self.reml)
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
    """Minimise the criterion over theta; see :func:`estimate`."""
    return estimate(
        likelihood,
        reml,
        start=start,
        method=method,
        restarts=restarts,
        maxiter=maxiter,
        gtol=gtol,
        show=show,
        doubted=False,
    )[0]


def estimate(
    likelihood: Likelihood,
    reml: bool,
    *,
    start: FloatArray | None = None,
    method: str = "bfgs",
    restarts: int = 0,
    maxiter: int = 500,
    gtol: float | None = None,
    show: Callable[[LogEntry], None] | None = None,
    doubted: bool = True,
) -> tuple[Optimum, Solution]:
    """The optimum of the criterion over theta, and the estimates there.

    Parameters
    ----------
    likelihood : Likelihood
    reml : bool
    start : ndarray, optional
        Inner coordinates to start from; the moment estimates by default.
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
    doubted : bool
        Whether to compare where a search from `start` ends with the usual start, as
        far out the criterion is flat.
    """
    began = time.perf_counter()
    recorder = _Recorder(likelihood, reml, show)
    done = 0
    if start is None:
        other = collinear_start(likelihood)
        usual = moments_start(likelihood) if other is None else None
        best = _first_search(recorder, usual, method, maxiter, gtol)
    else:
        given = np.array(start, dtype=np.float64)
        best = _search(recorder, given, method, maxiter, gtol, em_steps=0)
        doubted = doubted and best.decrement <= ACCEPTED
        other = _lower_start(recorder, likelihood, best) if doubted else None
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
    at = recorder.at_point(best.point)
    optimum = Optimum(
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
        errors=monte_carlo_errors(recorder.likelihood, best.point.inner, at),
        seconds=time.perf_counter() - began,
    )
    return optimum, solution_of(recorder.likelihood, best.point.inner, at)


def _first_search(
    recorder: _Recorder,
    start: FloatArray | None,
    method: str,
    maxiter: int,
    gtol: float | None,
) -> _Search:
    """From the usual start; from the identity if there is none or it fails."""
    if start is not None:
        found = _attempt(recorder, start, method, maxiter, gtol, em_steps=0)
        if found is not None:
            return found
    return _search(recorder, recorder.likelihood.start, method, maxiter, gtol)


def _lower_start(
    recorder: _Recorder, likelihood: Likelihood, best: _Search
) -> FloatArray | None:
    """The usual start, if the criterion is lower there than where a search ended."""
    usual = collinear_start(likelihood)
    if usual is None:
        usual = moments_start(likelihood)
    if usual is None:
        usual = likelihood.start
    recorder.likelihood = likelihood
    return usual if recorder.value(usual) < best.value - IMPROVED else None


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
    em_steps: int = EM_STEPS,
) -> _Search | None:
    """A further search; None if the criterion is not defined where it starts."""
    try:
        return _search(recorder, start, method, maxiter, gtol, em_steps)
    except np.linalg.LinAlgError:
        return None


def _search(
    recorder: _Recorder,
    start: FloatArray,
    method: str,
    maxiter: int,
    gtol: float | None,
    em_steps: int = EM_STEPS,
) -> _Search:
    if method == "bfgs":
        found = _quasi_newton(recorder, start, maxiter, gtol, em_steps)
        return _snapped(recorder, found)
    return _snapped(recorder, _scipy_search(recorder, start, method, maxiter))


def _quasi_newton(
    recorder: _Recorder,
    start: FloatArray,
    maxiter: int,
    gtol: float | None,
    em_steps: int,
) -> _Search:
    """EM steps, then scoring and BFGS, turned to the principal axes now and then."""
    likelihood = recorder.likelihood
    exact = likelihood.criterion.has_gradient
    tolerance = gtol or (DECREMENT if exact else DECREMENT_BY_DIFFERENCES)
    if likelihood.criterion.estimated:
        tolerance = gtol or DECREMENT_BY_PROBES
    x = start
    for _ in range(em_steps):
        x = em_step(likelihood, x, recorder(x)[1])
    turns = any(term.q > 1 and not term.diagonal for term in likelihood.terms)
    iterations, allowed = 0, FIRST_AXES if turns else maxiter
    while True:
        allowed = min(allowed, maxiter - iterations)
        found = minimize_bfgs(
            recorder, x, recorder.metric, tolerance, allowed, recorder.value
        )
        iterations += found.iterations
        if found.stop != "limit" or iterations >= maxiter:
            point = Point(found.x, tuple(recorder.likelihood.rotations))
            return _Search(point, found.value, found.decrement, iterations)
        recorder.likelihood, x = recorder.likelihood.on_principal_axes(found.x)
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
    k, criterion = len(inner), likelihood.criterion
    exact = criterion.has_gradient and not criterion.estimated
    stencil = FIVE_POINT if exact else CENTRAL
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
