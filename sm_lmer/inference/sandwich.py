r"""Scores of the fixed effects by cluster, as they are and bias-reduced.

Notation is that of :mod:`sm_lmer.inference.robust`. The symmetric solution A of
``A (V - XMX') A = V`` is a geometric mean of matrices, so it depends on no choice of a
square root of V; outside of the columns of X and Z it is the identity, so that a
cluster costs no more than a decomposition of the order of their number. With weights
that is not so, and the order is the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.terms import Factor, FloatArray, IntArray

if TYPE_CHECKING:
    from ..results import LMERResults

LARGEST = 3000
"""Order of the largest matrix of a cluster that CR2 decomposes."""

BATCH = 2_000_000
"""Numbers of the clusters that are worked on at once."""

LOST = 1e-10
"""Share of its variance below which the fit leaves a residual nothing."""


class _Random(NamedTuple):
    """A grouping block: level of each row, rows of Z Lambda, number of levels."""

    codes: IntArray
    ZT: FloatArray
    n_levels: int


class Working(NamedTuple):
    """The fitted model in orthonormal columns of X, divided by sigma.

    Rows are multiplied by the square roots of the weights. The lower triangular `root`
    satisfies ``root root' = M``, and ``to_scores`` takes ``root' X'V^-1 e`` to the
    error of the estimates.
    """

    X: FloatArray
    VX: FloatArray
    e: FloatArray
    random: list[_Random]
    root: FloatArray
    to_scores: FloatArray
    sqrt_weights: FloatArray | None


def working_model(results: LMERResults) -> Working:
    """The fitted model, with V^-1 X by one solve for all columns."""
    likelihood, point = results._likelihood(), results._optimum.point
    turned = likelihood.rotated(point.rotations)
    at = turned.evaluate(turned.inner_templates(point.inner), results.reml)
    fixed, p = turned.fixed, len(at.beta)
    us, _ = turned.criterion.scores(at, np.eye(p + 1, p))
    VX = fixed.basis.Q.copy()
    random = []
    blocks = zip(turned.blocks, turned.Zs, at.Ts, us, strict=True)
    for block, Z, T, u in blocks:
        ZT = Z @ T
        for j in range(block.q):
            VX -= ZT[:, j, None] * u[block.codes, j]
        random.append(_Random(block.codes, ZT, block.n_levels))
    e = fixed.residual - fixed.basis.Q @ at.beta
    root = np.asarray(np.linalg.cholesky(at.Fxx_inverse), dtype=np.float64)
    return Working(
        fixed.basis.Q,
        VX,
        e,
        random,
        root,
        fixed.basis.C @ root,
        likelihood.sqrt_weights,
    )


def sums(values: FloatArray, clusters: Factor) -> FloatArray:
    """Sums of the rows of every cluster, shape (n_groups, columns)."""
    found = np.empty((clusters.n_levels, values.shape[1]))
    for j, column in enumerate(values.T):
        found[:, j] = np.bincount(clusters.codes, column, clusters.n_levels)
    return found


def information(working: Working, clusters: Factor) -> FloatArray:
    """X_g'V_g^-1 X_g between scores, shape (n_groups, p, p)."""
    p = working.X.shape[1]
    found = np.empty((clusters.n_levels, p, p))
    for j in range(p):
        found[:, j] = sums(working.VX[:, j, None] * working.X, clusters)
    out: FloatArray = working.root.T @ found @ working.root
    return out


class _Batch(NamedTuple):
    """Clusters of like size, filled up with rows of zeros that change nothing.

    Attributes
    ----------
    members : ndarray of int, shape (k,)
        Which clusters.
    X, e, U, noise : ndarray, shapes (k, m, p), (k, m), (k, m, q), (k, m)
        ``V = diag(noise) + U U'``.
    """

    members: IntArray
    X: FloatArray
    e: FloatArray
    U: FloatArray
    noise: FloatArray


