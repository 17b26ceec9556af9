"""Clusters: groups of rows that share no random effect with other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..core.conditioning import orthonormal_basis
from ..core.likelihood import LikelihoodData
from ..core.terms import Factor, IntArray, RandomTerm

if TYPE_CHECKING:
    from ..model import LMER


def connected(codes: Sequence[IntArray]) -> IntArray:
    """Which rows are connected through common levels: a label a row."""
    n, edges, first = len(codes[0]), [], len(codes[0])
    for own in codes:
        edges.append(first + own)
        first += int(own.max()) + 1
    rows = np.tile(np.arange(n), len(edges))
    graph = coo_array((np.ones(len(rows)), (rows, np.concatenate(edges))), (first,) * 2)
    _, labels = connected_components(graph, directed=False)
    return np.unique(labels[:n], return_inverse=True)[1].reshape(-1)


def clusters(terms: Sequence[RandomTerm]) -> tuple[IntArray, int]:
    """Codes and number of levels of the factor in which all the others are nested.

    Raises
    ------
    ValueError
        If there is none, that is if factors are crossed.
    """
    coarsest = min(terms, key=lambda term: term.factor.n_levels)
    for term in terms:
        pairs = np.unique(
            term.factor.codes.astype(np.int64) * coarsest.factor.n_levels
            + coarsest.factor.codes
        )
        if len(pairs) != term.factor.n_levels:
            raise ValueError(
                f"{term.name} is crossed with {coarsest.name}, so that no clusters of "
                "rows are independent of each other, which this bootstrap draws; use "
                "type='parametric', 'residual' or 'cgr'."
            )
    return coarsest.factor.codes, coarsest.factor.n_levels


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """Rows of a resampled data set.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
        Of the model's rows, repeated as drawn.
    copy : ndarray of int, shape (m,)
        Number of the draw: each gives its cluster a level of its own.
    """

    rows: IntArray
    copy: IntArray

    def terms(self, model: LMER) -> tuple[RandomTerm, ...]:
        """The random terms on these rows."""
        out = []
        for term in model.re_terms:
            pair = self.copy.astype(np.int64) * term.factor.n_levels
            used, codes = np.unique(
                pair + term.factor.codes[self.rows], return_inverse=True
            )
            factor = Factor(codes.reshape(-1).astype(np.int32), used.astype(object))
            Z = np.asarray(term.Z)[self.rows]
            out.append(RandomTerm(factor, Z, term.name, term.columns, term.diagonal))
        return tuple(out)

    def data(self, model: LMER) -> LikelihoodData:
        """The model's arrays on these rows.

        Raises
        ------
        ValueError
            If the fixed part has lost a column.
        """
        own = model.require_rows("a bootstrap of cases")
        X = own.X[self.rows]
        basis = orthonormal_basis(X, None)
        if len(basis.dropped):
            names = ", ".join(str(model.exog_names[j]) for j in basis.dropped)
            raise ValueError(
                f"in the rows drawn {names} depends on the other columns of the fixed "
                "part."
            )
        weights = None if own.weights is None else own.weights[self.rows]
        return LikelihoodData(own.y[self.rows], X, self.terms(model), weights, basis)


class Cases:
    """Draws clusters with replacement, and rows within them for a second stage.

    Raises
    ------
    ValueError
        If grouping factors are crossed.
    """

    def __init__(self, model: LMER, two_stage: bool) -> None:
        codes, self.levels = clusters(model.re_terms)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=self.levels)
        self.members = np.split(order, np.cumsum(counts)[:-1])
        self.two_stage = two_stage

    def draw(self, rng: np.random.Generator) -> DrawnRows:
        """One resampled data set."""
        drawn = [self.members[k] for k in rng.integers(self.levels, size=self.levels)]
        if self.two_stage:
            drawn = [own[rng.integers(len(own), size=len(own))] for own in drawn]
        copy = np.repeat(np.arange(self.levels), [len(own) for own in drawn])
        return DrawnRows(np.concatenate(drawn), copy)

    def without(self, cluster: int) -> DrawnRows:
        """The data without one cluster."""
        kept = [own for k, own in enumerate(self.members) if k != cluster]
        copy = np.repeat(np.arange(len(kept)), [len(own) for own in kept])
        return DrawnRows(np.concatenate(kept), copy)
