"""What is healthy about a fit and what is not, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from .. import components
from ..core.optimize import SINGULAR, hessian
from ..core.terms import FloatArray
from ..summary import evaluations
from .leverage import hat_values, row_labels
from .random_pca import factor_covariances, vanishing
from .vif import vif

if TYPE_CHECKING:
    from ..results import LMERResults

HEALTHY, LOOK, PROBLEM = "ok", "look", "problem"
"""Verdicts."""

SURE = 0.01
"""p-value below which a test of a residual property counts."""

FEW_LEVELS = 6
"""Levels below which a variance of their effects is hardly estimable."""

WIDTH = 79


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic : str
    verdict : {"ok", "look", "problem"}
    text : str
        What was found.
    advice : str
        What to do; empty if nothing is to be done.
    """

    topic: str
    verdict: str
    text: str
    advice: str = ""


@dataclass(frozen=True, repr=False)
class HealthReport:
    """What was looked at in a fit; printed, it is a text.

    Attributes
    ----------
    title : str
    findings : tuple of Finding
    """

    title: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return all(finding.verdict == HEALTHY for finding in self.findings)

    @property
    def frame(self) -> pd.DataFrame:
        """The findings as a frame: topic, verdict, text, advice."""
        return pd.DataFrame([vars(finding) for finding in self.findings])

    def __repr__(self) -> str:
        lines = [self.title, "=" * min(len(self.title), WIDTH)]
        for finding in self.findings:
            head = f"{finding.verdict:8}{finding.topic}: "
            lines.append(fill(head + finding.text, WIDTH, subsequent_indent=" " * 8))
            if finding.advice:
                lines.append(
                    fill(
                        f"-> {finding.advice}",
                        WIDTH,
                        initial_indent=" " * 8,
                        subsequent_indent=" " * 11,
                    )
                )
        return "\n".join(lines)


def check(results: LMERResults) -> HealthReport:
    """Look for what commonly goes wrong with a mixed model.

    Convergence, singularity, the levels of the grouping factors, extreme levels,
    residuals, collinearity and leverage, each with what was found and what to do.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    HealthReport

    Raises
    ------
    ValueError
        After ``remove_data``.

    Notes
    -----
    Verdicts: "ok"; "look", something to be looked at, that may be harmless; "problem",
    results that cannot be trusted as they are. Tests of large data find what does not
    matter, so verdicts on residuals ask for both a small p-value and an effect of some
    size.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> print(res.check())  # doctest: +ELLIPSIS
    Check of Yield ~ 1 + (1 | Batch)
    ================================
    ok      Convergence: the criterion is at a minimum ...
    """
    results.model.require_rows("a check of the fit")
    title = f"Check of {_formula(results)}"
    found = (
        _convergence(results),
        _singularity(results),
        *_levels(results),
        *_extreme_levels(results),
        _spread(results),
        _shape(results),
        *_collinearity(results),
        _leverage(results),
    )
    return HealthReport(title, found)


def _formula(results: LMERResults) -> str:
    """The model's formula, or its columns if it was built from arrays."""
    model = results.model
    if model.lmer_formula is not None:
        return " ".join(model.lmer_formula.split())
    terms = [*model.exog_names, *(f"({term.text})" for term in model.re_terms)]
    return f"{model.endog_names} ~ {' + '.join(terms)}"


def _convergence(results: LMERResults) -> Finding:
    optimum = results._optimum
    topic, bound = "Convergence", f"{max(optimum.decrement, 0.0) / 2:.0e}"
    if not optimum.converged:
        return Finding(topic, PROBLEM, optimum.message + ".", "Fit again as it says.")
    likelihood = results._likelihood().rotated(optimum.point.rotations)
    H = hessian(likelihood, optimum.point.inner, results.reml)
    curvature = np.linalg.eigvalsh(H)
    if len(curvature) and curvature[0] < -1e-4 * max(1.0, float(curvature[-1])):
        return Finding(
            topic,
            PROBLEM,
            "the search ended at a saddle point: some direction of theta lowers the "
            "criterion.",
            "Fit again with restarts=3, or see sml.all_fit(model).",
        )
    text = (
        f"the criterion is at a minimum ({evaluations(optimum.evaluations)}; it is "
        f"{bound} above the minimum by the Newton decrement), and curved upwards in "
        "all directions of theta."
    )
    if len(curvature) and curvature[0] < 1e-6 * max(1.0, float(curvature[-1])):
        text = text.replace("curved upwards in all", "flat or curved upwards in all")
    return Finding(topic, HEALTHY, text)


