"""Where a fit starts, and the metric of its first steps.

Both use the criterion's derivative G in a term's relative covariance Sigma = T T',
which follows from the gradient in T: the derivative in T is 2 G T, and its lower
triangle determines G.
"""

from __future__ import annotations

import numpy as np

from .criterion import Evaluation
from .likelihood import Likelihood
from .terms import FloatArray, RandomTerm

INFORMATION_FLOOR = 0.4
"""Least information about an entry of theta, a level, that a scoring step assumes.

For entries beyond one it falls with their square, as the information does.
"""

EM_SHRINKS_TO = 0.01
"""The smallest share of a variance that one EM step leaves."""

SMALLEST_DIAGONAL = 1e-9
"""Diagonals of T below this do not determine G."""


COLLINEAR = 2.0
"""Start of a coefficient, in units of the usual one, from which on it is tried too."""


def collinear_start(likelihood: Likelihood) -> FloatArray | None:
    """Another start for independent coefficients of nearly collinear columns.

    Independent terms such as ``(x || g)`` with x far from its origin cannot be
    whitened; next to an optimum with small variances there may be one at which large
    variances of both stand for a correlation. The start has the variances that
    whitening the columns together would give; None where that changes little.
    """
    start = likelihood.start.copy()
    for j, block in enumerate(likelihood.blocks):
        members = [likelihood.parts[k] for k in block.terms]
        free = [term.q == 1 or term.diagonal for term, _ in members]
        if block.q == 1 or not any(free):
            continue
        squares = likelihood.squares(j) / likelihood.n
        scales = np.sqrt(np.diag(np.linalg.pinv(squares)))
        for (term, part), first, own in zip(members, block.starts, free, strict=True):
            if own:
                start[part] = scales[first : first + term.q]
    return start if (start > COLLINEAR * likelihood.start).any() else None


def em_step(
    likelihood: Likelihood, inner: FloatArray, gradient: FloatArray
) -> FloatArray:
    """One step of the EM algorithm in inner coordinates.

    It takes Sigma to Sigma - Sigma G Sigma / L for a term with L levels (Laird and
    Ware 1982, section 4, in this form), that is T to T chol(I - T'G T / L).
    """
    step = inner.copy()
    for term, part in likelihood.parts:
        if term.q == 1:
            share = 1.0 - inner[part] * gradient[part] / (2.0 * term.factor.n_levels)
            step[part] *= np.sqrt(np.maximum(share, EM_SHRINKS_TO))
            continue
        T, G = (
            term.template(inner[part]),
            _derivative(term, inner[part], gradient[part]),
        )
        M = np.eye(term.q) - T.T @ G @ T / term.factor.n_levels
        if term.diagonal:
            M = np.diag(M.diagonal())
        values, vectors = np.linalg.eigh(M)
        M = (vectors * np.maximum(values, EM_SHRINKS_TO)) @ vectors.T
        step[part] = (T @ np.linalg.cholesky(M))[term.positions()]
    return step


def inverse_information(
    likelihood: Likelihood, inner: FloatArray, gradient: FloatArray, at: Evaluation
) -> FloatArray:
    """Approximate inverse Hessian in inner coordinates, positive definite.

    The Hessian is taken as the average information plus the curvature of Sigma as a
    function of theta, which is all that is left at a boundary. Directions about which
    the data say little get the information that their number of levels would give.

    Returns
    -------
    ndarray, shape (k_theta, k_theta)
    """
    H = likelihood.criterion.average_information(
        at, likelihood.positions, likelihood.rotations
    )
    for term, part in likelihood.parts:
        if abs(inner[part]).max() > 0:
            H[part, part] += _curvature(term, inner[part], gradient[part])
    diagonal = np.diag_indices(len(H))
    floor = (
        INFORMATION_FLOOR * likelihood.level_counts / _squared_sizes(likelihood, inner)
    )
    H[diagonal] += np.maximum(0.0, floor - H[diagonal])
    values, vectors = np.linalg.eigh(0.5 * (H + H.T))
    inverse: FloatArray = (vectors / np.maximum(values, 0.25 * floor.min())) @ vectors.T
    return inverse


def _squared_sizes(likelihood: Likelihood, inner: FloatArray) -> FloatArray:
    """Squared size of the row of T that each entry of theta is in, at least one."""
    sizes = np.ones(len(inner))
    for term, part in likelihood.parts:
        rows, _ = term.positions()
        sizes[part] = (term.template(inner[part]) ** 2).sum(axis=1)[rows]
    return np.maximum(sizes, 1.0)


def _derivative(
    term: RandomTerm, inner: FloatArray, gradient: FloatArray
) -> FloatArray:
    """G, shape (q, q), from the derivatives 2 G T at theta's positions.

    Solved column by column from the last. A vanished diagonal of T leaves its part of
    G unknown; it is taken as zero.
    """
    T, half = term.template(inner), 0.5 * term.template(gradient)
    G = np.zeros_like(T)
    for c in range(term.q - 1, -1, -1):
        if abs(T[c, c]) < SMALLEST_DIAGONAL:
            continue
        below = slice(c + 1, term.q)
        G[below, c] = (half[below, c] - G[below, below] @ T[below, c]) / T[c, c]
        G[c, below] = G[below, c]
        G[c, c] = (half[c, c] - G[c, below] @ T[below, c]) / T[c, c]
    return np.diag(G.diagonal()) if term.diagonal else G


def _curvature(term: RandomTerm, inner: FloatArray, gradient: FloatArray) -> FloatArray:
    """The part of the Hessian that Sigma's second derivatives give, where positive.

    Entries of T in one column have the second derivative e_r e_s' + e_s e_r' of Sigma,
    entries in different columns none.
    """
    if term.q == 1:
        return np.maximum(0.0, gradient / inner)[:, None]
    values, vectors = np.linalg.eigh(_derivative(term, inner, gradient))
    G = (vectors * np.maximum(values, 0.0)) @ vectors.T
    rows, cols = term.positions()
    same_column = cols[:, None] == cols[None, :]
    curvature: FloatArray = np.where(same_column, 2.0 * G[np.ix_(rows, rows)], 0.0)
    return curvature