def bias_reduced(
    working: Working, clusters: Factor
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Adjusted scores, and the two parts of their covariance between clusters.

    Returns
    -------
    scores : ndarray, shape (n_groups, p)
    own, shared : ndarray, shape (n_groups, p, p)
        As in :class:`ClusterSatterthwaite`.
    """
    G, p = clusters.n_levels, working.X.shape[1]
    scores, own, shared = np.zeros((G, p)), np.zeros((G, p, p)), np.zeros((G, p, p))
    for batch in _batches(working, clusters) if p else ():
        X, e, V = _reduced(batch, working.sqrt_weights is None)
        values, vectors = np.linalg.eigh(V)
        values = np.sqrt(values)[:, :, None]
        turned = vectors.transpose(0, 2, 1)
        Y = turned @ X / values @ working.root
        half = Y.transpose(0, 2, 1) @ _inverse_root(Y, values)
        half *= (values**2).transpose(0, 2, 1)
        scores[batch.members] = (half @ (turned @ e[:, :, None] / values))[:, :, 0]
        own[batch.members] = half @ half.transpose(0, 2, 1)
        shared[batch.members] = half @ Y
    return scores, own, shared


def _inverse_root(Y: FloatArray, roots: FloatArray) -> FloatArray:
    """(D (D^2 - D YY' D) D)^(-1/2) for diagonal D, the `roots`, by pseudo-inversion.

    It comes from the singular values of D^2 (1 - YY')^(1/2), which keeps the digits
    that squares would lose. Directions in which 1 - YY' is zero, as where a column of X
    is not zero in one cluster only, have no residuals and are left out.
    """
    left, s, _ = np.linalg.svd(Y, full_matrices=False)
    rest = 1.0 - s**2
    lost = rest < LOST
    shrink = 1.0 - np.sqrt(np.where(lost, 0.0, rest))
    product = -(roots**2 * left * shrink[:, None, :]) @ left.transpose(0, 2, 1)
    i = np.arange(product.shape[1])
    product[:, i, i] += roots[:, :, 0] ** 2
    vectors, lengths, _ = np.linalg.svd(product)
    kept = i < len(i) - lost.sum(axis=1)[:, None]
    inverse = np.where(kept, 1.0 / np.where(kept, lengths, 1.0), 0.0)
    return np.asarray((vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1))


def _reduced(
    batch: _Batch, unweighted: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """X, e and V of a batch, in a basis of the columns of X and U where it is smaller.

    Outside of these columns V is the identity, if there are no weights.
    """
    m, q = batch.U.shape[1:]
    p = batch.X.shape[2]
    X, e, U = batch.X, batch.e, batch.U
    if unweighted and p + q < m:
        basis = np.linalg.qr(np.concatenate([U, X], axis=2))[0].transpose(0, 2, 1)
        X, e, U = basis @ X, (basis @ e[:, :, None])[:, :, 0], basis @ U
    if X.shape[1] > LARGEST:
        raise ValueError(
            f"CR2 would decompose matrices of order {X.shape[1]} for the largest "
            f"cluster, and the limit is {LARGEST}; use kind='CR1S'."
        )
    V = U @ U.transpose(0, 2, 1)
    i = np.arange(V.shape[1])
    V[:, i, i] += 1.0 if unweighted else batch.noise
    return X, e, V


def _batches(working: Working, clusters: Factor) -> Iterator[_Batch]:
    """All clusters, in batches of like numbers of rows and of random effects."""
    G, codes = clusters.n_levels, clusters.codes
    sizes = np.bincount(codes, minlength=G)
    row_place = _places(codes, G)
    level_places, level_counts = [], []
    for part in working.random:
        parent = np.zeros(part.n_levels, dtype=np.int64)
        parent[part.codes] = codes
        level_places.append(_places(parent, G)[part.codes])
        level_counts.append(np.bincount(parent, minlength=G))
    shapes = np.column_stack([_rounded_up(c) for c in (sizes, *level_counts)])
    kinds, kind_of = np.unique(shapes, axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    by_cluster = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    widths = [part.ZT.shape[1] for part in working.random]
    for number, (m, *counts) in enumerate(kinds):
        offsets = np.concatenate([[0], np.cumsum(np.multiply(counts, widths))])
        columns = int(offsets[-1]) + working.X.shape[1]
        members = np.flatnonzero(kind_of == number)
        step = max(1, int(BATCH // (m * min(columns, m) + m * columns)))
        for begin in range(0, len(members), step):
            chosen = members[begin : begin + step]
            rows = np.concatenate(
                [by_cluster[starts[g] : starts[g + 1]] for g in chosen]
            )
            yield _fill(
                working, chosen, rows, (codes, row_place), level_places, offsets, m
            )


def _fill(
    working: Working,
    members: IntArray,
    rows: IntArray,
    place: tuple[IntArray, IntArray],
    level_places: list[IntArray],
    offsets: IntArray,
    m: int,
) -> _Batch:
    """The arrays of a batch, whose clusters have these rows."""
    codes, row_place = place
    k = np.searchsorted(members, codes[rows])
    i = row_place[rows]
    scale = np.ones(len(rows))
    if working.sqrt_weights is not None:
        scale = 1.0 / working.sqrt_weights[rows]
    X = np.zeros((len(members), m, working.X.shape[1]))
    e, noise = np.zeros(X.shape[:2]), np.ones(X.shape[:2])
    U = np.zeros((len(members), m, int(offsets[-1])))
    X[k, i] = working.X[rows] * scale[:, None]
    e[k, i] = working.e[rows] * scale
    noise[k, i] = scale**2
    for part, places, offset in zip(
        working.random, level_places, offsets[:-1], strict=True
    ):
        q = part.ZT.shape[1]
        for j in range(q):
            at = offset + places[rows] * q + j
            U[k, i, at] = part.ZT[rows, j] * scale
    return _Batch(members, X, e, U, noise)


def _places(groups: IntArray, count: int) -> IntArray:
    """Position of each entry within its group: 0, 1, 2, ..."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=count)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.empty(len(groups), dtype=np.int64)
    places[order] = np.arange(len(groups)) - starts
    return places


def _rounded_up(counts: IntArray) -> IntArray:
    """Counts rounded up to three binary digits, so that like clusters are alike."""
    step = 2 ** np.maximum(np.floor(np.log2(np.maximum(counts, 1))) - 2, 0)
    return np.asarray(np.ceil(counts / step) * step, dtype=np.int64)
