r"""Kenward and Roger's adjusted covariance and degrees of freedom.

With :math:`V = \sum_r \gamma_r G_r + \sigma^2 W^{-1}` linear in the variance components
:math:`\gamma` (variances and covariances of every term) Kenward and Roger (1997,
Biometrics 53, 983-997) need :math:`\Phi = (X'V^{-1}X)^{-1}` and

.. math::

    P_r = -X'V^{-1}G_rV^{-1}X, \quad Q_{rs} = X'V^{-1}G_rV^{-1}G_sV^{-1}X, \quad
    t_{rs} = \mathrm{tr}(V^{-1}G_rV^{-1}G_s).

All of it is invariant under a linear change of the components. So :math:`\sigma^2` is
replaced by a factor of V itself: its :math:`P` is :math:`-X'V^{-1}X`, its traces are
n and :math:`\mathrm{tr}(V^{-1}G_r)`, it adds nothing to the adjusted covariance, and
no matrix of the size of the data is left. With :math:`G_r = Z_j (I \otimes E_r) Z_j'`
the rest is in terms of :math:`Z'V^{-1}X` and :math:`N = Z'V^{-1}Z`. N has a block a
level of the leading grouping factor (see :mod:`sm_lmer.core.criterion`) and a part of
the rank of the trailing ones, so that only matrices of the trailing factors' size are
formed, and these for each connected component of their levels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import connected_components

from ..core.optimize import Point, optimize
from ..core.terms import FloatArray, GroupingBlock, IntArray
from .ddf import Inference

if TYPE_CHECKING:
    from ..core.criterion import Evaluation
    from ..core.likelihood import Likelihood
    from ..results import LMERResults

UNIDENTIFIED = 1e-10
"""Share of the information on variance components that counts as none."""

NEAR_TWO = 1e-2
"""Distance of degrees of freedom from 2 within which pbkrtest does not scale F."""

COLUMNS = 12_000
"""Connected trailing random effects up to which dense matrices are formed."""

ENTRIES = 2_000_000
"""Entries of the matrices of components that are worked on at a time."""


@dataclass(frozen=True, eq=False)
class KenwardRoger(Inference):
    """Kenward and Roger's method, as R's pbkrtest and lmerTest have it.

    ``vcov`` is the adjusted covariance, which standard errors and Wald statistics
    come from; degrees of freedom use the unadjusted one. Where the scale of
    :meth:`joint` is negative, pbkrtest recommends the statistic without it.

    Attributes
    ----------
    factor : ndarray, shape (p, p)
        ``factor @ factor.T`` is the unadjusted covariance.
    pieces : ndarray, shape (k, p, p)
        Relative derivatives of the unadjusted covariance, in coordinates in which it
        is the identity, along independent directions of the variance components
        whose estimates have variance 1.
    """

    factor: FloatArray
    pieces: FloatArray
    method: str = field(default="kenward-roger", init=False)

    def each(self, L: FloatArray) -> FloatArray:
        """Of every row by itself: ``2 v^2 / var(v)`` for its variance v."""
        rows = L @ self.factor
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = rows / np.linalg.norm(rows, axis=1)[:, None]
            relative = np.einsum("ij,mjk,ik->im", rows, self.pieces, rows)
            return 2.0 / (relative**2).sum(axis=1)

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """By matching the first two moments of the scaled F statistic."""
        if len(L) == 1:
            return float(self.each(L)[0]), 1.0
        basis, _ = np.linalg.qr((L @ self.factor).T)
        inside = basis.T @ self.pieces @ basis
        A1 = float((np.trace(inside, axis1=1, axis2=2) ** 2).sum())
        return matched_moments(A1, float((inside**2).sum()), len(L))


def matched_moments(A1: float, A2: float, q: int) -> tuple[float, float]:
    """Denominator degrees of freedom and scale of an F statistic of q rows.

    Kenward and Roger (1997), section 3.2, with pbkrtest's rules: 0/0 is 1, and the
    scale is 1 where the degrees of freedom are within 0.01 of 2.

    Parameters
    ----------
    A1, A2 : float
        Kenward and Roger's sums over pairs of variance components.
    q : int

    Examples
    --------
    >>> ddf, scale = matched_moments(0.4, 0.2, 2)
    >>> round(ddf, 4), round(scale, 4)
    (20.0, 1.0)
    """
    if A2 == 0.0:
        return np.inf, 1.0
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    c = np.array([g, q - g, q + 2.0 - g]) / (3.0 * q + 2.0 * (1.0 - g))
    V0, V1, V2 = 1.0 + c[0] * B, 1.0 - c[1] * B, 1.0 - c[2] * B
    if abs(V0) < 1e-10:
        V0 = 0.0
    lost = np.float64(1.0 - A2 / q)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 1.0 if abs(lost) < 1e-14 and abs(V1) < 1e-14 else lost / V1
        ddf = 4.0 + (q + 2.0) / (ratio**2 * V0 / V2 - 1.0)
    if np.isinf(ddf):
        return np.inf, float(lost)
    if abs(ddf - 2.0) < NEAR_TWO:
        return float(ddf), 1.0
    return float(ddf), float(ddf * lost / (ddf - 2.0))


def kenward_roger(results: LMERResults) -> KenwardRoger:
    """Kenward and Roger's method for a fit.

    It is a method for REML: a fit by maximum likelihood gets the covariance and the
    degrees of freedom of the REML fit of the same model, as pbkrtest's, but its own
    estimates are tested. Precision weights count, which pbkrtest 0.5 forgets.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    KenwardRoger

    Raises
    ------
    MemoryError
        If trailing grouping factors have too many levels connected with each other.

    Examples
    --------
    >>> import numpy as np, sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> unbalanced = data.drop(index=[3, 8, 17, 40])
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", unbalanced).fit()
    >>> found = res.inference("kenward-roger")
    >>> print(np.sqrt(found.vcov.diagonal()).round(4), found.each(np.eye(2)).round(3))
    [6.7944 1.5207] [16.982 16.994]
    """
    likelihood = results._likelihood()
    point, notes = _reml_optimum(results, likelihood)
    at = likelihood.evaluate(point.to_user(likelihood)[1], True)
    components = _Components(likelihood, at)
    P, Q = components.moments()
    information, most = _information(P, Q, *components.traces(), likelihood.n)
    roots, left_out = _inverse_roots(information, most)
    if left_out:
        notes.append(
            f"Kenward-Roger: {left_out} of {len(most)} directions of the variance "
            "components are not identified and are left out."
        )
    W = roots[:-1] @ roots[:-1].T
    U = np.einsum("rs,rsij->ij", W, Q)
    U -= np.einsum("rs,rij,sjk->ik", W, P, P, optimize=True)
    identity = np.eye(len(at.beta))
    factor = np.sqrt(at.sigma2) * (likelihood.fixed.basis.C @ components.whitening)
    vcov = factor @ (identity + U + U.T) @ factor.T
    pieces = np.tensordot(roots.T, np.concatenate([P, -identity[None]]), axes=1)
    return KenwardRoger(vcov, factor, pieces, notes=tuple(notes))


def _reml_optimum(
    results: LMERResults, likelihood: Likelihood
) -> tuple[Point, list[str]]:
    """Where the model's REML criterion is smallest, and notes on how it was found."""
    if results.reml:
        return results._optimum.point, []
    start = likelihood.to_inner(results.theta)
    optimum = optimize(likelihood, True, start=start, method=results.optimizer)
    notes = [
        "Kenward-Roger: covariance and degrees of freedom are those of the REML fit "
        "of the model."
    ]
    if not optimum.converged:
        notes.append(f"Kenward-Roger: in the REML fit {optimum.message}.")
    return optimum.point, notes


