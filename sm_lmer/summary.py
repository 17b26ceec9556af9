"""Printed summaries: statsmodels' frame around what lme4's summary says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.iolib import summary2 as iolib2
from statsmodels.iolib.summary import Summary, fmt_params, forg
from statsmodels.iolib.table import SimpleTable

from .formula.reader import plain_text

if TYPE_CHECKING:
    from .results import LMERResults

DDF_NAMES = {
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger, with adjusted standard errors",
    "residual": "rows less fixed effects",
    "inner-outer": "inner-outer (containment)",
}
"""The methods for the degrees of freedom as notes spell them."""

NARROWEST = 5
"""Columns, stub included, below which statsmodels 0.15 cannot render LaTeX."""


def summary(
    results: LMERResults,
    yname: str | None,
    xname_fe: list[str] | None,
    xname_re: list[str] | None,
    title: str | None,
    alpha: float,
    correlation: bool,
) -> Summary:
    """See :meth:`sm_lmer.results.LMERResults.summary`."""
    out = Summary()
    left, right = _header(results, yname)
    out.add_table_2cols(
        results, gleft=left, gright=right, title=title or "Linear Mixed Model Results"
    )
    if results._residual_quantiles is not None:
        out.tables.append(_residual_table(results))
    out.tables.append(_random_table(results, xname_re))
    out.tables.append(_fixed_table(results, xname_fe, alpha))
    if correlation and len(results.params) > 1:
        out.tables.append(_correlation_table(results, xname_fe))
    notes = summary_notes(results)
    if notes:
        out.add_extra_txt(notes)
    return out


def _header(
    results: LMERResults, yname: str | None
) -> tuple[list[tuple[str, list[str] | None]], list[tuple[str, list[str] | None]]]:
    """Left and right columns of the first table."""
    optimum = results._optimum
    groups = ", ".join(f"{name} {k}" for name, k in results.n_groups.items())
    left: list[tuple[str, list[str] | None]] = [
        ("Dep. Variable:", [yname or plain_text(str(results.model.endog_names))]),
        ("Model:", ["LMER"]),
        ("Method:", [results.method]),
        ("No. Observations:", [str(results.nobs)]),
        ("Groups:", [groups]),
        ("Optimizer:", [results.optimizer]),
        ("Converged:", [f"{results.converged} ({evaluations(optimum.evaluations)})"]),
    ]
    name = "REML Criterion:" if results.reml else "Deviance:"
    right: list[tuple[str, list[str] | None]] = [
        (name, [f"{-2.0 * results.llf:.4f}"]),
        ("Log-Likelihood:", [f"{results.llf:.4f}"]),
        ("AIC:", [f"{results.aic:.4f}"]),
        ("BIC:", [f"{results.bic:.4f}"]),
        ("Scale:", [f"{results.scale:.6g}"]),
        ("Df Residuals:", [f"{results.df_resid:.0f}"]),
        ("No. Parameters:", [str(results.df)]),
    ]
    return left, right


def evaluations(count: int) -> str:
    """A number of evaluations in words."""
    return "1 evaluation" if count == 1 else f"{count} evaluations"


def _residual_table(results: LMERResults) -> SimpleTable:
    """Quantiles of the scaled residuals, as lme4 prints them."""
    values = [f"{q:.4f}" for q in results._residual_quantiles]
    return SimpleTable(
        [values],
        headers=["Min", "1Q", "Median", "3Q", "Max"],
        stubs=["Scaled residuals"],
        txt_fmt=fmt_params,
    )


def random_rows(
    results: LMERResults, names: Sequence[str] | None = None
) -> tuple[list[str], list[str], list[list[str]]]:
    """Rows of the random-effects table: its header, its groups, its cells."""
    frame = results.varcorr()
    variances = frame[frame["var2"].isna()]
    covariances = frame[frame["var2"].notna()]
    widest = 0
    if len(covariances):
        widest = int(covariances.groupby("grp")["var1"].nunique().max())
    shown = list(variances["var1"].fillna(""))
    if names is not None:
        shown[: len(names)] = list(names)
    stubs, cells = [], []
    previous = None
    for label, row in zip(shown, variances.itertuples(), strict=True):
        stubs.append("" if row.grp == previous else row.grp)
        previous = row.grp
        own = covariances[
            (covariances["grp"] == row.grp) & (covariances["var2"] == row.var1)
        ]
        cors = ["nan" if np.isnan(c) else f"{c:.2f}" for c in own["sdcor"]]
        cors += [""] * (max(widest, 1) - len(cors))
        cells.append([label, _significant(row.vcov), _significant(row.sdcor), *cors])
    header = ["Name", "Variance", "Std.Dev.", "Corr"] + [""] * (max(widest, 1) - 1)
    return header, stubs, cells


def _significant(value: float) -> str:
    """Five significant digits, without an exponent where that is short."""
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        digits = 5 - (int(np.floor(np.log10(abs(value)))) + 1 if value else 1)
        return f"{value:.{min(max(digits, 0), 8)}f}"
    return f"{value:.4e}"


def _random_table(results: LMERResults, names: Sequence[str] | None) -> SimpleTable:
    header, stubs, cells = random_rows(results, names)
    return SimpleTable(
        cells,
        headers=header,
        stubs=stubs,
        title="Random effects",
        txt_fmt=fmt_params,
    )


def _fixed_table(
    results: LMERResults, names: list[str] | None, alpha: float
) -> SimpleTable:
    """statsmodels' table of coefficients with the degrees of freedom of each test."""
    labels = list(names or results.model.exog_names)
    if len(labels) != len(results.params):
        raise ValueError(
            f"xname_fe has {len(labels)} names for {len(results.params)} fixed effects."
        )
    if not labels:
        return SimpleTable([["No fixed effects"]])
    letter = "t" if results.use_t else "z"
    ends = np.asarray(results.conf_int(alpha))
    columns = {
        "coef": [forg(b, prec=4) for b in np.asarray(results.params)],
        "std err": [forg(se) for se in np.asarray(results.bse)],
        "df": [_degrees(df) for df in results.ddf],
        letter: [forg(t) for t in np.asarray(results.tvalues)],
        f"P>|{letter}|": [f"{p:#6.3f}" for p in np.asarray(results.pvalues)],
        f"[{alpha / 2:g}": [forg(low) for low in ends[:, 0]],
        f"{1 - alpha / 2:g}]": [forg(high) for high in ends[:, 1]],
    }
    if not results.use_t:
        del columns["df"]
    return SimpleTable(
        list(zip(*columns.values(), strict=True)),
        headers=list(columns),
        stubs=labels,
        txt_fmt=fmt_params,
    )


