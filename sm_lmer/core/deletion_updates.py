"""Estimates without some of the rows by closed formulas, and one Newton step in theta.

With theta held, the estimates without the rows S follow from blocks of V^-1 and of
``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`` alone (Christensen, Pearson and Johnson 1992;
Haslett 1999): with ``D = (V^-1 X)_S (X'V^-1 X)^-1`` and ``r = P y``

    beta_(S) = beta - D' P_SS^-1 r_S         r2_(S) = r2 - r_S' P_SS^-1 r_S
    (X'V^-1 X)_(S)^-1 = (X'V^-1 X)^-1 + D' P_SS^-1 D

and the criterion gains log|P_SS| (log|V^-1_SS| for ML). Its differences in theta give a
Newton step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .criterion import Evaluation
from .deletion import Deleted, Units, fill, without
from .likelihood import Likelihood
from .optimize import Point, hessian
from .row_covariance import RowCovariance, weighted_rows
from .terms import FloatArray, IntArray

STEP = 1e-3
"""Step of the differences in theta."""

LONGEST = 0.5
"""Longest Newton step, in units of theta or of 1."""

SINGULAR_BLOCK = 1e-8
"""Pivot of P_SS below which the formulas lose too many digits."""

LARGEST_BLOCK = (200, 1000)
"""Rows of the largest P_SS that is formed, without and with trailing factors."""

NUMBERS_AT_ONCE = 2_000_000
"""Numbers in the largest array of a batch of groups."""


@dataclass(frozen=True, eq=False)
class _Fixed:
    """Estimates without sets of rows at one theta, in conditioned coordinates.

    Attributes
    ----------
    change : ndarray, shape (G,)
        Criterion without the rows less that of all rows.
    r2 : ndarray, shape (G,)
    lowest : ndarray, shape (G,)
        Smallest pivot or eigenvalue of P_SS.
    beta : ndarray, shape (G, p)
    Fxx_inverse : ndarray, shape (G, p, p)
    """

    change: FloatArray
    r2: FloatArray
    lowest: FloatArray
    beta: FloatArray
    Fxx_inverse: FloatArray

    def take(self, which: IntArray) -> tuple[FloatArray, FloatArray]:
        """beta and Fxx^-1 without some of the sets."""
        return self.beta[which], self.Fxx_inverse[which]


@dataclass(frozen=True, eq=False)
class _FixedRows:
    """The same for single rows, whose covariances are formed when asked for.

    Attributes
    ----------
    change, r2, lowest : ndarray, shape (n,)
    D : ndarray, shape (n, p)
    ratio : ndarray, shape (n,)
        r over its variance P.
    at : Evaluation
    """

    change: FloatArray
    r2: FloatArray
    lowest: FloatArray
    D: FloatArray
    ratio: FloatArray
    at: Evaluation

    def take(self, which: IntArray) -> tuple[FloatArray, FloatArray]:
        """beta and Fxx^-1 without some of the rows."""
        D = self.D[which]
        P = np.where(self.lowest[which] > SINGULAR_BLOCK, self.lowest[which], 1.0)
        F = self.at.Fxx_inverse + D[:, :, None] * (D / P[:, None])[:, None, :]
        return self.at.beta - D * self.ratio[which, None], F


@dataclass(frozen=True, eq=False)
class _Step:
    """A Newton step of each set, and the slopes of what moves along with theta.

    `bend` is half the second derivative of Fxx^-1, which is nearly linear in T T'. The
    slopes of beta and Fxx^-1 have a first axis of length G, or of length 1 where
    those of all rows serve all.
    """

    delta: FloatArray
    log_r2: list[FloatArray]
    beta: list[FloatArray]
    Fxx_inverse: list[FloatArray]
    bend: list[FloatArray]


class Updates:
    """Estimates without sets of rows, by formulas at and near theta-hat.

    Parameters
    ----------
    likelihood : Likelihood
        Rotated as its optimum is.
    inner : ndarray, shape (k_theta,)
        The optimum.
    reml : bool
    units : Units
    wanted : ndarray of bool, shape (units.count,)
        The sets that leave enough to estimate something.
    step : bool
        Whether to take a Newton step in theta; else theta and sigma stay.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        inner: FloatArray,
        reml: bool,
        units: Units,
        wanted: NDArray[np.bool_],
        step: bool,
    ) -> None:
        self.likelihood, self.inner, self.reml = likelihood, inner, reml
        self.single, self.step = units.single, step
        self.members = units.members()
        sizes: IntArray = np.bincount(units.codes, minlength=units.count)
        limit = LARGEST_BLOCK[int(likelihood.layout.m > 0)]
        self.small = np.array([g for g in np.flatnonzero(wanted) if sizes[g] <= limit])
        self.small = self.small.astype(np.int64)
        self.place = np.full(units.count, -1)
        self.place[self.small] = np.arange(len(self.small))
        self.sizes = sizes
        self.there, self.base = self._at(inner)
        self.move = self._newton_step() if step and len(self.small) else None

    def deleted(self, which: IntArray) -> Deleted:
        """Estimates without some of the units that leave enough.

        Parameters
        ----------
        which : ndarray of int, shape (G,)
        """
        out = Deleted.blank(self.likelihood, len(which))
        place = self.place[which]
        known = np.flatnonzero(place >= 0)
        if len(known):
            self._by_formulas(out, known, place[known], self.sizes[which[known]])
            unsound = ~(self.there.lowest[place[known]] > SINGULAR_BLOCK)
            known = known[~unsound]
        for g in np.setdiff1d(np.arange(len(which)), known):
            self._by_evaluation(out, int(g), self.members[which[g]])
        return out

    def _by_formulas(
        self, out: Deleted, rows: IntArray, place: IntArray, sizes: IntArray
    ) -> None:
        beta, F = self.there.take(place)
        inner = np.tile(self.inner, (len(place), 1))
        sigma2 = np.full(len(place), self.base.sigma2)
        if self.move is not None:
            move = self.move
            r2, still = self.there.r2[place], F
            for j in range(len(self.inner)):
                d = move.delta[place, j]
                one = np.zeros_like(place) if len(move.beta[j]) == 1 else place
                r2 = r2 * np.exp(move.log_r2[j][place] * d)
                beta = beta + move.beta[j][one] * d[:, None]
                d = d[:, None, None]
                F = F + move.Fxx_inverse[j][one] * d + move.bend[j][one] * d**2
            sound = np.all(np.linalg.eigvalsh(F) > 0, axis=1)
            F = np.where(sound[:, None, None], F, still)
            inner = inner + move.delta[place]
            sigma2 = r2 / (self.base.df - sizes)
        basis, ols = self.likelihood.fixed.basis, self.likelihood.fixed.ols
        out.beta[rows] = ols + beta @ basis.C.T
        out.unscaled[rows] = basis.C @ F @ basis.C.T
        out.sigma2[rows] = sigma2
        for k, relative in self._relative(inner):
            out.relative[k][rows] = relative

    def _relative(self, inner: FloatArray) -> Iterator[tuple[int, FloatArray]]:
        """Each term's number and T T' of the user's template, shape (G, q, q)."""
        likelihood = self.likelihood
        pieces = zip(
            likelihood.blocks, likelihood.As, likelihood.rotations, strict=True
        )
        for block, A, V in pieces:
            T = np.zeros((len(inner), block.q, block.q))
            T[:, block.rows, block.cols] = inner[:, block.index]
            half = A @ V @ T
            for k, start in zip(block.terms, block.starts, strict=True):
                own = half[:, start : start + likelihood.terms[k].q]
                yield k, own @ own.transpose(0, 2, 1)

    def _by_evaluation(self, out: Deleted, g: int, rows: IntArray) -> None:
        """The same estimates from the cross-products without the rows."""
        out.beta[g] = out.unscaled[g] = out.sigma2[g] = np.nan
        for relative in out.relative:
            relative[g] = np.nan
        try:
            other, lost = without(self.likelihood, rows)
            if len(lost):
                out.why[g] = tuple(lost)
                return
            x = self.inner
            if other.As is not self.likelihood.As:
                x = other.to_inner(self.likelihood.to_user(x)[0])
            if self.step:
                share = other.n / self.likelihood.n
                slope = other.gradient(x, self.reml, inner=True)
                x = x + _newton(share * self._hessian[None], slope[None], x)[0]
            fill(out, g, other, Point(x, tuple(other.rotations)), self.reml)
            if not self.step:
                out.sigma2[g] = self.base.sigma2
        except np.linalg.LinAlgError as error:
            out.why[g] = str(error)

    @cached_property
    def _hessian(self) -> FloatArray:
        return hessian(self.likelihood, self.inner, self.reml)

    def _newton_step(self) -> _Step:
        """Slopes and curvatures by differences, and the steps that they give.

        They are those of the differences from the criterion of all rows, which is flat
        here. For single rows the slopes of beta and Fxx^-1 are those of all rows.
        """
        k, G = len(self.inner), len(self.small)
        slope, curvature = np.empty((G, k)), np.empty((G, k))
        step = _Step(np.empty((G, k)), [], [], [], [])
        for j in range(k):
            h = STEP * max(1.0, abs(self.inner[j]))
            move = np.zeros(k)
            move[j] = h
            above, at_above = self._at(self.inner + move)
            below, at_below = self._at(self.inner - move)
            slope[:, j] = (above.change - below.change) / (2.0 * h)
            second = above.change - 2.0 * self.there.change + below.change
            curvature[:, j] = second / h**2
            step.log_r2.append(_log_ratio(above.r2, below.r2) / (2.0 * h))
            if isinstance(above, _Fixed) and isinstance(below, _Fixed):
                assert isinstance(self.there, _Fixed)
                beta = above.beta - below.beta
                F = above.Fxx_inverse - below.Fxx_inverse
                bent = above.Fxx_inverse + below.Fxx_inverse
                step.bend.append((0.5 * bent - self.there.Fxx_inverse) / h**2)
            else:
                beta = (at_above.beta - at_below.beta)[None]
                F = (at_above.Fxx_inverse - at_below.Fxx_inverse)[None]
                bent = (at_above.Fxx_inverse + at_below.Fxx_inverse)[None]
                step.bend.append((0.5 * bent - self.base.Fxx_inverse) / h**2)
            step.beta.append(beta / (2.0 * h))
            step.Fxx_inverse.append(F / (2.0 * h))
        H = _with_curvature(self._hessian, curvature)
        step.delta[:] = _newton(H, slope, self.inner)
        return step

    # -- at one theta ----------------------------------------------------------

    def _at(self, inner: FloatArray) -> tuple[_Fixed | _FixedRows, Evaluation]:
        likelihood = self.likelihood
        at = likelihood.evaluate(likelihood.inner_templates(inner), self.reml)
        if not len(self.small):
            p = len(at.beta)
            none = np.zeros(0)
            return _Fixed(none, none, none, np.zeros((0, p)), np.zeros((0, p, p))), at
        VQ, r = weighted_rows(likelihood, at)
        among = RowCovariance(likelihood, at)
        if self.single:
            return self._rows(at, VQ, r, among), at
        return self._groups(at, VQ, r, among), at

    def _rows(
        self, at: Evaluation, VQ: FloatArray, r: FloatArray, among: RowCovariance
    ) -> _FixedRows:
        """Single rows, whose blocks are numbers."""
        rows = np.array([self.members[g][0] for g in self.small])
        V = (1.0 - among.diagonal())[rows]
        D = VQ[rows] @ at.Fxx_inverse
        P = V - np.einsum("np,np->n", VQ[rows], D)
        safe = np.where(P > SINGULAR_BLOCK, P, 1.0)
        ratio = r[rows] / safe
        r2 = at.r2 - r[rows] * ratio
        change = np.log(safe if self.reml else V) + _residual_change(at, r2, 1)
        return _FixedRows(change, r2, P, D, ratio, at)

    def _groups(
        self, at: Evaluation, VQ: FloatArray, r: FloatArray, among: RowCovariance
    ) -> _Fixed:
        G, p = len(self.small), len(at.beta)
        out = _Fixed(
            np.zeros(G),
            np.full(G, at.r2),
            np.zeros(G),
            np.tile(at.beta, (G, 1)),
            np.tile(at.Fxx_inverse, (G, 1, 1)),
        )
        for which, rows, pad in _batches([self.members[g] for g in self.small]):
            own = VQ[rows] * ~pad[:, :, None]
            V = -among.among(rows)
            V *= ~(pad[:, :, None] | pad[:, None, :])
            i = np.arange(rows.shape[1])
            V[:, i, i] += 1.0
            D = own @ at.Fxx_inverse
            P = V - D @ own.transpose(0, 2, 1)
            right = np.concatenate([D, (r[rows] * ~pad)[:, :, None]], axis=2)
            out.lowest[which], logdet, solved = _solved(P, right)
            products = right.transpose(0, 2, 1) @ solved
            if not self.reml:
                logdet = np.linalg.slogdet(V)[1]
            out.r2[which] -= products[:, p, p]
            out.beta[which] -= products[:, :p, p]
            out.Fxx_inverse[which] += products[:, :p, :p]
            sizes = (~pad).sum(axis=1)
            out.change[which] = logdet + _residual_change(at, out.r2[which], sizes)
        return out


