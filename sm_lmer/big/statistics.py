"""From sums in scaled columns to the likelihood's statistics.

The sample has made the columns nearly orthonormal; the rest is done here on the sums:
columns of X that depend on earlier ones are dropped, the others orthonormalised, the
least-squares fit is taken out of y, and the columns of Z are whitened, exactly as for
data in memory (:mod:`sm_lmer.core.conditioning`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import block_diag, solve_triangular

from ..core.conditioning import RANK_TOLERANCE, Basis, FixedPart
from ..core.crossproducts import CrossProducts
from ..core.likelihood import LikelihoodStatistics
from ..core.terms import FloatArray, GroupingBlock, RandomTerm, grouping_blocks
from .plan import Plan
from .scaling import Scaling
from .second_pass import Sums, with_codes

CONSTANT = 1e-12
"""Share of the rows' number that a constant may leave if columns add up to it."""

ROUGH = 1e-6
"""Share of a square that is left of it, below which its digits are not trusted."""


def grouping(
    terms: Sequence[RandomTerm], keys: Sequence[tuple[str, ...]]
) -> list[GroupingBlock]:
    """Blocks of terms without rows; groupings of one expression are one factor."""
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    made_up = []
    for term, key in zip(terms, keys, strict=True):
        # one row that tells factors apart
        factor = replace(term.factor, codes=np.array([number[key]]))
        Z = np.zeros((1, term.q))
        made_up.append(RandomTerm(factor, Z, "", term.columns, term.diagonal))
    none = np.zeros(0, dtype=np.int64)
    return [with_codes(block, none) for block in grouping_blocks(made_up)]


# -- the fixed part --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FixedChange:
    """How the sums of [W r] become those of [Q residual].

    Attributes
    ----------
    N : ndarray, shape (p + 1, k + 1)
        ``[Q residual] = [W r] @ N``.
    fixed : FixedPart
        Its residual is one number, the norm.
    constant : bool
        Whether the columns span a constant.
    better : Scaling or None
        One with which to go over the rows again, if digits were lost.
    """

    N: FloatArray
    fixed: FixedPart
    constant: bool
    better: Scaling | None


def fixed_change(plan: Plan, sums: Sums) -> FixedChange:
    """Orthonormalise the fixed part and take its fit out of the response."""
    scaling, p = plan.scaling, len(plan.names)
    G, cross, yy = sums.C[:p, :p], sums.C[:p, p], float(sums.C[p, p])
    kept, U, share = _kept(scaling, G, sums.n)
    to_Q = np.zeros((p, len(kept)))
    to_Q[kept] = _inverse(U)
    fit = to_Q @ (to_Q.T @ cross)
    left = max(yy - float(cross @ fit), 0.0)
    N = np.zeros((p + 1, len(kept) + 1))
    N[:p, :-1], N[:p, -1], N[p, -1] = to_Q, -fit, 1.0
    P, coefficients = scaling.P, scaling.coefficients + fit
    ols = (P @ coefficients)[kept]
    if scaling.constant:
        ols[0] += scaling.level
    dropped = np.setdiff1d(np.arange(p), kept)
    basis = Basis(np.zeros((0, len(kept))), (P @ to_Q)[kept], kept, dropped)
    fixed = FixedPart(
        basis, ols, np.array([np.sqrt(left)]), sums.response.spread(sums.n)
    )
    involved = bool(scaling.T[np.ix_(dropped, kept)].any())
    involved = involved or bool(scaling.coefficients[dropped].any())
    better = None
    if involved or min([share, left / yy if yy > 0 else 1.0]) < ROUGH:
        better = _better(scaling, U, kept, dropped, coefficients, sums.n)
    return FixedChange(N, fixed, _constant(sums, kept, U), better)


def _kept(
    scaling: Scaling, G: FloatArray, n: int
) -> tuple[NDArray[np.intp], FloatArray, float]:
    """Columns that do not depend on earlier ones, U of U'U = G there, least share.

    The share is what is left of the square of a column after projection on earlier
    ones; what they leave is held against the centred and scaled column of X.
    """
    p = len(G)
    own = np.linalg.solve(scaling.T, np.eye(p))
    squares = np.einsum("ij,ik,kj->j", own, G, own)
    floor = np.maximum(RANK_TOLERANCE**2 * squares, scaling.floor**2 * n)
    U, least = np.zeros((p, p)), 1.0
    kept: list[int] = []
    for j in range(p):
        k = len(kept)
        row = np.zeros(0)
        if k:
            row = solve_triangular(U[:k, :k].T, G[np.array(kept), j], lower=True)
        left = float(G[j, j] - row @ row)
        if left <= floor[j]:
            continue
        U[:k, k], U[k, k] = row, np.sqrt(left)
        least = min(least, left / float(G[j, j]))
        kept.append(j)
    k = len(kept)
    return np.array(kept, dtype=np.intp), U[:k, :k], least


