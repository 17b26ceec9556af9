"""Inner-outer degrees of freedom: each coefficient belongs to a stratum of the design.

The rule is that of R's nlme (Pinheiro and Bates 2000, section 2.4.2), which knows
nested grouping factors. A column of X is *outer* to a factor if it is constant within
its levels, and is estimated in the stratum of the coarsest factor that it is outer
to, or in the residual stratum. A stratum has as many degrees of freedom as its factor
has levels, less those of all coarser strata and of the mean, and less one for each
coefficient estimated in it.

That definition needs no nesting, so it serves crossed factors as well. With 24 plates
crossed with 6 samples and 144 rows, the mean takes 1, plates 23 and samples 5, which
leaves 115 for the residual: a covariate of plates has 22, one of samples 4, one that
varies within both 114, and all others one less for each further coefficient of the
same kind. In such designs a column may be outer to several factors of which none is
coarser: it then counts in the stratum of each, and has the smallest of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.terms import FloatArray, IntArray
from .ddf import Inference, model_vcov

if TYPE_CHECKING:
    from ..results import LMERResults

CONSTANT = float(np.sqrt(np.finfo(float).eps))
"""Relative range of a column up to which nlme takes it for an intercept."""

ROUNDING = 1e-12
"""Range within a level, relative to a column's, up to which a column is outer."""

INVOLVED = 1e-10
"""Entry of a contrast, relative to the largest in units of se, that counts as none."""


@dataclass(frozen=True, eq=False)
class InnerOuter(Inference):
    """Inner-outer (containment) degrees of freedom.

    A contrast of several coefficients, in one row or in several, has the smallest
    number of those involved. nlme gives a term the number of the finest stratum of
    its columns, which is the same where they are all in one, and refuses other
    contrasts of coefficients with different numbers.

    Attributes
    ----------
    df : ndarray, shape (p,)
        Of each coefficient.
    """

    df: FloatArray
    method: str = field(default="inner-outer", init=False)

    def each(self, L: FloatArray) -> FloatArray:
        """The smallest number of the coefficients of each row."""
        size = np.abs(L) * np.sqrt(self.vcov.diagonal())
        involved = size > INVOLVED * size.max(axis=1, keepdims=True, initial=0.0)
        df = np.where(involved, self.df, np.inf).min(axis=1, initial=np.inf)
        return np.where(involved.any(axis=1), df, np.nan)

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """The smallest number of the coefficients of all rows."""
        return float(self.each(L).min()), 1.0


@dataclass(frozen=True, eq=False)
class _Partition:
    """The rows by the levels of a grouping factor.

    Attributes
    ----------
    name : str
    codes : ndarray of int, shape (n,)
    n_levels : int
    """

    name: str
    codes: IntArray
    n_levels: int

    def within(self, other: _Partition) -> bool:
        """Whether each level lies in one level of another factor."""
        if self.n_levels < other.n_levels:
            return False
        cells = self.codes.astype(np.int64) * other.n_levels + other.codes
        return len(np.unique(cells)) == self.n_levels

    def constant(self, X: FloatArray, tolerance: FloatArray) -> NDArray[np.bool_]:
        """Which columns of X are constant within the levels, shape (p,)."""
        order = np.argsort(self.codes, kind="stable")
        starts = np.flatnonzero(np.diff(self.codes[order], prepend=-1))
        ordered = X[order]
        ranges = np.maximum.reduceat(ordered, starts)
        ranges -= np.minimum.reduceat(ordered, starts)
        return np.asarray((ranges <= tolerance).all(axis=0))


def inner_outer(results: LMERResults) -> InnerOuter:
    """Inner-outer degrees of freedom of a fit, nlme's ``fixDF$X`` for nested factors.

    An intercept has, as in nlme, the largest number of all strata. Numbers below 1
    become 1, with a note.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    InnerOuter

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_oats()
    >>> res = sml.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", data).fit()
    >>> found = res.inference("inner-outer")
    >>> for name, df in zip(res.model.exog_names, found.df):
    ...     print(name, df)
    Intercept 53.0
    Variety[T.Marvellous] 10.0
    Variety[T.Victory] 10.0
    nitro 53.0
    """
    model = results.model
    vcov = model_vcov(results)
    factors = [(term.name, term.factor) for term in model.re_terms]
    partitions = _distinct(
        [_Partition(name, f.codes, f.n_levels) for name, f in factors]
    )
    df = degrees_of_freedom(np.asarray(model.exog, dtype=np.float64), partitions)
    names = [
        str(name) for name, low in zip(model.exog_names, df < 1, strict=True) if low
    ]
    notes: tuple[str, ...] = ()
    if names:
        notes = (
            "inner-outer: the design leaves no degrees of freedom for "
            f"{', '.join(names)}; 1 is used.",
        )
    return InnerOuter(vcov, np.maximum(df, 1.0), notes=notes)


def degrees_of_freedom(X: FloatArray, partitions: Sequence[_Partition]) -> FloatArray:
    """Degrees of freedom of each column of X, shape (p,)."""
    n, p = X.shape
    if p == 0:
        return np.zeros(0)
    coarser = np.array(
        [[a is not b and a.within(b) for b in partitions] for a in partitions]
    )
    extent = np.ptp(X, axis=0)
    intercept = extent <= CONSTANT * np.abs(X[0])
    strata = _strata(X, partitions, coarser, ROUNDING * extent)
    strata[intercept] = False
    left = _rows_of_strata(n, partitions, coarser) - strata.sum(axis=0)
    if not intercept.any():
        left += 1.0
    elif intercept.all():
        left[:-1][~coarser.any(axis=1)] += 1.0
    df = np.where(strata, left, np.inf).min(axis=1)
    df[intercept] = left.max()
    return df


def _distinct(partitions: Sequence[_Partition]) -> list[_Partition]:
    """Factors that divide the rows in different ways."""
    kept: list[_Partition] = []
    for one in partitions:
        if not any(one.n_levels == k.n_levels and one.within(k) for k in kept):
            kept.append(one)
    return kept


def _strata(
    X: FloatArray,
    partitions: Sequence[_Partition],
    coarser: NDArray[np.bool_],
    tolerance: FloatArray,
) -> NDArray[np.bool_]:
    """The strata of each column of X, the residual one last; shape (p, strata).

    Entry (a, b) of `coarser` says whether factor a is nested in factor b.
    """
    outer = np.array([part.constant(X, tolerance) for part in partitions]).T
    coarsest = outer & ~(outer @ coarser.T)
    return np.column_stack([coarsest, ~outer.any(axis=1)])


def _rows_of_strata(
    n: int, partitions: Sequence[_Partition], coarser: NDArray[np.bool_]
) -> FloatArray:
    """Degrees of freedom of the strata beyond the mean, the residual one last."""
    levels = np.array([part.n_levels for part in partitions])
    own = np.zeros(len(levels) + 1)
    for a in np.argsort(levels, kind="stable"):
        own[a] = levels[a] - 1 - own[:-1][coarser[a]].sum()
    own[-1] = n - 1 - own.sum()
    return own
