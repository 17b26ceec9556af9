"""Estimated marginal means and slopes, as R's emmeans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..formula.grammar import variables
from .marginal_means import EMMeans, Estimates, split_names
from .reference_grid import ReferenceGrid, combinations, design_of, reference_grid

if TYPE_CHECKING:
    from ..results import LMERResults

OVERALL = "1"
"""What stands for no variable at all."""


def emmeans(
    results: LMERResults,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: str | None = None,
    weights: str = "equal",
    cov_keep: int = 2,
    alpha: float = 0.05,
) -> EMMeans:
    """Estimated marginal means of the fixed part, as R's emmeans 1.8.4.

    The model's mean is evaluated on a reference grid: all levels of every factor,
    numeric variables at their mean over the rows used (the variable's mean, also where
    the formula transforms it; at its two values if it has only two), offsets of the
    formula evaluated there and an offset given as an array at its mean. It is then
    averaged over the variables that are not asked for.

    Parameters
    ----------
    results : LMERResults
        Of a model built from a formula.
    specs : str or sequence of str
        Variables whose combinations get a mean: ``"a"``, ``["a", "b"]``, ``"a * b"``,
        ``"a | b"`` (b as `by`), or ``"1"`` for the overall mean.
    by : str or sequence of str, optional
        Variables among them, or further ones, whose levels are kept apart in
        contrasts and in adjustments for multiplicity.
    at : mapping, optional
        Levels of some variables of the grid, as ``{"temp": [180, 200]}``.
    ddf : str, optional
        Method for the degrees of freedom, see
        :meth:`~sm_lmer.results.LMERResults.inference`.
    weights : {"equal", "proportional", "outer", "cells", "flat"}
        How the cells averaged over are weighted: alike; by the frequency of their
        combination in the data; by the product of the marginal frequencies; by the
        frequency in each cell of the means; or alike where there are data.
    cov_keep : int
        Numeric variables with at most so many values keep them.
    alpha : float
        One less the level of intervals.

    Returns
    -------
    EMMeans

    Raises
    ------
    ValueError
        For a variable that is not in the fixed part, or a level the model has not
        seen.

    Notes
    -----
    A mean is not estimable, nan, if cells without data enter it that the model cannot
    fill: if its row lies outside the row space of the whole design. Nested factors
    are not detected as such; average over them with ``weights="cells"``.

    References
    ----------
    Searle, Speed and Milliken (1980), Population marginal means in the linear model,
    The American Statistician 34, 216-221.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> res.emmeans("recipe", at={"temp": 200})
    recipe emmean   SE    df lower upper
         A  33.12 1.74 42.00 29.62 36.63
         B  31.64 1.74 42.00 28.14 35.15
         C  31.60 1.74 42.00 28.09 35.11
    <BLANKLINE>
    Results may be misleading due to involvement in interactions
    Degrees-of-freedom method: satterthwaite
    Confidence level used: 0.95
    """
    names, split = _specs(specs, by)
    grid = reference_grid(results.model, at, cov_keep)
    return _marginal(results, grid, names, split, ddf, weights, alpha, "emmean")


def emtrends(
    results: LMERResults,
    specs: str | Sequence[str],
    var: str,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: str | None = None,
    weights: str = "equal",
    cov_keep: int = 2,
    delta_var: float | None = None,
    alpha: float = 0.05,
) -> EMMeans:
    """Estimated slopes of a numeric variable, averaged as :func:`emmeans`.

    Parameters
    ----------
    results, specs, by, at, ddf, weights, cov_keep, alpha
        As for :func:`emmeans`.
    var : str
        The variable; slopes are taken at its mean, or at its values in `at`.
    delta_var : float, optional
        Step of a difference quotient. By default the slope is the derivative itself;
        emmeans takes .001 of the variable's range, which differs for curves.

    Returns
    -------
    EMMeans
        With estimates in the column ``<var>.trend``.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> trends = res.emtrends("recipe", "temp")
    >>> print(trends.to_frame().round(4).to_string(index=False))
    recipe  temp.trend     SE    df  lower  upper
         A      0.1537 0.0282 222.0 0.0981 0.2093
         B      0.1646 0.0282 222.0 0.1090 0.2202
         C      0.1558 0.0282 222.0 0.1002 0.2114
    """
    names, split = _specs(specs, by)
    grid = reference_grid(results.model, at, cov_keep, var, delta_var)
    name = f"{var}.trend"
    return _marginal(results, grid, names, split, ddf, weights, alpha, name)


def _marginal(
    results: LMERResults,
    grid: ReferenceGrid,
    names: tuple[str, ...],
    split: tuple[str, ...],
    ddf: str | None,
    weights: str,
    alpha: float,
    estimate: str,
) -> EMMeans:
    rows, offset = grid.averaged(names, weights)
    labels = combinations({name: grid.levels[name] for name in names[::-1]})
    labels = labels[list(names)] if names else pd.DataFrame({OVERALL: ["overall"]})
    return EMMeans(
        grid=labels,
        rows=rows,
        offset=offset,
        fit=Estimates(np.asarray(results.params), results.inference(ddf), grid.space),
        by=split,
        name=estimate,
        n_means=len(labels),
        notes=_notes(results, grid, names, weights, estimate),
        alpha=alpha,
    )


def _notes(
    results: LMERResults,
    grid: ReferenceGrid,
    names: tuple[str, ...],
    weights: str,
    estimate: str,
) -> tuple[str, ...]:
    notes = []
    trend = (estimate.removesuffix(".trend"),) if estimate != "emmean" else ()
    if grid.in_larger_term([*names, *trend]):
        notes.append("Results may be misleading due to involvement in interactions")
    averaged = grid.averaged_over(names)
    if averaged:
        how = "" if weights == "equal" else f" ({weights} weights)"
        over = ", ".join(averaged)
        notes.append(f"Results are averaged over the levels of: {over}{how}")
    response = design_of(results.model).parsed.response.strip()
    if variables(response) != (response,):
        notes.append(f"Results are given on the scale of {response}")
    return tuple(notes)


def _specs(
    specs: str | Sequence[str], by: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All variables asked for, and those among them that split families."""
    split = () if by is None else split_names(by)
    if isinstance(specs, str):
        left, bar, right = specs.strip().rpartition("~")
        if left.strip():
            raise ValueError(
                f"specs {specs!r} asks for contrasts of means; write "
                f'.emmeans("{right.strip()}").contrast("{left.strip()}").'
            )
        specs, bar, given = right.partition("|")
        split = (*split_names(given), *split) if bar else split
    names = split_names(specs)
    if not names:
        raise ValueError(
            "specs names no variable; name one of the fixed part, or '1' for the "
            "overall mean."
        )
    names = tuple(name for name in names if name != OVERALL)
    if names and set(names) <= set(split):
        raise ValueError(
            f"by names all variables of specs ({', '.join(names)}); leave one out."
        )
    return tuple(dict.fromkeys([*names, *split])), tuple(dict.fromkeys(split))


__all__ = ["EMMeans", "emmeans", "emtrends"]