def _inverse(U: FloatArray) -> FloatArray:
    if len(U) == 0:
        return U
    return np.asarray(solve_triangular(U, np.eye(len(U))))


def _better(
    scaling: Scaling,
    U: FloatArray,
    kept: NDArray[np.intp],
    dropped: NDArray[np.intp],
    coefficients: FloatArray,
    n: int,
) -> Scaling:
    """A scaling whose columns are orthonormal by what is known now."""
    change = np.eye(len(scaling.T))
    change[np.ix_(kept, kept)] = _inverse(U) * np.sqrt(n)
    T = scaling.T @ change
    T[np.ix_(dropped, kept)] = 0.0
    found = np.zeros(len(T))
    found[kept] = U @ coefficients[kept] / np.sqrt(n)
    dependent = np.isin(np.arange(len(T)), dropped)
    return replace(scaling, T=T, dependent=dependent, coefficients=found)


def _constant(sums: Sums, kept: NDArray[np.intp], U: FloatArray) -> bool:
    """Whether the columns span a constant."""
    if len(kept) == 0:
        return False
    if sums.gram is not None:
        U = np.asarray(np.linalg.cholesky(sums.gram[np.ix_(kept, kept)])).T
    inside = solve_triangular(U.T, sums.column_sums[kept], lower=True)
    return bool(sums.n - inside @ inside < CONSTANT * sums.n)


# -- the random part -------------------------------------------------------------------


def _whitening(
    term: RandomTerm, scaling: Scaling, H: FloatArray, n: int
) -> tuple[FloatArray, FloatArray]:
    """M and A of a term: ``Z* = U M = Z A`` with ``Z*'wZ* / n`` the identity.

    Parameters
    ----------
    H : ndarray, shape (q, q)
        U'wU of the scaled columns U.
    """
    P, q = scaling.P, term.q
    if q > 1 and not term.diagonal:
        kept, R, _ = _kept(scaling, H, n)
        if len(kept) == q:
            M = _inverse(R) * np.sqrt(n)
            return M, P @ M
    back = np.linalg.inv(P)  # Z = U P^-1
    size = np.sqrt(np.einsum("ij,ik,kj->j", back, H, back) / n)
    size[size == 0.0] = 1.0
    return back / size, np.diag(1.0 / size)


def likelihood_statistics(
    plan: Plan,
    sums: Sums,
    blocks: Sequence[GroupingBlock],
    terms: Sequence[RandomTerm],
    change: FixedChange,
) -> LikelihoodStatistics:
    """The statistics of the likelihood, in the engine's order of elimination.

    Parameters
    ----------
    plan : Plan
    sums : Sums
    blocks : sequence of GroupingBlock
        Of `terms`.
    terms : sequence of RandomTerm
        In lme4's order.
    change : FixedChange
    """
    Ms, As = [], []
    for block, diagonals in zip(blocks, sums.diagonals, strict=True):
        H = diagonals.sum(axis=0)
        pieces = []
        for k, start in zip(block.terms, block.starts, strict=True):
            part = slice(start, start + terms[k].q)
            scaling = plan.term_scalings[k]
            pieces.append(_whitening(terms[k], scaling, H[part, part], sums.n))
        Ms.append(block_diag(*(M for M, _ in pieces)))
        As.append(block_diag(*(A for _, A in pieces)))
    squares = [
        D if _is_one(M) else M.T @ D @ M
        for D, M in zip(sums.diagonals, Ms, strict=True)
    ]
    products = []
    for block, S, M in zip(blocks, sums.sums, Ms, strict=True):
        S = S @ change.N
        if not _is_one(M):
            levels = S.reshape(block.n_levels, block.q, -1)
            S = np.einsum("ab,lac->lbc", M, levels).reshape(block.size, -1)
        products.append(S)
    pairs = {}
    for j, k in list(sums.pairs):
        both = _changed(sums.pairs.pop((j, k)).sum(), Ms[j], Ms[k])
        pairs[j, k] = both
    order, parents = _elimination_order(blocks, pairs)
    return LikelihoodStatistics(
        terms=tuple(terms),
        blocks=[
            with_codes(blocks[j], codes)
            for j, codes in zip(order, parents, strict=True)
        ],
        As=[As[j] for j in order],
        fixed=change.fixed,
        cross=_assembled(
            sums.n, order, squares, products, pairs, change.N.T @ sums.C @ change.N
        ),
        log_weights=sums.log_weights,
    )


