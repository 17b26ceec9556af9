"""Responses (or rows) of a bootstrap: the resampling schemes.

A scheme is made once from a fit and then draws one response from a generator. All
work with weighted residuals, which have one variance, and give them back over the
roots of the weights of the rows they come to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from .. import components
from ..core.terms import FloatArray, IntArray
from .leverage import hat_values

if TYPE_CHECKING:
    from ..results import LMERResults

Draw = Callable[[np.random.Generator], FloatArray]
"""A response, shape (n,), from a generator."""

DENSE_LIMIT = 25_000_000
"""Entries of the covariance of the response that are formed."""

RANK = 1e-8
"""Share of the largest eigenvalue below which a direction has no variance."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What schemes take from a fit.

    Attributes
    ----------
    mean : ndarray, shape (n,)
        ``X beta + offset``.
    roots : ndarray, shape (n,)
        Roots of the weights.
    codes : list of ndarray of int, shape (n,)
        Level of each row, one array a random term.
    Z, b, u, T : list of ndarray
        Columns (n, q), natural and spherical modes (levels, q), template (q, q).
    factor : list of int
        Which grouping factor a term has; terms of one are drawn together.
    sigma : float
    y : ndarray, shape (n,)
    """

    mean: FloatArray
    roots: FloatArray
    codes: list[IntArray]
    Z: list[FloatArray]
    b: list[FloatArray]
    u: list[FloatArray]
    T: list[FloatArray]
    factor: list[int]
    sigma: float
    y: FloatArray

    def random(self, bs: list[FloatArray]) -> FloatArray:
        """Z b for other random effects."""
        total = np.zeros(len(self.y))
        for codes, Z, b in zip(self.codes, self.Z, bs, strict=True):
            if Z.shape[1] == 1:
                total += Z[:, 0] * b[codes, 0]
            else:
                total += np.einsum("nq,nq->n", Z, b[codes])
        return total

    def shuffled(
        self, bs: list[FloatArray], rng: np.random.Generator
    ) -> list[FloatArray]:
        """Levels drawn with replacement, the same for all terms of a factor."""
        drawn: dict[int, IntArray] = {}
        for factor, b in zip(self.factor, bs, strict=True):
            if factor not in drawn:
                drawn[factor] = rng.integers(len(b), size=len(b))
        return [b[drawn[f]] for f, b in zip(self.factor, bs, strict=True)]

    @property
    def residual(self) -> FloatArray:
        """Conditional residuals times the roots of the weights."""
        rest: FloatArray = (self.y - self.mean - self.random(self.b)) * self.roots
        return rest

    @property
    def marginal(self) -> FloatArray:
        """Response less the fixed part."""
        rest: FloatArray = self.y - self.mean
        return rest


def parts_of(results: LMERResults) -> Parts:
    """What schemes take from a fit."""
    model = results.model
    model.require_rows("a bootstrap")
    likelihood = results._likelihood()
    factor = [0] * len(model.re_terms)
    for j, block in enumerate(likelihood.blocks):
        for k in block.terms:
            factor[k] = j
    weights = model.weights
    return Parts(
        mean=np.asarray(model.predict(results.params), dtype=np.float64),
        roots=np.ones(model.nobs) if weights is None else np.sqrt(weights),
        codes=[term.factor.codes for term in model.re_terms],
        Z=[np.ascontiguousarray(term.Z) for term in model.re_terms],
        b=results._solution.b,
        u=results._solution.u,
        T=components.templates(results),
        factor=factor,
        sigma=results.sigma,
        y=np.asarray(model.endog, dtype=np.float64),
    )


# -- from the model --------------------------------------------------------------------


def parametric(results: LMERResults) -> Draw:
    """New random effects and new errors, both normal."""
    parts = parts_of(results)

    def draw(rng: np.random.Generator) -> FloatArray:
        bs = [
            parts.sigma * rng.standard_normal(b.shape) @ T.T
            for b, T in zip(parts.b, parts.T, strict=True)
        ]
        e = parts.sigma * rng.standard_normal(len(parts.y)) / parts.roots
        return parts.mean + parts.random(bs) + e

    return draw


def conditional(results: LMERResults) -> Draw:
    """New normal errors; the random effects stay at their modes."""
    parts = parts_of(results)
    fitted = parts.mean + parts.random(parts.b)

    def draw(rng: np.random.Generator) -> FloatArray:
        return fitted + parts.sigma * rng.standard_normal(len(fitted)) / parts.roots

    return draw


# -- from residuals --------------------------------------------------------------------


def semiparametric(results: LMERResults) -> Draw:
    """Residuals drawn with replacement; the random effects stay at their modes."""
    parts = parts_of(results)
    fitted, e = parts.mean + parts.random(parts.b), parts.residual

    def draw(rng: np.random.Generator) -> FloatArray:
        return fitted + e[rng.integers(len(e), size=len(e))] / parts.roots

    return draw


def residual(results: LMERResults) -> Draw:
    """Reflated modes and residuals, both drawn with replacement (Lai 2021)."""
    parts = parts_of(results)
    bs = reflated_modes(results)
    e = parts.residual / np.sqrt(np.maximum(1.0 - hat_values(results), RANK))
    return _modes_and_residuals(parts, bs, e)


def cgr(results: LMERResults) -> Draw:
    """Modes and residuals with their empirical moments set to the estimates."""
    parts = parts_of(results)
    bs = [_rescaled(u, T, parts.sigma) for u, T in zip(parts.u, parts.T, strict=True)]
    return _modes_and_residuals(parts, bs, _standardised(parts.residual, parts.sigma))


def _modes_and_residuals(parts: Parts, bs: list[FloatArray], e: FloatArray) -> Draw:
    def draw(rng: np.random.Generator) -> FloatArray:
        drawn = parts.shuffled(bs, rng)
        rest = e[rng.integers(len(e), size=len(e))] / parts.roots
        return parts.mean + parts.random(drawn) + rest

    return draw


def reflated_modes(results: LMERResults) -> list[FloatArray]:
    """Conditional modes with the covariance that the model gives random effects.

    The variance of a level's spherical modes is sigma^2 V with V = I less the block
    of the inverse of Henderson's matrix. With V = L L' they become T L^-1 u, whose
    covariance is sigma^2 T T'. Where V is singular (as at a singular fit) the inverse
    of its symmetric root takes the place of L^-1, on the directions V has.

    Returns
    -------
    list of ndarray, shape (levels, q)
        One a random term.
    """
    terms, Ts = results.model.re_terms, components.templates(results)
    reflated = []
    for k, V in enumerate(mode_variances(results)):
        if terms[k].diagonal:
            V = V * np.eye(terms[k].q)
        reflated.append(_whitened(V, results._solution.u[k]) @ Ts[k].T)
    return reflated


def mode_variances(results: LMERResults) -> list[FloatArray]:
    """Variances of the spherical modes over sigma^2, (levels, q, q) a term.

    They are I less the diagonal blocks of the inverse of Henderson's matrix, which
    are the variances of the errors of prediction.
    """
    likelihood = results._likelihood()
    _, Ts = results._optimum.point.to_user(likelihood)
    at = likelihood.evaluate(Ts, results.reml)
    inverses = [at.M_inverse]
    if at.factor is not None:
        trailing, spread = at.factor.inverse_blocks()
        half = at.M_inverse @ at.Ts[0].T
        inverses = [at.M_inverse + half @ spread @ half.transpose(0, 2, 1), *trailing]
    p = len(at.beta)
    fixed, _ = likelihood.criterion.scores(at, np.eye(p + 1, p))
    found: list[FloatArray] = [np.empty(0)] * len(likelihood.terms)
    for block, inverse, U in zip(likelihood.blocks, inverses, fixed, strict=True):
        V = np.eye(block.q) - inverse
        V = V - U @ at.Fxx_inverse @ U.transpose(0, 2, 1)
        for k, start in zip(block.terms, block.starts, strict=True):
            part = slice(start, start + likelihood.terms[k].q)
            found[k] = V[:, part, part]
    return found


def _whitened(V: FloatArray, u: FloatArray) -> FloatArray:
    """L_i^-1 u_i with V_i = L_i L_i', or by the symmetric root where V is singular."""
    values, vectors = np.linalg.eigh(V)
    enough = values > RANK * np.maximum(values.max(axis=1, keepdims=True), RANK)
    regular = enough.all(axis=1)
    roots = np.where(enough, 1.0 / np.sqrt(np.where(enough, values, 1.0)), 0.0)
    inside = np.einsum("lji,lj->li", vectors, u) * roots
    w = np.einsum("lij,lj->li", vectors, inside)
    if regular.any():
        L = np.linalg.cholesky(V[regular])
        w[regular] = np.linalg.solve(L, u[regular, :, None])[:, :, 0]
    return w


