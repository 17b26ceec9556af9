"""Effects: the model's mean over a grid of some variables, the others typical.

As R's package effects (Fox 2003; Fox and Weisberg 2019, section 4.3) computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.terms import FloatArray
from .ddf import Inference
from .effect_grid import (
    FIXED,
    all_variables,
    design_of,
    fixed_variables,
    focal_variables,
    grid_of,
    held_value,
    mean_offset,
    nearest,
    require_known,
    term_variables,
    wanted_values,
)
from .effect_groups import group_fits
from .effect_rows import Typical, is_factor, typical_values
from .hypotheses import t_quantile
from .nesting import unwrapped
from .reference_grid import RowSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..formula.design import Design
    from ..results import LMERResults

NUMBERS = ("fit", "se", "df", "lower", "upper")
"""Columns of a frame of effects beside the variables."""

RESIDUALS = ("conditional", "marginal")
"""Kinds of partial residuals."""


@dataclass(frozen=True, eq=False, repr=False)
class Effects:
    """The model's mean over a grid of variables, with standard errors and intervals.

    Made by :func:`effects`. Print it for a table with notes; take :attr:`frame` for
    the numbers, :meth:`at` for other values of the variables.

    Attributes
    ----------
    results : LMERResults
    variables : tuple of str
        Those in focus.
    grid : DataFrame
        Their values; the first variable varies fastest.
    typical : Typical
        Where the other variables stand.
    offset : float
        What is added to every mean.
    inference : Inference
    space : RowSpace
    alpha : float
        One less the level of the intervals.
    transform : callable or None
        What fits and ends of intervals went through.
    """

    results: LMERResults
    variables: tuple[str, ...]
    grid: pd.DataFrame
    typical: Typical
    offset: float
    inference: Inference
    space: RowSpace
    alpha: float = 0.05
    transform: Callable[[Any], Any] | None = None

    @property
    def design(self) -> Design:
        """How the model came about."""
        return self.typical.design

    @property
    def response(self) -> str:
        """What the effects are effects on, as the formula writes it."""
        return self.design.parsed.response.strip()

    # -- numbers -----------------------------------------------------------------

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The variables, fit, se, df, lower and upper, a row a point of the grid."""
        return self.at(self.grid)

    @cached_property
    def rows(self) -> FloatArray:
        """Rows of the fixed part at the grid, shape (m, p); nan if not estimable."""
        return self._rows(self.grid)

    @cached_property
    def vcov(self) -> FloatArray:
        """Covariance of the means at the grid, before `transform`, shape (m, m)."""
        vcov: FloatArray = self.rows @ self.inference.vcov @ self.rows.T
        return vcov

    def at(self, values: pd.DataFrame) -> pd.DataFrame:
        """The same numbers at other values of the variables.

        Parameters
        ----------
        values : DataFrame
            With a column for each of :attr:`variables`.

        Returns
        -------
        DataFrame
            As :attr:`frame`. Means that the data do not determine are nan.
        """
        L = self._rows(values)
        known = np.isfinite(L).all(axis=1)
        V = self.inference.vcov
        se = np.sqrt(np.einsum("mp,pq,mq->m", L, V, L))
        df = np.full(len(L), np.nan)
        if known.any():
            df[known] = self.inference.each(L[known])
        fit = L @ np.asarray(self.results.params) + self.offset
        half = t_quantile(1.0 - self.alpha / 2.0, df) * se
        ends = self._transformed(np.array([fit - half, fit + half]))
        columns = (self._transformed(fit), se, df, ends.min(axis=0), ends.max(axis=0))
        out = values[list(self.variables)].reset_index(drop=True)
        return out.assign(**dict(zip(NUMBERS, columns, strict=True)))

    def _rows(self, values: pd.DataFrame) -> FloatArray:
        own = values[list(self.variables)]
        rows = self.typical.rows(self.design.specification, own, FIXED)
        L = rows[:, self.space.kept].copy()
        L[~self.space.estimable(rows)] = np.nan
        return L

    def _transformed(self, fit: FloatArray) -> FloatArray:
        if self.transform is None:
            return fit
        return np.asarray(self.transform(fit), dtype=np.float64)

    # -- beside the data -----------------------------------------------------------

    def partial_residuals(
        self,
        kind: str = "conditional",
        x: str | None = None,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> pd.DataFrame:
        """The effect at each observation, plus its residual.

        Parameters
        ----------
        kind : {"conditional", "marginal"}
            The residual from the conditional mean, which holds the random effects; or
            from the fixed part alone. R's effects adds residuals of the fixed part
            fitted by least squares.
        x : str, optional
            The variable whose own values are taken, by default the first numeric one;
            other numeric variables are moved to the nearest value of the grid.
        rows : array_like of int, optional
            Positions of the observations; all by default.

        Returns
        -------
        DataFrame
            The variables, ``fit``, ``resid`` and ``partial``, their sum, a row an
            observation.
        """
        if kind not in RESIDUALS:
            raise ValueError(
                f"unknown kind {kind!r} of partial residuals; choose 'conditional' or "
                "'marginal'."
            )
        if self.transform is not None:
            raise ValueError(
                "partial residuals are on the model's scale: no transform."
            )
        chosen = slice(None) if rows is None else np.asarray(rows)
        resid = self._residuals(kind)[chosen]
        values = self.observed(x, rows)
        rows_ = self._rows(values)
        fit = rows_ @ np.asarray(self.results.params) + self.offset
        return values.assign(fit=fit, resid=resid, partial=fit + resid)

    def observed(
        self, x: str | None = None, rows: Sequence[int] | np.ndarray | None = None
    ) -> pd.DataFrame:
        """The variables at the observations, numeric ones but `x` as in the grid."""
        chosen = slice(None) if rows is None else np.asarray(rows)
        names = list(self.variables)
        columns = {name: self.design.frame[name].iloc[chosen] for name in names}
        values = pd.DataFrame(columns).reset_index(drop=True)
        numeric = [name for name in names if not is_factor(self.design, name)]
        x = x or next(iter(numeric), None)
        moved = {
            name: nearest(values[name].to_numpy(np.float64), self.grid[name])
            for name in numeric
            if name != x
        }
        return values.assign(**moved)

    def _residuals(self, kind: str) -> FloatArray:
        self.results.model.require_rows("a partial residual")
        if kind == "conditional":
            return np.asarray(self.results.resid)
        model = self.results.model
        marginal: FloatArray = model.endog - model.predict(self.results.params)
        return marginal

    def by_group(
        self, group: str | None = None, levels: Sequence[Any] | None = None
    ) -> pd.DataFrame:
        """The means of single groups: conditional modes are added to the effect.

        Parameters
        ----------
        group : str, optional
            A grouping factor; may be left out if there is but one. The modes of
            factors that it is nested in are added too.
        levels : sequence, optional
            Some of its levels; all by default.

        Returns
        -------
        DataFrame
            The group, the variables and ``fit``. A group is predicted where it has
            data: over its own range of the first numeric variable, at those
            combinations of the factors that it has.
        """
        self.results.model.require_rows("a prediction of groups")
        found = group_fits(self, group, levels)
        return found.assign(fit=self._transformed(found["fit"].to_numpy()))

    # -- presentation ---------------------------------------------------------------

    def plot(self, **options: Any) -> Figure:
        """Draw these numbers; see :func:`sm_lmer.graphics.effects.draw_effects`."""
        from ..graphics.effects import draw_effects

        return draw_effects(self, **options)

    def __repr__(self) -> str:
        table = _printed(self.frame)
        title = f"Effect of {':'.join(self.variables)} on {self.response}"
        return "\n".join([title, "", table, "", *self.notes])

    @property
    def notes(self) -> list[str]:
        """What a reader must know besides the numbers."""
        notes = []
        names = [n for n in fixed_variables(self.design) if n not in self.variables]
        averaged = [n for n in names if n in self.typical.shares]
        if averaged:
            equal = all(
                np.ptp(self.typical.shares[name].weights) == 0.0 for name in averaged
            )
            how = "equal weights" if equal else "in proportion to their frequencies"
            notes.append(f"Averaged over: {', '.join(averaged)} ({how})")
        held = [n for n in names if n in self.typical.values]
        if held:
            values = (f"{n} = {_text(self.typical.values[n])}" for n in held)
            notes.append(f"Held at: {', '.join(values)}")
        if self.offset:
            notes.append(f"Offset: {self.offset:.6g}")
        if self.transform is not None:
            notes.append(f"se is on the scale of {self.response}")
        method = self.inference.method
        notes.append(f"Intervals: {100 * (1 - self.alpha):g}%, ddf {method}")
        return notes


# -- making them ----------------------------------------------------------------


def effects(
    results: Any,
    term: str | Sequence[str],
    *,
    at: Mapping[str, Any] | None = None,
    xlevels: int | Mapping[str, Any] = 5,
    alpha: float = 0.05,
    ddf: str | None = None,
    average: str = "proportional",
    typical: Callable[[FloatArray], Any] = np.mean,
    offset: float | None = None,
    transform: Callable[[Any], Any] | None = None,
) -> Effects:
    """The model's mean over a grid of a term's variables, as R's effects 4.2.

    Other numeric variables stand at their mean, factors are averaged over in proportion
    to their frequencies; transformations, polynomials, splines and interactions are
    evaluated there by the model's own formula. Random effects are zero.

    Parameters
    ----------
    results : LMERResults
        Of a model built from a formula.
    term : str or sequence of str
        The variables: ``"a"``, ``"a:b"``, ``"a * b"``, ``["a", "b"]`` or a term such as
        ``"np.log(x):a"``. They need not make a term of the model.
    at : mapping, optional
        Values of the variables in focus, ``{"temp": [180, 200]}``; or one value of
        another variable, at which it is held instead.
    xlevels : int or mapping
        How many points there are of each numeric variable in focus, over its range and
        rounded as effects does; or numbers of points or values by variable.
    alpha : float
        One less the level of the intervals.
    ddf : str, optional
        Method for the degrees of freedom and covariance, see
        :meth:`~sm_lmer.results.LMERResults.inference`; effects has "residual".
    average : {"proportional", "equal"}
        Weights of the levels of a factor that is averaged over.
    typical : callable
        What makes one value of a numeric variable's values, the mean by default.
    offset : float, optional
        What to add to the means; by default the mean of the model's offsets.
    transform : callable, optional
        Applied to means and ends of intervals, as ``np.exp`` for a logarithm.

    Returns
    -------
    Effects

    Raises
    ------
    ValueError
        For a variable that is not in the fixed part, a level the model has not seen, or
        values at which the formula cannot be evaluated.

    Notes
    -----
    Factors are averaged over independently of each other: each combination of levels
    weighs the product of their frequencies. emmeans averages cells equally by default,
    see :func:`sm_lmer.inference.emmeans.emmeans`.

    References
    ----------
    Fox (2003), Effect displays in R for generalised linear models, Journal of
    Statistical Software 8(15). Fox and Weisberg (2019), An R Companion to Applied
    Regression, third edition, Sage.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.effects import effects
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> effects(res, "temp", xlevels={"temp": [180, 200]}, ddf="residual")
    Effect of temp on angle
    <BLANKLINE>
     temp    fit    se    df  lower  upper
      180 28.962 1.054 264.0 26.886 31.038
      200 32.122 1.003 264.0 30.148 34.097
    <BLANKLINE>
    Averaged over: recipe (equal weights)
    Intervals: 95%, ddf residual
    """
    results = unwrapped(results)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha!r}.")
    design = design_of(results)
    known = fixed_variables(design)
    focal = focal_variables(results, term)
    for name in set(focal) & set(NUMBERS):
        raise ValueError(
            f"the variable {name!r} has the name of a column of the effects; rename it "
            "in the data."
        )
    given = dict(at or {})
    for name in given:
        require_known(name, known, "at names")
    others = {n: v for n, v in given.items() if n not in focal}
    around = typical_values(
        design,
        [name for name in all_variables(design) if name not in focal],
        average,
        typical,
        {name: held_value(design, name, value) for name, value in others.items()},
    )
    return Effects(
        results=results,
        variables=focal,
        grid=grid_of(around, wanted_values(focal, given, xlevels)),
        typical=around,
        offset=mean_offset(results) if offset is None else float(offset),
        inference=results.inference(ddf),
        space=RowSpace.of(results.model),
        alpha=alpha,
        transform=transform,
    )