def _is_one(M: FloatArray) -> bool:
    return M.shape == (1, 1) and M[0, 0] == 1.0


def _changed(
    pairs: sparse.csr_array, left: FloatArray, right: FloatArray
) -> sparse.csr_array:
    """(I x left)' pairs (I x right)."""
    if not _is_one(left):
        levels = sparse.eye_array(pairs.shape[0] // len(left))
        pairs = sparse.kron(levels, left.T, "csr") @ pairs
    if not _is_one(right):
        levels = sparse.eye_array(pairs.shape[1] // len(right))
        pairs = pairs @ sparse.kron(levels, right, "csr")
    return sparse.csr_array(pairs)


def _elimination_order(
    blocks: Sequence[GroupingBlock], pairs: dict[tuple[int, int], sparse.csr_array]
) -> tuple[list[int], list[NDArray[np.int64]]]:
    """The largest block first, or the finest factor where all are nested.

    Returns
    -------
    order : list of int
    codes : list of ndarray
        Levels of made-up rows, in that order, by which the blocks nest if all of them
        do: one row a level of the finest factor. None of the rows of the data is left.
    """
    finest = sorted(range(len(blocks)), key=lambda j: -blocks[j].n_levels)
    codes = [np.arange(blocks[finest[0]].n_levels, dtype=np.int64)]
    for fine, coarse in pairwise(finest):
        rows, columns = _cells(blocks, pairs, fine, coarse)
        parent = np.zeros(blocks[fine].n_levels, dtype=np.int64)
        parent[rows] = columns
        if not np.array_equal(parent[rows], columns):
            return list(range(len(blocks))), _not_nested(len(blocks))
        codes.append(parent[codes[-1]])
    return finest, codes


def _not_nested(count: int) -> list[NDArray[np.int64]]:
    """Made-up rows of factors of which no two are nested."""
    return [np.array([0, 0, 1, 1])] + [np.array([0, 1, 0, 1])] * (count - 1)


def _cells(
    blocks: Sequence[GroupingBlock],
    pairs: dict[tuple[int, int], sparse.csr_array],
    fine: int,
    coarse: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Levels of two factors that occur together."""
    swapped = fine > coarse
    found = pairs[min(fine, coarse), max(fine, coarse)].tocoo()
    rows, columns = found.row, found.col
    if swapped:
        rows, columns = columns, rows
    return (
        (rows // blocks[fine].q).astype(np.int64),
        (columns // blocks[coarse].q).astype(np.int64),
    )


def _assembled(
    n: int,
    order: list[int],
    diagonals: list[FloatArray],
    products: list[FloatArray],
    pairs: dict[tuple[int, int], sparse.csr_array],
    C: FloatArray,
) -> CrossProducts:
    lead, *trailing = order
    width = C.shape[1]

    def product(j: int, k: int) -> sparse.csr_array:
        if j == k:
            L = len(diagonals[j])
            index = np.arange(L), np.arange(L + 1)
            return sparse.bsr_array((diagonals[j], *index)).tocsr()
        return pairs[j, k] if j < k else sparse.csr_array(pairs[k, j].T)

    if not trailing:
        A21 = sparse.csr_array((0, len(products[lead])))
        A22, B2 = sparse.csr_array((0, 0)), np.zeros((0, width))
    else:
        A21 = sparse.csr_array(sparse.vstack([product(j, lead) for j in trailing]))
        grid = [[product(j, k) for k in trailing] for j in trailing]
        A22 = sparse.csr_array(sparse.block_array(grid))
        B2 = np.concatenate([products[j] for j in trailing])
        A21.sort_indices()
        A22.sort_indices()
    return CrossProducts(n, diagonals[lead], A21, A22, products[lead], B2, C)