def _rescaled(u: FloatArray, T: FloatArray, sigma: float) -> FloatArray:
    """Modes, centred, whose empirical covariance is sigma^2 T T'."""
    centred = u - u.mean(axis=0)
    S = centred.T @ centred / len(u)
    return sigma * _whitened(np.broadcast_to(S, (len(u), *S.shape)), centred) @ T.T


def _standardised(e: FloatArray, sigma: float) -> FloatArray:
    """Residuals centred, with mean square sigma^2."""
    centred = e - e.mean()
    return centred * (sigma / np.sqrt(np.mean(centred**2)))


def transformational(results: LMERResults) -> Draw:
    """Marginal residuals made independent, drawn, and made dependent again.

    Raises
    ------
    ValueError
        If the covariance of the response has too large blocks.
    """
    from .clusters import connected

    parts = parts_of(results)
    label = connected(parts.codes)
    sizes = np.bincount(label)
    if (sizes.astype(float) ** 2).sum() > DENSE_LIMIT:
        raise ValueError(
            "the transformational bootstrap forms the covariance matrix of all rows "
            f"that share groups, here of {sizes.max()} rows; use type='residual' or "
            "'cgr' for this model."
        )
    order = np.argsort(label, kind="stable")
    blocks, z = [], np.empty(len(order))
    for rows in np.split(order, np.cumsum(sizes)[:-1]):
        L = cholesky(_covariance(parts, rows), lower=True)
        z[rows] = solve_triangular(L, parts.marginal[rows], lower=True)
        blocks.append((rows, L))
    z -= z.mean()

    def draw(rng: np.random.Generator) -> FloatArray:
        drawn = z[rng.integers(len(z), size=len(z))]
        y = parts.mean.copy()
        for rows, L in blocks:
            y[rows] += L @ drawn[rows]
        return y

    return draw


