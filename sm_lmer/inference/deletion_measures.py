"""Measures of influence from the estimates without each unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..components import unique_names
from ..core.deletion import Deleted
from ..core.terms import FloatArray, IntArray, RandomTerm


class Measures:
    """Room for all measures of all units, nan at first."""

    def __init__(self, terms: Sequence[RandomTerm], all_rows: Deleted, G: int) -> None:
        self.beta0 = all_rows.beta[0]
        self.vcov0 = all_rows.sigma2[0] * all_rows.unscaled[0]
        p = len(self.beta0)
        self.terms = tuple(terms)
        self.names = component_names(terms)
        self.base = self._components(all_rows)[0]
        self.beta, self.bse = np.full((2, G, p), np.nan)
        self.varcomp = np.full((G, len(self.base)), np.nan)
        self.cooks, self.mdffits, self.covratio, self.covtrace = np.full((4, G), np.nan)
        self.converged = np.ones(G, dtype=bool)

    def put(self, rows: IntArray, deleted: Deleted) -> None:
        """Fill in the measures of some units (Loy and Hofmann 2014, section 4.1)."""
        p = len(self.beta0)
        self.converged[rows] = deleted.converged
        self.beta[rows] = deleted.beta
        scale = deleted.sigma2[:, None, None]
        vcov = scale * deleted.unscaled
        with np.errstate(invalid="ignore"):
            self.bse[rows] = np.sqrt(np.einsum("gpp->gp", vcov))
        self.varcomp[rows] = self._components(deleted)
        good = np.isfinite(deleted.beta).all(axis=1) & np.isfinite(deleted.sigma2)
        rows, vcov = rows[good], vcov[good]
        if p == 0 or not len(rows):
            return
        root = np.linalg.cholesky(self.vcov0)
        inverse = np.linalg.inv(root)
        d = (deleted.beta[good] - self.beta0) @ inverse.T
        ratio = inverse @ vcov @ inverse.T
        self.cooks[rows] = np.einsum("gp,gp->g", d, d) / p
        solved = np.linalg.solve(ratio, d[:, :, None])[:, :, 0]
        self.mdffits[rows] = np.einsum("gp,gp->g", d, solved) / p
        self.covratio[rows] = np.exp(np.linalg.slogdet(ratio)[1])
        self.covtrace[rows] = abs(np.einsum("gpp->g", ratio) - p)

    def _components(self, deleted: Deleted) -> FloatArray:
        """Variances and covariances, shape (G, number)."""
        pieces = [deleted.sigma2[:, None]]
        for term, relative in zip(self.terms, deleted.relative, strict=True):
            r, c = term.positions()
            pieces.append(deleted.sigma2[:, None] * relative[:, r, c])
        return np.hstack(pieces)


def component_names(terms: Sequence[RandomTerm]) -> list[str]:
    """Names of the residual variance, then of each term's variances, covariances."""
    names = ["sigma2"]
    for group, term in zip(unique_names(tuple(terms)), terms, strict=True):
        for r, c in zip(*term.positions(), strict=True):
            one, two = term.columns[c], term.columns[r]
            what = f"var {one}" if r == c else f"cov {one},{two}"
            names.append(f"{what}|{group}")
    return names