def _log_ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """log(above / below), zero where nothing is left."""
    left = (above > 0) & (below > 0)
    ratio: FloatArray = np.log(np.where(left, above, 1.0) / np.where(left, below, 1.0))
    return ratio


def _residual_change(
    at: Evaluation, r2: FloatArray, sizes: IntArray | int
) -> FloatArray:
    """What the residual sum of squares changes in the criterion."""
    df = at.df - sizes
    left = (r2 > 0) & (df > 0)
    log: FloatArray = np.log(np.where(left, r2, 1.0) / np.where(left, df, 1))
    return df * log - at.df * np.log(at.r2 / at.df)


def _solved(
    P: FloatArray, right: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Smallest pivots, log-determinants and P^-1 right of matrices, shape (b, s, s).

    What is nearly singular counts as the identity in its null directions.
    """
    try:
        root = np.linalg.cholesky(P)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(P)
        lowest = values[:, 0]
        values = np.where(values > SINGULAR_BLOCK, values, 1.0)
        turned = vectors.transpose(0, 2, 1) @ right / values[:, :, None]
        return lowest, np.log(values).sum(axis=1), vectors @ turned
    pivots = np.einsum("bss->bs", root)
    logdet = 2.0 * np.log(pivots).sum(axis=1)
    solved: FloatArray = np.asarray(np.linalg.solve(P, right), dtype=np.float64)
    return pivots.min(axis=1) ** 2, logdet, solved


def _batches(
    chosen: list[IntArray],
) -> Iterator[tuple[IntArray, IntArray, NDArray[np.bool_]]]:
    """Sets of like size, their rows (b, s), and which of these only fill up."""
    sizes = np.array([len(own) for own in chosen], dtype=np.int64)
    step = 2 ** np.maximum(np.floor(np.log2(np.maximum(sizes, 1))) - 2, 0)
    rounded = np.asarray(np.ceil(sizes / step) * step, dtype=np.int64)
    for s in np.unique(rounded):
        alike = np.flatnonzero(rounded == s)
        width = max(1, int(NUMBERS_AT_ONCE // (s * s)))
        for first in range(0, len(alike), width):
            which = alike[first : first + width]
            rows = np.zeros((len(which), s), dtype=np.int64)
            pad = np.arange(s) >= sizes[which, None]
            rows[~pad] = np.concatenate([chosen[g] for g in which])
            yield which, rows, pad


def _with_curvature(full: FloatArray, extra: FloatArray) -> FloatArray:
    """Hessians of the sets: that of all rows, scaled to their own diagonals."""
    diagonal = full.diagonal()
    safe = np.where(diagonal > 0, diagonal, 1.0)
    ratio = np.where(diagonal > 0, np.clip(1.0 + extra / safe, 0.25, 4.0), 1.0)
    root = np.sqrt(ratio)
    scaled: FloatArray = full * root[:, :, None] * root[:, None, :]
    return scaled


def _newton(H: FloatArray, g: FloatArray, inner: FloatArray) -> FloatArray:
    """Newton steps -H^-1 g, shape (G, k), with flat directions left out."""
    values, vectors = np.linalg.eigh(H)
    curved = values > 1e-8 * np.maximum(1.0, np.abs(values).max(axis=1, keepdims=True))
    along = np.einsum("gji,gj->gi", vectors, g)
    along = np.where(curved, along / np.where(curved, values, 1.0), 0.0)
    delta = -np.einsum("gij,gj->gi", vectors, along)
    longest = (np.abs(delta) / np.maximum(1.0, np.abs(inner))).max(axis=1)
    return delta * np.minimum(1.0, LONGEST / np.maximum(longest, 1e-300))[:, None]