def _covariance(parts: Parts, rows: IntArray) -> FloatArray:
    """Covariance of some rows of the response, over sigma^2."""
    V = np.diag(1.0 / parts.roots[rows] ** 2)
    for codes, Z, T in zip(parts.codes, parts.Z, parts.T, strict=True):
        scaled, level = Z[rows] @ T, codes[rows]
        V += (scaled @ scaled.T) * (level[:, None] == level[None, :])
    return V


# -- from groups -----------------------------------------------------------------------


def reb(results: LMERResults) -> Draw:
    """Random effects blocks (Chambers and Chandra 2013), as they are."""
    return _blocks(results, scaled=False)


def reb_scaled(results: LMERResults) -> Draw:
    """Random effects blocks with their moments set to the estimates."""
    return _blocks(results, scaled=True)


def _blocks(results: LMERResults, scaled: bool) -> Draw:
    parts = parts_of(results)
    if len(set(parts.factor)) > 1:
        names = ", ".join(dict.fromkeys(t.name for t in results.model.re_terms))
        raise ValueError(
            "the random effects block bootstrap is for one grouping factor, and the "
            f"model has {names}; use type='residual' or 'cgr'."
        )
    codes, r = parts.codes[0], parts.marginal * parts.roots
    Z = np.hstack(parts.Z) * parts.roots[:, None]
    levels = len(parts.b[0])
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=levels)
    starts = np.cumsum(counts) - counts
    groups = np.split(order, starts[1:])
    b = np.array([np.linalg.lstsq(Z[g], r[g], rcond=None)[0] for g in groups])
    e = r - np.einsum("nq,nq->n", Z, b[codes])
    widths = np.cumsum([T.shape[0] for T in parts.T])[:-1]
    bs = [np.ascontiguousarray(own) for own in np.split(b, widths, axis=1)]
    if scaled:
        bs = [
            _rescaled(own, np.eye(own.shape[1]), 1.0) @ (parts.sigma * T).T
            for own, T in zip(bs, parts.T, strict=True)
        ]
        e = _standardised(e, parts.sigma)

    def draw(rng: np.random.Generator) -> FloatArray:
        drawn = parts.shuffled(bs, rng)
        donor = rng.integers(levels, size=levels)[codes]
        place = starts[donor] + (rng.random(len(codes)) * counts[donor]).astype(int)
        return parts.mean + parts.random(drawn) + e[order[place]] / parts.roots

    return draw


MAMMEN = np.sqrt(5.0)


def wild(results: LMERResults) -> Draw:
    """Marginal residuals of each cluster times one draw of Mammen's distribution.

    The draws have mean 0, variance 1 and third moment 1; signs alone would leave the
    squares of the residuals, and so the variance components, as they are.
    """
    from .clusters import clusters

    parts = parts_of(results)
    codes, levels = clusters(results.model.re_terms)
    Q = results._likelihood().fixed.basis.Q
    h = np.einsum("np,np->n", Q, Q)
    r = parts.marginal / np.sqrt(np.maximum(1.0 - h, RANK))

    def draw(rng: np.random.Generator) -> FloatArray:
        low = rng.random(levels) < (MAMMEN + 1.0) / (2.0 * MAMMEN)
        v = np.where(low, (1.0 - MAMMEN) / 2.0, (1.0 + MAMMEN) / 2.0)
        return parts.mean + r * v[codes]

    return draw


SCHEMES: dict[str, Callable[[LMERResults], Draw]] = {
    "parametric": parametric,
    "conditional": conditional,
    "semiparametric": semiparametric,
    "residual": residual,
    "cgr": cgr,
    "transformational": transformational,
    "reb": reb,
    "reb_scaled": reb_scaled,
    "wild": wild,
}
"""Schemes that draw a response on the design of the fit."""