def _information(
    P: FloatArray, Q: FloatArray, pairs: FloatArray, single: FloatArray, n: int
) -> tuple[FloatArray, FloatArray]:
    """Twice the expected REML information on the components, V's own factor last.

    The second value is its diagonal if the fixed effects were known.

    Parameters
    ----------
    P, Q : ndarray, shapes (k, p, p) and (k, k, p, p)
        With X whitened.
    pairs, single : ndarray, shapes (k, k) and (k,)
        tr(V^-1 G_r V^-1 G_s) and tr(V^-1 G_r).
    n : int
    """
    k, p, _ = P.shape
    information = np.empty((k + 1, k + 1))
    information[:k, :k] = pairs - 2.0 * np.einsum("rsii->rs", Q)
    information[:k, :k] += np.einsum("rij,sji->rs", P, P)
    information[k, :k] = information[:k, k] = single + np.einsum("rii->r", P)
    information[k, k] = n - p
    return information, np.append(pairs.diagonal(), n)


def _inverse_roots(information: FloatArray, most: FloatArray) -> tuple[FloatArray, int]:
    """R with ``R R' = 2 information^-1``, and how many directions have no information.

    Parameters
    ----------
    information : ndarray, shape (k, k)
    most : ndarray, shape (k,)
        Its diagonal if the fixed effects were known, to scale by.
    """
    scale = np.sqrt(np.where(most > 0.0, most, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    kept = values > UNIDENTIFIED * values.max()
    roots = vectors[:, kept] * np.sqrt(2.0 / values[kept]) / scale[:, None]
    return roots, int((~kept).sum())


class _Components:
    """The matrices G_r of a model's variance components, at one theta.

    Components stand in theta's order, each in the place of its entry of the template:
    the symmetric matrix E_r has ones there and in the transposed place.

    Attributes
    ----------
    whitening : ndarray, shape (p, p)
        In these combinations of the orthonormal columns of X, Phi is the identity.
    """

    def __init__(self, likelihood: Likelihood, at: Evaluation) -> None:
        self.blocks, self.cross, self.at = likelihood.blocks, likelihood.cross, at
        self.criterion, self.layout = likelihood.criterion, likelihood.layout
        self.k, self.p = likelihood.k_theta, len(at.beta)
        R = at.R_F[: self.p, : self.p]
        self.whitening = lapack.dtrtri(R)[0] if self.p else R
        self.E = [_symmetric(block) for block in self.blocks]
        A, K = self.cross.A11, at.K
        _, self.q, _ = A.shape
        # H = (I + A T T')^-1, so that H A = Z_i'V_1^-1 Z_i for the leading block alone
        self.H = np.linalg.inv(np.eye(self.q) + A @ (at.Ts[0] @ at.Ts[0].T))
        self.D = self.H @ A
        self.A21t = self.cross.A21.T.tocsr()
        self.G = self.cross.A22 - self._through_leading(K)

    def _through_leading(self, blocks: FloatArray) -> sparse.csr_array:
        """A21 diag(blocks) A21' for a block a leading level."""
        levels = np.arange(len(blocks))
        middle = sparse.bsr_array((blocks, levels, np.append(levels, len(levels))))
        return sparse.csr_array(self.cross.A21 @ (middle.tocsr() @ self.A21t))

    # -- with X ----------------------------------------------------------------

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """P, shape (k, p, p), and Q, shape (k, k, p, p), with X whitened."""
        V = np.zeros((self.p + 1, self.p))
        V[: self.p] = self.whitening
        _, scores = self.criterion.scores(self.at, V)
        P = np.empty((self.k, self.p, self.p))
        Q = np.empty((self.k, self.k, self.p, self.p))
        for j, (block, E) in enumerate(zip(self.blocks, self.E, strict=True)):
            P[block.index] = -_sandwiches(scores[j], E, scores[j])
            for s, E_s in zip(block.index, E, strict=True):
                Y = [np.zeros_like(score) for score in scores]
                Y[j] = E_s @ scores[j]
                for other, E_r, score, NY in zip(
                    self.blocks, self.E, scores, self._times_N(Y), strict=True
                ):
                    Q[other.index, s] = _sandwiches(score, E_r, NY)
        return P, Q

    def _times_N(self, Y: Sequence[FloatArray]) -> list[FloatArray]:
        """N Y, both by block, shape (levels, q, c)."""
        cross, at, factor = self.cross, self.at, self.at.factor
        L, q, c = Y[0].shape
        B1 = cross.A11 @ Y[0]
        if factor is None:
            return [self.H @ B1]
        Y2 = np.concatenate([y.reshape(-1, c) for y in Y[1:]])
        B1 = B1 + (self.A21t @ Y2).reshape(L, q, c)
        h = cross.A21 @ (Y[0] - at.K @ B1).reshape(L * q, c) + cross.A22 @ Y2
        b2 = factor.solve(self.layout.left(factor.transposed_Ts, h))
        b2 = self.layout.left(at.Ts[1:], b2)
        first = self.H @ (B1 - (self.A21t @ b2).reshape(L, q, c))
        rest = h - self.G @ b2
        return [
            first,
            *(rest[rows].reshape(n, width, c) for rows, n, width in self.layout.parts),
        ]

    # -- traces ----------------------------------------------------------------

    def traces(self) -> tuple[FloatArray, FloatArray]:
        """tr(N E_r N E_s), shape (k, k), and tr(N E_r), shape (k,)."""
        pairs, single = np.zeros((self.k, self.k)), np.zeros(self.k)
        first, E = self.blocks[0].index, self.E[0]
        N = self.D
        if self.at.factor is not None:
            _, spread = self.at.factor.inverse_blocks()
            lost = self.H @ spread @ self.H.transpose(0, 2, 1)
            N = N - lost
            pairs[np.ix_(first, first)] -= _pairings(lost, E, E)
            self._add_trailing(pairs, single)
        pairs[np.ix_(first, first)] += _pairings(N, E, E)
        single[first] = np.einsum("lab,rba->r", N, E)
        return pairs, single

    def _add_trailing(self, pairs: FloatArray, single: FloatArray) -> None:
        """Add the traces that go through trailing levels, component by component.

        With V_1 of the leading block alone, C = Z_2'V_1^-1 Z_1, W_r = C E_r C', and
        H = (I + G T_2 T_2')^-1, N has the blocks N_22 = H G and N_21 = H C, and
        N_11 = D - C'K C with K = T_2 T_2' H.
        """
        first = self.blocks[0].index
        H, Ht = self.H, self.H.transpose(0, 2, 1)
        Ws = [self._through_leading(Ht @ (E @ H)) for E in self.E[0]]
        Sigmas = [T @ T.T for T in self.at.Ts[1:]]
        for batch in _batches(self.layout.parts, self.G, 6 + len(Ws)):
            G = batch.dense(self.G)
            identity = np.eye(G.shape[1])
            H2: FloatArray = np.asarray(
                np.linalg.inv(identity + batch.right(G, Sigmas)), dtype=np.float64
            )
            self._add_among(batch, H2 @ G, pairs, single)
            through = []
            for r, W in zip(first, Ws, strict=True):
                HW = H2 @ batch.dense(W)
                for block, E, sums in zip(
                    self.blocks[1:], self.E[1:], batch.diagonals(HW, H2), strict=True
                ):
                    value = np.einsum("ab,sba->s", sums, E)
                    pairs[r, block.index] += value
                    pairs[block.index, r] += value
                through.append(batch.left(Sigmas, HW))
            for r, KW in zip(first, through, strict=True):
                for s, other in zip(first, through, strict=True):
                    pairs[r, s] += np.einsum("nij,nji->", KW, other)

    def _add_among(
        self, batch: _Batch, N: FloatArray, pairs: FloatArray, single: FloatArray
    ) -> None:
        """Add the traces of N_22."""
        numbered = list(zip(self.blocks[1:], self.E[1:], strict=True))
        for a, (block, E) in enumerate(numbered):
            for b, (other, F) in enumerate(numbered):
                sub = batch.between(N, a, b)
                value = _pairings(sub.reshape(-1, block.q, other.q), E, F)
                pairs[np.ix_(block.index, other.index)] += value
                if a == b:
                    own = np.einsum("nuuab->ab", sub)
                    single[block.index] += np.einsum("ab,rba->r", own, E)


def _symmetric(block: GroupingBlock) -> FloatArray:
    """The matrices E_r of a block's components, shape (k, q, q)."""
    E = np.zeros((len(block.rows), block.q, block.q))
    k = np.arange(len(block.rows))
    E[k, block.rows, block.cols] = E[k, block.cols, block.rows] = 1.0
    return E


def _sandwiches(left: FloatArray, E: FloatArray, right: FloatArray) -> FloatArray:
    """Sums over the levels of left' E_r right; shapes (L, q, p) to (k, p, p)."""
    L, q, p = left.shape
    products = left.reshape(L, q * p).T @ right.reshape(L, q * p)
    return np.einsum("axby,rab->rxy", products.reshape(q, p, q, p), E)


def _pairings(N: FloatArray, E: FloatArray, F: FloatArray) -> FloatArray:
    """Sums of tr(N_i'E_r N_i F_s), with N of shape (count, a, b); shape (r, s)."""
    count, a, b = N.shape
    flat = N.reshape(count, a * b)
    products = (flat.T @ flat).reshape(a, b, a, b)
    return np.einsum("xyab,rxa,sby->rs", products, E, F, optimize=True)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Components of the trailing levels that have equally many levels of each block.

    Attributes
    ----------
    columns : ndarray of int, shape (count, size)
        Trailing columns of each component, block by block, level by level.
    shapes : list of (first column, levels, q)
        Of each trailing block, within a component.
    """

    columns: IntArray
    shapes: list[tuple[int, int, int]]

    def dense(self, M: sparse.csr_array) -> FloatArray:
        """The components' parts of a sparse matrix, shape (count, size, size)."""
        count, size = self.columns.shape
        position = np.zeros(M.shape[1], dtype=np.intp)
        position[self.columns] = np.arange(size)
        rows = M[self.columns.ravel()].tocoo()
        out = np.zeros((count * size, size))
        out[rows.row, position[rows.col]] = rows.data
        return out.reshape(count, size, size)

    def between(self, M: FloatArray, a: int, b: int) -> FloatArray:
        """Blocks of M between levels, shape (count, levels_a, levels_b, q_a, q_b)."""
        (i, m, q), (j, n, r) = self.shapes[a], self.shapes[b]
        part = M[:, i : i + m * q, j : j + n * r]
        return part.reshape(len(M), m, q, n, r).transpose(0, 1, 3, 2, 4)

    def left(self, Sigmas: Sequence[FloatArray], M: FloatArray) -> FloatArray:
        """Sigma M, with Sigma block diagonal over the levels."""
        pieces = []
        for (start, levels, q), Sigma in zip(self.shapes, Sigmas, strict=True):
            part = M[:, start : start + levels * q]
            pieces.append(
                (Sigma @ part.reshape(len(M), levels, q, -1)).reshape(part.shape)
            )
        return np.concatenate(pieces, axis=1)

    def right(self, M: FloatArray, Sigmas: Sequence[FloatArray]) -> FloatArray:
        """M Sigma, for symmetric M."""
        return self.left(Sigmas, M).transpose(0, 2, 1)

    def diagonals(self, A: FloatArray, B: FloatArray) -> Iterator[FloatArray]:
        """Sums over the levels of each block of A B' between a level's own columns."""
        for start, levels, q in self.shapes:
            part = slice(start, start + levels * q)
            a, b = (M[:, part].reshape(len(M), levels, q, -1) for M in (A, B))
            yield np.einsum("nlas,nlbs->ab", a, b, optimize=True)


def _batches(
    parts: Sequence[tuple[slice, int, int]], G: sparse.csr_array, matrices: int
) -> Iterator[_Batch]:
    """The connected components of the trailing levels, equal shapes together.

    Parameters
    ----------
    parts : sequence of (slice, levels, q)
        Columns of each trailing block.
    G : csr_array, shape (m, m)
    matrices : int
        How many matrices of a component's size are held at a time.

    Raises
    ------
    MemoryError
        If a component is too large.
    """
    counts = [levels for _, levels, _ in parts]
    of_block = np.repeat(np.arange(len(parts)), counts)
    of_level = np.repeat(np.arange(len(of_block)), [parts[int(b)][2] for b in of_block])
    pattern = G.tocoo()
    graph = sparse.coo_array(
        (np.ones(pattern.nnz), (of_level[pattern.row], of_level[pattern.col])),
        shape=(len(of_block), len(of_block)),
    )
    n_found, label = connected_components(graph.tocsr(), directed=False)
    sizes = np.zeros((n_found, len(parts)), dtype=np.intp)
    np.add.at(sizes, (label, of_block), 1)
    widths = np.array([q for _, _, q in parts])
    _require_memory(int((sizes @ widths).max()), matrices)
    shapes, kind = np.unique(sizes, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    order = np.argsort(label[of_level], kind="stable")
    kind_of_column = kind[label[of_level[order]]]
    for k, levels in enumerate(shapes):
        ends = np.cumsum(levels * widths)
        columns = order[kind_of_column == k].reshape(-1, ends[-1])
        inside = list(zip(ends - levels * widths, levels, widths, strict=True))
        step = max(1, ENTRIES // int(ends[-1]) ** 2)
        for first in range(0, len(columns), step):
            yield _Batch(columns[first : first + step], inside)


def _require_memory(size: int, matrices: int) -> None:
    """Refuse components whose dense matrices are too large."""
    needed = 8.0 * matrices * size**2
    if size <= COLUMNS and needed <= _memory():
        return
    raise MemoryError(
        f"Kenward-Roger needs about {needed / 1e9:.0f} GB here, as {size:,} random "
        "effects are connected with each other; use ddf='satterthwaite'."
    )


def _memory() -> float:
    """The machine's memory in bytes; infinite where it cannot be found out."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return np.inf
    return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