def _degrees(df: float) -> str:
    return f"{df:.2f}" if df < 1e4 else f"{df:.0f}"


def _correlation_table(results: LMERResults, names: list[str] | None) -> SimpleTable:
    cov = np.asarray(results.cov_params())
    sd = np.sqrt(cov.diagonal())
    cor = cov / np.outer(sd, sd)
    labels = list(names or results.model.exog_names)
    p = len(labels)
    cells = [
        [f"{cor[i, j]:.3f}" if j < i else "" for j in range(p - 1)] for i in range(p)
    ]
    headers = labels[:-1]
    pad = NARROWEST - p
    if pad > 0:
        cells = [row + [""] * pad for row in cells]
        headers = headers + [""] * pad
    return SimpleTable(
        cells,
        headers=headers,
        stubs=labels,
        title="Correlation of fixed effects",
        txt_fmt=fmt_params,
    )


def summary_notes(results: LMERResults) -> list[str]:
    """What a reader must know besides the numbers."""
    model = results.model
    notes = []
    if model.lmer_formula is not None:
        notes.append(f"Formula: {' '.join(model.lmer_formula.split())}")
    if model.n_data != results.nobs:
        lost = model.n_data - results.nobs
        causes = ", ".join(f"{k} {v}" for k, v in model.dropped_rows.items())
        why = f" (missing values: {causes})" if causes else " (subset)"
        notes.append(f"{lost} of {model.n_data} rows are not used{why}.")
    if model.dropped_columns:
        notes.append(
            "Dropped columns that earlier ones determine: "
            f"{', '.join(model.dropped_columns)}."
        )
    if results.solver != "none":
        notes.append(f"Solver for the trailing grouping factors: {results.solver}.")
    if results._optimum.errors is not None:
        notes.append(_monte_carlo_note(results))
    if model.weights is not None:
        notes.append("Precision weights: the residual variance is Scale / weight.")
    if results.use_t and results.cov_type == "nonrobust":
        notes.append(f"Degrees of freedom: {DDF_NAMES[results.ddf_method]}.")
    if results.cov_type != "nonrobust":
        notes.append(results.cov_kwds["description"])
    notes += results.inference().notes
    if results.singular:
        notes.append(
            "Singular fit: some combination of the random effects of "
            f"{results.singular_terms()} has no variance."
        )
    if not results.converged:
        notes.append(f"Not converged: {results._optimum.message}.")
    return notes


def _monte_carlo_note(results: LMERResults) -> str:
    """What the probes behind an estimated log-determinant leave uncertain."""
    errors = results._optimum.errors
    assert errors is not None
    theta = ", ".join(f"{error:.2g}" for error in errors.theta)
    return (
        f"Monte Carlo standard errors from {errors.probes} probes: "
        f"{errors.llf:.2g} of the log-likelihood, {theta} of theta."
    )


def summary2(
    results: LMERResults,
    yname: str | None,
    xname: list[str] | None,
    title: str | None,
    alpha: float,
    float_format: str,
) -> iolib2.Summary:
    """See :meth:`sm_lmer.results.LMERResults.summary2`."""
    out = iolib2.Summary()
    out.add_base(
        results=results,
        alpha=alpha,
        float_format=float_format,
        xname=xname,
        yname=yname,
        title=title,
    )
    header, stubs, cells = random_rows(results)
    frame = pd.DataFrame(cells, columns=header, index=stubs)
    out.add_df(frame, align="r")
    for note in summary_notes(results):
        out.add_text(note)
    return out


__all__: list[Any] = ["random_rows", "summary", "summary2", "summary_notes"]
