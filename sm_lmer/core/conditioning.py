"""Change of basis for X, y and Z, so that scale and origin of the data cost no digits.

The likelihood is invariant under an invertible change of the columns of X, and of
the columns of an unstructured random-effects term. The engine therefore works with
orthonormal columns and maps the estimates back; users never see the inner basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular
from scipy.linalg.blas import dnrm2 as nrm2

from .terms import FloatArray, GroupingBlock, IntArray, RandomTerm

RANK_TOLERANCE = 1e-7
"""A column is aliased when the earlier ones leave less than this share of it (R's)."""

WELL_CONDITIONED = 1e-3
"""Columns that keep this share of their norm need no Householder QR."""

CENTRED_TOLERANCE = 1e-13
"""A column is constant when centring leaves less than this share of it."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal columns ``Q = X[:, kept] @ C`` of a (weighted) matrix X.

    Attributes
    ----------
    Q : ndarray, shape (n, r)
    C : ndarray, shape (r, r)
    kept, dropped : ndarray of int
        Columns that span X, and the later ones that depend on them.
    """

    Q: FloatArray
    C: FloatArray
    kept: IntArray
    dropped: IntArray

    def of_kept_columns(self) -> Basis:
        """The same basis for the matrix of the kept columns alone."""
        return Basis(self.Q, self.C, np.arange(len(self.kept)), self.dropped[:0])

    @cached_property
    def logdet(self) -> float:
        """log|R| of X = QR, which is -log|det C|."""
        return -float(np.linalg.slogdet(self.C)[1])


def constant_column(X: FloatArray) -> int | None:
    """Position of the first non-zero constant column of X, if any."""
    if X.shape[0] == 0:
        return None
    for j in range(X.shape[1]):
        first = X[0, j]
        if first != 0 and (X[:, j] == first).all():
            return j
    return None


def orthonormal_basis(X: FloatArray, sqrt_weights: FloatArray | None) -> Basis:
    """Orthonormalise the columns of ``diag(sqrt_weights) @ X`` in their order.

    Columns are centred first where X holds a constant, then scaled, then
    orthogonalised by Householder QR; a column that depends on earlier ones is
    dropped, as R does.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    sqrt_weights : ndarray, shape (n,), or None

    Returns
    -------
    Basis
    """
    j0 = constant_column(X)
    while True:
        E, size, kept, scaled = _centre_and_scale(X, sqrt_weights, j0)
        Q, R_inverse, aliased = _orthogonalise(scaled)
        if not aliased or not j0:
            break
        j0 = None  # a constant after other columns: these are to be kept first
    if aliased:
        kept = np.delete(kept, aliased)
    C = (E[kept[:, None], kept] / size[kept]) @ R_inverse
    dropped = np.ones(X.shape[1], dtype=bool)
    dropped[kept] = False
    return Basis(Q, C, kept, np.flatnonzero(dropped))


def _orthogonalise(scaled: FloatArray) -> tuple[FloatArray, FloatArray, list[int]]:
    """Q and R^-1 of columns of unit norm, and the columns that earlier ones determine.

    The Cholesky factor of the cross-products serves where the columns are far from
    dependent: Q is then orthonormal to about ten digits, which is all the likelihood
    needs, as it forms Q'Q itself. Otherwise Householder's QR decides.
    """
    aliased: list[int] = []
    if scaled.shape[1] == 0:  # LAPACK takes no empty matrices
        return scaled, np.zeros((0, 0)), aliased
    R, info = lapack.dpotrf(scaled.T @ scaled, lower=0, clean=1)
    if info == 0 and (R.diagonal() > WELL_CONDITIONED).all():
        R_inverse, _ = lapack.dtrtri(R)
        return scaled @ R_inverse, R_inverse, aliased
    columns = list(range(scaled.shape[1]))
    while True:
        Q, R = qr(scaled[:, columns], mode="economic", check_finite=False)
        dependent = np.ones(len(columns), dtype=bool)
        dependent[: len(R)] = np.abs(np.diag(R)) < RANK_TOLERANCE
        if not dependent.any():
            identity = np.eye(len(columns))
            return Q, solve_triangular(R, identity, check_finite=False), aliased
        aliased.append(columns.pop(int(np.argmax(dependent))))


def _centre_and_scale(
    X: FloatArray, sqrt_weights: FloatArray | None, j0: int | None
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
    """Centring matrix E, norms of the columns of X E, those not zero, and they scaled.

    E subtracts multiples of the constant column j0 from the others.
    """
    E = np.eye(X.shape[1])
    size = _norms(X, sqrt_weights)
    floor = size * CENTRED_TOLERANCE
    columns = X
    if j0 is not None:
        means = X.mean(axis=0)
        means[j0] = 0.0
        E[j0] -= means / X[0, j0]
        columns = X - means
        size = _norms(columns, sqrt_weights)
    kept = np.flatnonzero((size > floor) & (size > 0))
    own = columns is not X and len(kept) == len(size)  # then divide in place
    scaled = columns if own else columns[:, kept]
    scaled = np.divide(scaled, size[kept], out=scaled if own else None)
    if sqrt_weights is not None:
        scaled *= sqrt_weights[:, None]
    return E, size, kept, scaled


def _norms(X: FloatArray, sqrt_weights: FloatArray | None) -> FloatArray:
    """Norms of the weighted columns, also where their squares leave the range."""
    columns = X if sqrt_weights is None else X * sqrt_weights[:, None]
    with np.errstate(over="ignore", under="ignore"):
        norms: FloatArray = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    for j in np.flatnonzero((norms < 1e-140) | ~np.isfinite(norms)):
        norms[j] = nrm2(columns[:, j])
    return norms


@dataclass(frozen=True, eq=False)
class FixedPart:
    """The fixed part in orthonormal coordinates, and the response it leaves.

    Attributes
    ----------
    basis : Basis
    ols : ndarray, shape (p,)
        Least-squares coefficients of the kept columns of X.
    residual : ndarray, shape (n,)
        Weighted residual of that fit; it stands for y in the likelihood.
    spread : float
        Norm of the centred (weighted) response, to judge a perfect fit by.
    """

    basis: Basis
    ols: FloatArray
    residual: FloatArray
    spread: float


def project(
    basis: Basis,
    X: FloatArray,
    y: FloatArray,
    sqrt_weights: FloatArray | None,
) -> FixedPart:
    """Take the least-squares fit on the basis out of a response."""
    j0 = constant_column(X[:, basis.kept])
    level = 0.0 if j0 is None else float(y.mean())
    residual = y - level
    if sqrt_weights is not None:
        residual *= sqrt_weights
    spread = float(np.linalg.norm(residual))
    coordinates = np.zeros(basis.Q.shape[1])
    for _ in range(2):  # twice, so that the rest is orthogonal to working precision
        step = basis.Q.T @ residual
        residual -= basis.Q @ step
        coordinates += step
    ols = basis.C @ coordinates
    if j0 is not None:
        ols[j0] += level / X[0, basis.kept[j0]]
    return FixedPart(basis, ols, residual, spread)


def condition_term(
    term: RandomTerm, sqrt_weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Whiten an unstructured term's columns, scale a diagonal term's.

    Returns
    -------
    Z : ndarray, shape (n, q)
        Weighted conditioned columns, ``Z = diag(sqrt_weights) @ term.Z @ A`` with
        ``Z'Z / n`` the identity (or its diagonal of ones).
    A : ndarray, shape (q, q)
    """
    raw = np.asarray(term.Z)
    n, q = raw.shape
    if sqrt_weights is None and q == 1 and (raw == 1.0).all():
        return raw, np.ones((1, 1))
    if q > 1 and not term.diagonal:
        basis = orthonormal_basis(raw, sqrt_weights)
        if len(basis.kept) == q:
            return basis.Q * np.sqrt(n), basis.C * np.sqrt(n)
    size = _norms(raw, sqrt_weights) / np.sqrt(n)
    size[size == 0.0] = 1.0
    Z = raw / size
    if sqrt_weights is not None:
        Z *= sqrt_weights[:, None]
    return Z, np.diag(1.0 / size)


def condition_block(
    block: GroupingBlock, terms: list[RandomTerm], sqrt_weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Conditioned columns, shape (n, q), and block-diagonal A of a grouping block."""
    pieces = [condition_term(terms[k], sqrt_weights) for k in block.terms]
    if len(pieces) == 1:
        return pieces[0]
    A = np.zeros((block.q, block.q))
    for start, (_, piece) in zip(block.starts, pieces, strict=True):
        stop = start + piece.shape[0]
        A[start:stop, start:stop] = piece
    return np.hstack([Z for Z, _ in pieces]), A