def _singularity(results: LMERResults) -> Finding:
    topic = "Singularity"
    if not results.singular:
        return Finding(topic, HEALTHY, "all random effects vary.")
    words = [
        f"{', '.join(found)} (over {name})"
        for name, columns, cov, sizes in factor_covariances(results)
        if (found := vanishing(columns, cov, sizes, 10 * SINGULAR))
    ]
    return Finding(
        topic,
        LOOK,
        f"the fit is singular: {'; '.join(words) or results.singular_terms()}.",
        "The estimates are valid. Leave out what does not vary, or a correlation of "
        "1 (by ||), and compare by sml.anova_lmer or ranova(); keep the term if the "
        "design calls for it.",
    )


def _levels(results: LMERResults) -> Iterator[Finding]:
    """Few levels, and levels with few rows."""
    terms = results.model.re_terms
    quiet = True
    for name, members in components.by_factor(results).items():
        factor = terms[members[0]].factor
        q = sum(terms[k].q for k in members)
        counts = np.bincount(factor.codes, minlength=factor.n_levels)
        singles, poor = int((counts == 1).sum()), int((counts < q).sum())
        if factor.n_levels < FEW_LEVELS:
            quiet = False
            yield Finding(
                "Levels",
                LOOK,
                f"{name} has {factor.n_levels} levels only, too few for a good "
                "estimate of a variance.",
                "Use Kenward-Roger tests and profile intervals, or make it a fixed "
                "effect.",
            )
        if q > 1 and poor > 0.5 * factor.n_levels:
            quiet = False
            yield Finding(
                "Levels",
                LOOK,
                f"{poor:,} of {factor.n_levels:,} levels of {name} have fewer rows "
                f"than the {q} random effects; their effects come from the others.",
                "Consider fewer random effects.",
            )
        elif singles > 0.5 * factor.n_levels:
            quiet = False
            yield Finding(
                "Levels",
                LOOK,
                f"{singles:,} of {factor.n_levels:,} levels of {name} have one row; "
                "their effects are told from the residual by the other levels alone.",
                "See that the variances of both can be told apart: conf_int_re().",
            )
    if quiet:
        sizes = ", ".join(f"{name} {k:,}" for name, k in results.n_groups.items())
        yield Finding("Levels", HEALTHY, f"enough levels and rows a level ({sizes}).")


def _extreme_levels(results: LMERResults) -> Iterator[Finding]:
    """Levels whose conditional modes are too far out for a normal distribution."""
    frames = components.modes(results)
    covariances = components.mode_covariances(results)
    quiet = True
    for name, _, cov, _ in factor_covariances(results):
        frame = frames[name]
        far = _distances(frame.to_numpy(), cov - covariances[name], cov)
        tail = stats.chi2.sf(far, np.linalg.matrix_rank(cov)) * len(frame)
        extreme = np.flatnonzero(tail < SURE)
        if len(extreme):
            quiet = False
            worst = extreme[np.argsort(tail[extreme])][:5]
            names = ", ".join(str(frame.index[k]) for k in worst)
            more = ", ..." if len(extreme) > 5 else ""
            yield Finding(
                "Extreme levels",
                LOOK,
                f"{len(extreme)} of {len(frame):,} levels of {name} are farther out "
                f"than a normal distribution allows: {names}{more}.",
                f"Look at their rows; see influence({name!r}) and plot_ranef_qq().",
            )
    if quiet:
        yield Finding("Extreme levels", HEALTHY, "none stands out.")


def _distances(modes: FloatArray, spread: FloatArray, cov: FloatArray) -> FloatArray:
    """Squared distances of the modes in terms of their own covariances."""
    deviations = np.sqrt(np.where(cov.diagonal() > 0, cov.diagonal(), 1.0))
    scaled = spread / np.outer(deviations, deviations)
    values, vectors = np.linalg.eigh(scaled)
    along = np.einsum("lqk,lq->lk", vectors, modes / deviations)
    known = values > 1e-6
    squares = np.divide(along**2, values, out=np.zeros_like(along), where=known)
    distances: FloatArray = squares.sum(axis=1)
    return distances


