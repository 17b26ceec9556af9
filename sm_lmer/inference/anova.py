"""Tests of the terms of a fixed part, and of contrasts by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..compat import statsmodels as compat
from ..core.terms import FloatArray
from .contrasts import contrast_type, term_contrasts
from .ddf import Inference
from .hypotheses import each_row, independent_rows, jointly, t_quantile
from .printed import TableOfTests

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

COLUMNS = ["sum_sq", "mean_sq", "df", "df_denom", "F", "PR(>F)"]

REFERENCES = {
    "satterthwaite": "with Satterthwaite's degrees of freedom",
    "kenward-roger": "with Kenward-Roger's degrees of freedom",
    "residual": "with residual degrees of freedom",
    "inner-outer": "with inner-outer degrees of freedom",
    "normal": "by the chi-square distribution",
}

ESTIMABLE = 1e-8
"""Share of a column or contrast below which a difference is rounding error."""


def anova(
    results: LMERResults, typ: int | str = 3, ddf: str | None = None
) -> pd.DataFrame:
    """F tests of the terms of the fixed part.

    See :meth:`sm_lmer.results.LMERResults.anova` for the parameters; the contrasts are
    those of :func:`sm_lmer.inference.contrasts.term_contrasts`.

    Returns
    -------
    DataFrame
        A row a term. ``mean_sq`` is sigma^2 times the Wald statistic over its degrees
        of freedom, as in lmerTest: F times sigma^2, but for Kenward-Roger's scaling
        of F. A term of which nothing is estimable has df 0. ``attrs`` has the
        "heading" and the "notes" of the method.

    Raises
    ------
    ValueError
        If there is no such type or method.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_oats()
    >>> res = sml.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", data).fit()
    >>> print(anova(res, 3).round(4).to_string())
                 sum_sq     mean_sq  df  df_denom         F  PR(>F)
    nitro    19536.4000  19536.4000   1      53.0  118.0030  0.0000
    Variety    491.8214    245.9107   2      10.0    1.4853  0.2724
    """
    inference = results.inference(ddf)
    contrasts = term_contrasts(results, typ)
    zero = np.zeros(len(inference.vcov))
    rows = [
        _joint_row(results, L, zero[: len(L)], inference) for L in contrasts.values()
    ]
    roman = "I" * contrast_type(typ)
    heading = f"Type {roman} tests {REFERENCES[inference.method]}"
    return _table(rows, list(contrasts), heading, inference)


def _joint_row(
    results: LMERResults, L: FloatArray, rhs: FloatArray, inference: Inference
) -> tuple[float, ...]:
    beta = np.asarray(results.params)
    test = jointly(beta, L, inference, rhs)
    if test.df_num == 0:
        return np.nan, np.nan, 0, np.nan, np.nan, np.nan
    rows, _ = independent_rows(L, inference.vcov)
    _, scale = inference.joint(rows)
    mean_sq = test.statistic / scale * results.scale
    return (
        mean_sq * test.df_num,
        mean_sq,
        test.df_num,
        test.df_denom,
        test.statistic,
        test.pvalue,
    )


def _table(
    rows: Sequence[tuple[float, ...]],
    names: Sequence[str],
    heading: str,
    inference: Inference,
) -> pd.DataFrame:
    frame = pd.DataFrame(rows, index=pd.Index(names, dtype=object), columns=COLUMNS)
    frame = frame.astype({c: np.int64 if c == "df" else np.float64 for c in COLUMNS})
    frame.attrs["heading"] = heading
    frame.attrs["notes"] = inference.notes
    return TableOfTests.of(frame)


def contest(
    results: LMERResults,
    L: Any,
    rhs: ArrayLike | float = 0.0,
    joint: bool = True,
    ddf: str | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Test contrasts of the fixed effects, as lmerTest's ``contest``.

    See :meth:`sm_lmer.results.LMERResults.contest` for the parameters. Where columns
    were left out of the model as aliased, the contrast may involve them: as the text
    of a hypothesis, or as an array with a column for each of them too, in the order of
    the formula.

    Raises
    ------
    ValueError
        If a contrast that involves aliased columns is not estimable, or the
        right-hand sides do not fit the rows.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe + temp + (1|recipe:replicate)", data).fit()
    >>> table = contest(res, "recipe[T.B] = recipe[T.C], temp = 0.1", joint=False)
    >>> print(table[["Estimate", "df", "t value"]].round(4).to_string())
       Estimate     df  t value
    0    0.0444   42.0   0.0181
    1    0.1580  224.0   3.5787
    """
    rows, own = _parsed(results, L)
    given = np.asarray(rhs, dtype=np.float64)
    if given.ndim and given.shape != (len(rows),):
        raise ValueError(f"rhs has shape {given.shape}, but L has {len(rows)} rows.")
    constants = own + given
    inference = results.inference(ddf)
    if joint:
        row = _joint_row(results, rows, constants, inference)
        heading = f"F test of {len(rows)} contrasts {REFERENCES[inference.method]}"
        frame = _table([row], [""], heading, inference)
        return TableOfTests.of(frame.set_index(pd.RangeIndex(1)))
    tests = each_row(np.asarray(results.params), rows, inference, constants)
    half = t_quantile(1.0 - alpha / 2.0, tests.df) * tests.se
    frame = pd.DataFrame(
        {
            "Estimate": tests.estimate,
            "Std. Error": tests.se,
            "df": tests.df,
            "t value": tests.statistic,
            "lower": tests.estimate - half,
            "upper": tests.estimate + half,
            "Pr(>|t|)": tests.pvalue,
        },
        index=L.index if isinstance(L, pd.DataFrame) else None,
    )
    frame.attrs["notes"] = inference.notes
    return TableOfTests.of(frame)