def all_effects(results: Any, **options: Any) -> dict[str, Effects]:
    """Effects of every term that no other term contains, as effects' ``allEffects``.

    Parameters
    ----------
    results : LMERResults
    **options
        Of :func:`effects`.

    Returns
    -------
    dict of Effects
        By the variables' names, as ``"recipe:temp"``.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.effects import all_effects
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> list(all_effects(res))
    ['recipe:temp']
    """
    sets = term_variables(design_of(unwrapped(results)))
    highest = [own for own in sets if not any(set(own) < set(s) for s in sets)]
    unique = {frozenset(own): own for own in reversed(highest)}
    names = [own for own in highest if own is unique[frozenset(own)]]
    return {":".join(own): effects(results, own, **options) for own in names}


def predictor_effects(results: Any, predictor: str, **options: Any) -> Effects:
    """Effects of a variable and all that it interacts with, as ``predictorEffect``.

    Parameters
    ----------
    results : LMERResults
    predictor : str
    **options
        Of :func:`effects`.
    """
    design = design_of(unwrapped(results))
    known = fixed_variables(design)
    require_known(predictor, known, "predictor is")
    beside = {n for own in term_variables(design) if predictor in own for n in own}
    others = [name for name in known if name in beside and name != predictor]
    return effects(results, [predictor, *others], **options)


# -- words ----------------------------------------------------------------------


def _printed(frame: pd.DataFrame) -> str:
    """The table, to the fourth digit of the smallest standard error."""
    se = frame["se"][frame["se"] > 0.0]
    least = int(np.floor(np.log10(se.min()))) if len(se) else 0
    form = f"{{:.{min(max(3 - least, 0), 12)}f}}".format
    own = {name: form for name in NUMBERS if name != "df"}
    return frame.to_string(
        index=False,
        formatters={**own, "df": "{:.1f}".format},
        float_format=lambda value: f"{value:.6g}",
    )


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


__all__ = ["Effects", "all_effects", "effects", "predictor_effects"]
