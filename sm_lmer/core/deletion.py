"""Estimates without some of the rows, by refits from the estimates of all.

All cross-products are sums over rows, so a refit takes those of the rows away and
starts at theta-hat. :mod:`sm_lmer.core.deletion_updates` has formulas instead.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..linalg import Solver, make_solver
from .bfgs import minimize_bfgs
from .conditioning import orthonormal_basis
from .criterion import Criterion, Evaluation
from .crossproducts import CrossProducts, accumulate
from .fitted import solve_at
from .likelihood import Likelihood, LikelihoodData
from .optimize import SNAP, Point, hessian, optimize
from .refitting import smallest_values
from .start import inverse_information
from .terms import FloatArray, IntArray

TOLERANCE = 1e-12
"""Newton decrement at which a refit stops, before one more step not evaluated."""

POLISHED = 1e-16
"""Newton decrement to which the estimates of all rows are taken."""

KEPT = 1e-6
"""Share of a sum of squares that must be left for it to be got by subtraction."""


@dataclass(frozen=True, eq=False)
class Units:
    """Sets of rows, each to be left out by itself; every row is in one of them.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
    count : int
    """

    codes: IntArray
    count: int

    @property
    def single(self) -> bool:
        """Whether every unit is one row."""
        return self.count == len(self.codes)

    def members(self) -> list[IntArray]:
        """The rows of each unit."""
        order = np.argsort(self.codes, kind="stable")
        sizes = np.bincount(self.codes, minlength=self.count)
        return np.split(order, np.cumsum(sizes)[:-1])


@dataclass(frozen=True, eq=False)
class Deleted:
    """Estimates without each of G sets of rows.

    Attributes
    ----------
    beta : ndarray, shape (G, p)
        Fixed effects in the user's units; nan where they cannot be estimated.
    unscaled : ndarray, shape (G, p, p)
        Their covariance over sigma^2.
    sigma2 : ndarray, shape (G,)
    relative : list of ndarray, shape (G, q, q)
        Covariance of each term's random effects over sigma^2.
    converged : ndarray of bool, shape (G,)
    why : ndarray of object, shape (G,)
        What stands in the way of estimates; empty where there are some.
    """

    beta: FloatArray
    unscaled: FloatArray
    sigma2: FloatArray
    relative: list[FloatArray]
    converged: NDArray[np.bool_]
    why: NDArray[np.object_]

    @classmethod
    def blank(cls, likelihood: Likelihood, G: int) -> Deleted:
        """Room for the estimates without G sets of rows."""
        p = likelihood.fixed.basis.Q.shape[1]
        return cls(
            np.full((G, p), np.nan),
            np.full((G, p, p), np.nan),
            np.full(G, np.nan),
            [np.full((G, t.q, t.q), np.nan) for t in likelihood.terms],
            np.ones(G, dtype=bool),
            np.full(G, "", dtype=object),
        )


# -- without rows, by cross-products -------------------------------------------


def without(likelihood: Likelihood, rows: IntArray) -> tuple[Likelihood, IntArray]:
    """The likelihood of the other rows, and the columns of X that they do not identify.

    The cross-products of the rows are taken away, and the coordinates stay; where that
    would cost digits, or X loses rank, everything is set up anew.

    Returns
    -------
    likelihood : Likelihood
        Its Zs, As and rotations are those of all rows unless it was set up anew.
    lost : ndarray of int
    """
    QY = np.column_stack(
        [likelihood.fixed.basis.Q[rows], likelihood.fixed.residual[rows]]
    )
    blocks = [replace(b, codes=b.codes[rows]) for b in likelihood.blocks]
    gone = accumulate(blocks, [Z[rows] for Z in likelihood.Zs], QY)
    if not _enough_left(likelihood.cross, gone):
        return _anew(likelihood, rows)
    other = copy.copy(likelihood)
    other.n = likelihood.n - len(rows)
    other.cross = _difference(likelihood.cross, gone)
    if likelihood.data.weights is not None:
        logs = np.log(likelihood.data.weights[rows]).sum()
        other.log_weights = likelihood.log_weights - float(logs)
    other.solver = _solver(likelihood, other.cross, rows)
    other.criterion = Criterion(other.cross, other.solver)
    return other, np.array([], dtype=np.int64)


def _enough_left(cross: CrossProducts, gone: CrossProducts) -> bool:
    """Whether enough of all sums of squares is left to be got by subtraction."""
    p = len(cross.C) - 1
    left = cross.C - gone.C
    if p and np.linalg.eigvalsh(left[:p, :p])[0] < KEPT:
        return False
    rest = left[p, p]
    if p:  # the least-squares fit of all rows may have followed those that go
        rest -= left[p, :p] @ np.linalg.solve(left[:p, :p], left[:p, p])
    if rest < KEPT * cross.C[p, p]:
        return False
    squares = [np.einsum("lqq->q", c.A11) for c in (cross, gone)]
    return bool((squares[0] - squares[1] >= KEPT * squares[0]).all())


def _difference(cross: CrossProducts, gone: CrossProducts) -> CrossProducts:
    return CrossProducts(
        cross.n - gone.n,
        cross.A11 - gone.A11,
        (cross.A21 - gone.A21).tocsr(),
        (cross.A22 - gone.A22).tocsr(),
        cross.B1 - gone.B1,
        cross.B2 - gone.B2,
        cross.C - gone.C,
    )


def _solver(
    likelihood: Likelihood, cross: CrossProducts, rows: IntArray
) -> Solver | None:
    if likelihood.solver is None:
        return None
    codes = [np.delete(block.codes, rows) for block in likelihood.blocks]
    return make_solver(likelihood.solver.name, cross, likelihood.layout, codes)


def _anew(likelihood: Likelihood, rows: IntArray) -> tuple[Likelihood, IntArray]:
    data, kept = likelihood.data, np.ones(likelihood.n, dtype=bool)
    kept[rows] = False
    X = data.X[kept]
    basis = orthonormal_basis(X, None)
    weights = None if data.weights is None else data.weights[kept]
    own = LikelihoodData(
        data.y[kept],
        X,
        tuple(term.subset(kept) for term in likelihood.terms),
        weights,
        basis,
    )
    if len(basis.dropped):
        return likelihood, basis.dropped
    name = "auto" if likelihood.solver is None else likelihood.solver.name
    other = Likelihood(own, "auto" if name == "nested" else name)
    if [t.name for t in other.terms] != [t.name for t in likelihood.terms]:
        raise AssertionError("the terms have changed their order")
    return other, basis.dropped


# -- exact refits --------------------------------------------------------------


class DeletionRefitter:
    """Fits the model without some of its rows, from the estimates of all.

    Parameters
    ----------
    likelihood : Likelihood
        Rotated as its optimum is.
    inner : ndarray, shape (k_theta,)
        The optimum.
    reml : bool
    """

    def __init__(self, likelihood: Likelihood, inner: FloatArray, reml: bool) -> None:
        self.likelihood, self.inner, self.reml = likelihood, inner, reml
        self.theta, _ = likelihood.to_user(inner)
        self.inside = smallest_values(likelihood, inner[None]).min() >= SNAP
        self.metric: FloatArray | None = None
        if self.inside and likelihood.criterion.has_gradient:
            values, vectors = np.linalg.eigh(hessian(likelihood, inner, reml))
            if values[0] > 1e-6 * values[-1]:
                self.metric = (vectors / values) @ vectors.T

    def portable(self) -> PortableRefitter:
        """The same to be sent to another process, where it is set up anew."""
        likelihood, solver = self.likelihood, self.likelihood.solver
        return PortableRefitter(
            likelihood.data,
            "auto" if solver is None else solver.name,
            tuple(likelihood.rotations),
            self.inner,
            self.reml,
        )

    def refit(self, members: Sequence[IntArray]) -> Deleted:
        """The fits without each of these sets of rows."""
        out = Deleted.blank(self.likelihood, len(members))
        for g, rows in enumerate(members):
            try:
                self._one(out, g, rows)
            except np.linalg.LinAlgError as error:
                out.why[g] = str(error)
        return out

    def _one(self, out: Deleted, g: int, rows: IntArray) -> None:
        other, lost = without(self.likelihood, rows)
        if len(lost):
            out.why[g] = tuple(lost)
            return
        same = other.As is self.likelihood.As
        found = self._light(other) if same else None
        if found is None:
            point, out.converged[g] = self._search(other, same)
        else:
            point = found
        fill(out, g, other, point, self.reml)

    def _search(self, other: Likelihood, same: bool) -> tuple[Point, bool]:
        """The ordinary search: from theta-hat, unless that is near the boundary."""
        start = None
        if self.inside:
            start = self.inner if same else other.to_inner(self.theta)
        elif same:
            other = other.rotated([np.eye(len(V)) for V in other.rotations])
        optimum = optimize(other, self.reml, start=start, gtol=TOLERANCE)
        return optimum.point, optimum.converged

    def _light(self, other: Likelihood) -> Point | None:
        """A search with the metric of the fit; None near a boundary or if it stops."""
        if self.metric is None:
            return None
        latest: Evaluation | None = None

        def objective(x: FloatArray) -> tuple[float, FloatArray]:
            nonlocal latest
            latest = other.evaluate(other.inner_templates(x), self.reml)
            return latest.value, other.gradient_at(x, latest)

        first = True

        def metric(x: FloatArray, gradient: FloatArray) -> FloatArray:
            nonlocal first
            if first and self.metric is not None:
                first = False
                return self.metric
            assert latest is not None
            return inverse_information(other, x, gradient, latest)

        found = minimize_bfgs(objective, self.inner, metric, TOLERANCE, 60)
        x = found.x - found.inverse_hessian @ found.gradient
        if found.decrement > 1e-9 or smallest_values(other, x[None]).min() < SNAP:
            return None
        return Point(x, tuple(other.rotations))


def polished(likelihood: Likelihood, inner: FloatArray, reml: bool) -> FloatArray:
    """The optimum to working precision, as changes are told from it.

    It stays as it is near the boundary, and where there is no analytic gradient.
    """
    near = smallest_values(likelihood, inner[None]).min() < SNAP
    if near or not likelihood.criterion.has_gradient:
        return inner
    latest: Evaluation | None = None

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        nonlocal latest
        latest = likelihood.evaluate(likelihood.inner_templates(x), reml)
        return latest.value, likelihood.gradient_at(x, latest)

    def metric(x: FloatArray, gradient: FloatArray) -> FloatArray:
        assert latest is not None
        return inverse_information(likelihood, x, gradient, latest)

    found = minimize_bfgs(objective, inner, metric, POLISHED, 6)
    if found.decrement > TOLERANCE:
        return inner
    return found.x


def estimates_at(likelihood: Likelihood, inner: FloatArray, reml: bool) -> Deleted:
    """The estimates with no row left out, as a set of one."""
    out = Deleted.blank(likelihood, 1)
    fill(out, 0, likelihood, Point(inner, tuple(likelihood.rotations)), reml)
    return out


@dataclass(frozen=True, eq=False)
class PortableRefitter:
    """What :class:`DeletionRefitter` is made of; factors do not travel."""

    data: LikelihoodData
    solver: str
    rotations: tuple[FloatArray, ...]
    inner: FloatArray
    reml: bool

    def refit(self, members: Sequence[IntArray]) -> Deleted:
        """The fits without each of these sets of rows."""
        likelihood = Likelihood(self.data, self.solver).rotated(self.rotations)
        return DeletionRefitter(likelihood, self.inner, self.reml).refit(members)


def fill(out: Deleted, g: int, other: Likelihood, point: Point, reml: bool) -> None:
    """Put the estimates at a point into place g."""
    theta, Ts = point.to_user(other)
    solution = solve_at(other, theta, reml, Ts)
    out.beta[g], out.unscaled[g] = solution.beta, solution.vcov_unscaled
    out.sigma2[g] = solution.sigma2
    for k, (term, part) in enumerate(other.parts):
        T = term.template(theta[part])
        out.relative[k][g] = T @ T.T


def levels_left(codes: IntArray, n_levels: int, units: Units) -> IntArray:
    """Number of levels of a factor that have rows outside of each unit."""
    counts = np.bincount(codes, minlength=n_levels)
    pairs = units.codes.astype(np.int64) * n_levels + codes
    found, own = np.unique(pairs, return_counts=True)
    emptied = own == counts[found % n_levels]
    lost = np.bincount(found[emptied] // n_levels, minlength=units.count)
    left: IntArray = n_levels - lost
    return left