def _parsed(results: LMERResults, L: Any) -> tuple[FloatArray, FloatArray]:
    """Rows on the fitted coefficients, and right-hand sides, of a contrast."""
    model = results.model
    dropped = [str(name) for name in model.dropped_columns]
    if not dropped or model._design is None:
        return results._contrast(L)
    if isinstance(L, str):
        involved = any(name in L for name in dropped)
    else:
        involved = np.shape(L)[-1:] == (len(results.params) + len(dropped),)
    if not involved:
        return results._contrast(L)
    names, aliases = _aliases(model, dropped)
    full, rhs = compat.linear_constraints(L, names)
    kept = np.array([name not in dropped for name in names])
    order = np.argsort([model.exog_names.index(n) for n in names if n not in dropped])
    rows = full[:, kept][:, order]
    gap = np.abs(full[:, ~kept] - rows @ aliases)
    size = np.abs(full[:, ~kept]) + np.abs(rows) @ np.abs(aliases)
    bad = np.argwhere(gap > ESTIMABLE * size)
    if len(bad):
        row, column = bad[0]
        name = [n for n in names if n in dropped][column]
        raise ValueError(
            f"row {row} of the contrast is not estimable: column {name!r} depends on "
            "earlier ones; give it the weight that they imply, or use the fitted "
            "coefficients only."
        )
    return rows, rhs


def _aliases(model: LMER, dropped: list[str]) -> tuple[list[str], FloatArray]:
    """Names of all columns, and the dropped ones as combinations of those kept."""
    design = model._design
    assert design is not None
    whole = compat.apply_specification(
        design.specification, design.frame, design.namespace
    )
    known = {*model.exog_names, *dropped}
    names = [str(name) for name in whole.columns if name in known]
    lost = whole[[name for name in names if name in dropped]].to_numpy(dtype=np.float64)
    basis = model._basis
    aliases: FloatArray = basis.C @ (basis.Q.T @ lost)
    share = np.linalg.norm(model.exog, axis=0)[:, None] * np.abs(aliases)
    rounding = share < ESTIMABLE * np.linalg.norm(lost, axis=0)
    return names, np.where(rounding, 0.0, aliases)


def show_tests(results: LMERResults, typ: int | str = 3) -> dict[str, pd.DataFrame]:
    """The hypothesis of each row of :func:`anova`: contrasts by coefficients.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_machines()
    >>> res = sml.lmer("score ~ Machine + (1 | Worker)", data).fit()
    >>> print(show_tests(res, 2)["Machine"].to_string())
                  Intercept  Machine[T.B]  Machine[T.C]
    Machine[T.B]        0.0           1.0          -0.5
    Machine[T.C]        0.0           0.0           1.0
    """
    names = list(results.model.exog_names)
    return {
        term: pd.DataFrame(L, index=_row_names(L, names), columns=names)
        for term, L in term_contrasts(results, typ).items()
    }


def _row_names(L: FloatArray, names: list[str]) -> list[str]:
    """The first coefficient of each row, or the rows' numbers if that is no name."""
    first = [names[np.flatnonzero(row)[0]] for row in L]
    return first if len(set(first)) == len(first) else [str(k) for k in range(len(L))]


def effects(results: LMERResults) -> FloatArray:
    """Orthogonal effects, whose squares add up to type 1 sums of squares.

    As statsmodels' ``anova_lm(results, typ=1)`` wants them: over the columns of a
    term, the sum of squares is ``sum_sq`` of :func:`anova` with ``typ=1``.

    Returns
    -------
    ndarray, shape (p,)
        The entry of the constant, and of columns of no term, is zero.
    """
    from ..compat.terms import fixed_part

    vcov = results.inference().vcov / results.scale
    beta = np.asarray(results.params)
    contrasts = term_contrasts(results, 1)
    out = np.zeros(len(beta))
    for term in fixed_part(results.model).terms:
        L = contrasts[term.name]
        if len(L):
            factor = np.linalg.cholesky(L @ vcov @ L.T)
            out[term.columns] = np.linalg.solve(factor, L @ beta)
    return out