def _spread(results: LMERResults) -> Finding:
    """Whether the residuals' spread follows the fitted values."""
    topic = "Spread"
    fitted, resid = np.asarray(results.fittedvalues), np.asarray(results.resid_pearson)
    if np.ptp(fitted) <= 1e-10 * np.ptp(results.model.endog):
        return Finding(topic, HEALTHY, "all fitted values are the same.")
    ranks = stats.rankdata(fitted) / len(fitted)
    deviations = [
        float(np.sqrt((resid[part] ** 2).mean()))
        for part in (ranks <= 0.2, ranks > 0.8)
    ]
    ratio = deviations[1] / deviations[0]
    tail = _breusch_pagan(fitted, resid)
    words = (
        f"{ratio:.2f} times as large in the top fifth of the fitted values as in the "
        f"bottom fifth (Breusch-Pagan p = {tail:.2g})."
    )
    if tail < SURE and not 0.8 < ratio < 1.25:
        return Finding(
            topic,
            LOOK,
            f"the residual SD is {words}",
            "See plot_scale_location(). Transform the response, give weights=, or ask "
            "for robust standard errors: get_robustcov_results('cluster', kind='CR2').",
        )
    return Finding(
        topic,
        HEALTHY,
        "no sure sign that the residual SD follows the fitted values: it is " + words,
    )


def _breusch_pagan(fitted: FloatArray, resid: FloatArray) -> float:
    """p-value of Koenker's studentised test of the spread against fitted values."""
    squares = resid**2
    r = np.corrcoef(fitted, squares)[0, 1]
    return float(stats.chi2.sf(len(resid) * r * r, 1))


def _shape(results: LMERResults) -> Finding:
    """Whether the residuals look normal."""
    resid = np.asarray(results.resid_pearson)
    skew, kurtosis = float(stats.skew(resid)), float(stats.kurtosis(resid))
    tail = float(stats.jarque_bera(resid).pvalue)
    far = int((np.abs(resid) > 4).sum())
    words = (
        f"residuals have skewness {skew:.2f} and excess kurtosis {kurtosis:.2f} "
        f"(Jarque-Bera p = {tail:.2g}), {far:,} of {len(resid):,} are beyond 4 sigma"
    )
    if tail < SURE and (abs(skew) > 0.5 or kurtosis > 1.0 or kurtosis < -0.8):
        return Finding(
            "Normality",
            LOOK,
            words + ".",
            "Fixed effects bear it. For variances and predictions: look at "
            "plot_resid_qq(), the outliers, a transformation, a residual bootstrap.",
        )
    return Finding("Normality", HEALTHY, words + ".")


def _collinearity(results: LMERResults) -> Iterator[Finding]:
    """Variance inflation, where there are several terms."""
    topic = "Collinearity"
    if results.model.dropped_columns:
        dropped = ", ".join(results.model.dropped_columns)
        yield Finding(
            topic,
            LOOK,
            f"columns were dropped, as others determine them: {dropped}.",
            "Leave out a term, or see that all cells of the design have rows.",
        )
    try:
        found = vif(results)
    except ValueError:
        return
    worst = found["per_column"].idxmax()
    value = float(found.loc[worst, "per_column"])
    words = f"the largest variance inflation factor is {value:.1f} ({worst})."
    if value > 5.0:
        yield Finding(
            topic,
            LOOK,
            words,
            "Centre the variables of interactions and powers; else test its terms "
            "together, as a single one cannot be told from the others.",
        )
    else:
        yield Finding(topic, HEALTHY, words)


def _leverage(results: LMERResults) -> Finding:
    """Rows that the fixed part follows closely."""
    h = hat_values(results, "marginal")
    mean = float(h.mean())
    far = np.flatnonzero(h > np.maximum(4.0 * mean, 0.1))
    words = f"largest {h.max():.2g}, mean {mean:.2g} (fixed part)"
    if len(far):
        labels = row_labels(results)
        worst = far[np.argsort(-h[far])][:5]
        names = ", ".join(str(labels[k]) for k in worst)
        more = ", ..." if len(far) > 5 else ""
        return Finding(
            "Leverage",
            LOOK,
            f"{words}; {len(far)} rows have more than four times the mean: "
            f"{names}{more}.",
            "Look at their predictors; see influence().",
        )
    return Finding("Leverage", HEALTHY, words + ".")
