"""Conditional modes of grouping factors with their intervals, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from ..components import by_factor, covariances
from ..core.terms import FloatArray
from ..formula.frames import suggestion

if TYPE_CHECKING:
    from ..results import LMERResults


@dataclass(frozen=True, eq=False)
class Modes:
    """Conditional modes of the random effects of one grouping factor.

    Attributes
    ----------
    group : str
    levels : ndarray of object, shape (m,)
    columns : tuple of str
        The q columns of all terms of the factor.
    values : ndarray, shape (m, q)
    sd : ndarray, shape (m, q)
        Square roots of the conditional variances.
    covariance : ndarray, shape (q, q)
        The estimated covariance of the random effects, zero between terms.
    """

    group: str
    levels: NDArray[np.object_]
    columns: tuple[str, ...]
    values: FloatArray
    sd: FloatArray
    covariance: FloatArray

    def select(self, names: Sequence[str]) -> Modes:
        """Some of the columns, in the order of `names`; those it has."""
        at = [j for name in names for j, own in enumerate(self.columns) if own == name]
        return replace(
            self,
            columns=tuple(self.columns[j] for j in at),
            values=self.values[:, at],
            sd=self.sd[:, at],
            covariance=self.covariance[np.ix_(at, at)],
        )

    def ends(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of the intervals, each of shape (m, q)."""
        half = z_value(level) * self.sd
        return self.values - half, self.values + half

    def quantiles(self) -> tuple[NDArray[np.intp], FloatArray]:
        """The order of each column's modes, (m, q), and normal quantiles, (m,).

        The i-th smallest of m modes stands at the quantile of (i - 1/2) / m.
        """
        m = len(self.levels)
        order = np.argsort(self.values, axis=0, kind="stable")
        return order, norm.ppf((np.arange(m) + 0.5) / m)


def z_value(level: float) -> float:
    """The normal quantile of a two-sided interval.

    Raises
    ------
    ValueError
        Unless the level is between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level!r}.")
    return float(norm.ppf(0.5 + 0.5 * level))


def unwrapped(results: Any) -> LMERResults:
    """The results themselves, given as they are or in statsmodels' wrapper."""
    found: LMERResults = getattr(results, "_results", results)
    return found


def factor_named(results: LMERResults, group: str) -> str:
    """The model's name of a grouping factor; of ``a:b`` in any order.

    Raises
    ------
    ValueError
        If the model has no such factor.
    """
    known = list(by_factor(results))
    if group in known:
        return group
    parts = sorted(str(group).split(":"))
    for name in known:
        if sorted(name.split(":")) == parts:
            return name
    raise ValueError(
        f"the model has no grouping factor {group!r}; it has {', '.join(known)}."
    )


def conditional_modes(results: Any, group: str | None = None) -> list[Modes]:
    """Conditional modes of one grouping factor, or of all.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        All factors by default, in the model's order.

    Returns
    -------
    list of Modes

    Raises
    ------
    ValueError
        If the model has no such factor.
    """
    results = unwrapped(results)
    members = by_factor(results)
    names = list(members) if group is None else [factor_named(results, group)]
    frames, variances = results.ranef(cond_var=True)
    estimated = covariances(results)
    found = []
    for name in names:
        frame = frames[name]
        diagonals = np.diagonal(variances[name], axis1=1, axis2=2)
        modes = Modes(
            name,
            np.asarray(frame.index, dtype=object),
            tuple(frame.columns),
            frame.to_numpy(dtype=np.float64),
            np.sqrt(np.maximum(diagonals, 0.0)),
            _joined([estimated[k] for k in members[name]]),
        )
        found.append(modes)
    return found


def _joined(blocks: Sequence[FloatArray]) -> FloatArray:
    """A block-diagonal matrix."""
    size = sum(len(block) for block in blocks)
    out, start = np.zeros((size, size)), 0
    for block in blocks:
        stop = start + len(block)
        out[start:stop, start:stop] = block
        start = stop
    return out


def chosen_columns(
    found: list[Modes], columns: str | Sequence[str] | None
) -> list[Modes]:
    """The factors with the columns asked for; without those that have none of them.

    Raises
    ------
    ValueError
        If a column is nowhere among them.
    """
    if columns is None:
        return found
    names = [columns] if isinstance(columns, str) else list(columns)
    known = list(dict.fromkeys(c for modes in found for c in modes.columns))
    for name in names:
        if name not in known:
            hint = suggestion(name, known).replace("the data have", "there are")
            raise ValueError(
                f"columns names {name!r}, which is no random effect of "
                f"{', '.join(modes.group for modes in found)}; {hint}"
            )
    kept = [modes.select(names) for modes in found]
    return [modes for modes in kept if modes.columns]


def ranef_frame(
    results: Any, group: str | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Conditional modes in a long table, as R's ``as.data.frame(ranef(m))``.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        All grouping factors by default.
    level : float
        Of the intervals, mode -+ z times the conditional standard deviation, which
        takes the fixed effects and the variances as known (Bates et al. 2015, eq. 58).

    Returns
    -------
    DataFrame
        Columns grpvar, term, grp (the level), condval, condsd, lower, upper.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.conditional_modes import ranef_frame
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> print(ranef_frame(res).round(2).head(2).to_string())
      grpvar       term grp  condval  condsd  lower  upper
    0  Batch  Intercept   A   -17.61   19.59  -56.0  20.78
    1  Batch  Intercept   B     0.39   19.59  -38.0  38.78
    """
    parts = []
    for modes in conditional_modes(results, group):
        lower, upper = modes.ends(level)
        columns = {
            "condval": modes.values,
            "condsd": modes.sd,
            "lower": lower,
            "upper": upper,
        }
        m = len(modes.levels)
        parts.append(
            pd.DataFrame(
                {
                    "grpvar": modes.group,
                    "term": np.repeat(np.array(modes.columns, dtype=object), m),
                    "grp": np.tile(modes.levels, len(modes.columns)),
                    **{name: v.T.reshape(-1) for name, v in columns.items()},
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


__all__ = ["Modes", "conditional_modes", "ranef_frame"]
