"""Influence: how a fit changes without an observation, or without a group."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.deletion import (
    Deleted,
    DeletionRefitter,
    Units,
    estimates_at,
    polished,
)
from ..core.deletion_updates import Updates
from ..core.likelihood import Likelihood
from ..core.terms import FloatArray, IntArray
from .deletion_measures import Measures
from .deletion_units import chosen_units, notes_of, reasons
from .leverage import at_estimates, cooks_conditional, hat_values
from .nesting import unwrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results import LMERResults

METHODS = ("auto", "exact", "one-step", "fixed")
"""What ``method=`` takes."""

AUTO_SECONDS = 15.0
"""Estimated time up to which "auto" refits."""

WARN_SECONDS = 120.0
"""Estimated time from which on refits that were asked for are warned of."""

UNITS_AT_ONCE = 1_000_000
"""Numbers in the covariance matrices that are held together."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What a fit would be without each observation, or each group.

    Attributes
    ----------
    group : str or None
        What was left out: levels of this factor, or single rows.
    method : {"exact", "one-step", "fixed"}
        How the estimates without it were got.
    params, bse : Series
        The fixed effects of the fit, and their standard errors.
    varcomp : Series
        Its variances and covariances, the residual variance first.
    size : Series
        Number of rows of each unit.
    hat_matrix_diag : Series
        Conditional leverage; its mean over the rows of a group.
    hat_marginal : Series
        The same of the fixed part alone.
    params_deleted, bse_deleted, varcomp_deleted : DataFrame
        The same without each unit; nan where something stands in the way.
    cooks_distance : Series
        ``d' Var(beta)^-1 d / p`` with d the change of the fixed effects.
    mdffits : Series
        The same with the covariance of the estimates without the unit.
    covratio, covtrace : Series
        ``|Var_(i)| / |Var|``, and ``|tr(Var^-1 Var_(i)) - p|``.
    cooks_conditional : Series or None
        lme4's ``cooks.distance(m)``, for single rows; see
        :func:`sm_lmer.inference.leverage.cooks_conditional`.
    resid : Series or None
        Conditional Pearson residuals, for single rows.
    converged : Series of bool
    notes : tuple of str
        What could not be estimated, and why.
    """

    group: str | None
    method: str
    params: pd.Series
    bse: pd.Series
    varcomp: pd.Series
    size: pd.Series
    hat_matrix_diag: pd.Series
    hat_marginal: pd.Series
    params_deleted: pd.DataFrame
    bse_deleted: pd.DataFrame
    varcomp_deleted: pd.DataFrame
    cooks_distance: pd.Series
    mdffits: pd.Series
    covratio: pd.Series
    covtrace: pd.Series
    cooks_conditional: pd.Series | None
    resid: pd.Series | None
    converged: pd.Series
    notes: tuple[str, ...]

    @property
    def labels(self) -> pd.Index:
        """Labels of what was left out."""
        return self.size.index

    @property
    def unit(self) -> str:
        """What was left out, as plots name it."""
        return "observation" if self.group is None else self.group

    @property
    def dfbeta(self) -> pd.DataFrame:
        """Fixed effects without the unit less those of the fit (lme4's sign)."""
        return self.params_deleted - self.params

    @property
    def dfbetas(self) -> pd.DataFrame:
        """:attr:`dfbeta` over the standard errors without the unit, as in lme4."""
        return self.dfbeta / self.bse_deleted

    @property
    def rvc(self) -> pd.DataFrame:
        """Relative change of every variance and covariance.

        nan for one that is zero in the fit.
        """
        base = self.varcomp.where(self.varcomp != 0.0)
        return self.varcomp_deleted / base - 1.0

    @property
    def cooks_distance_lme4(self) -> pd.Series:
        """Cook's distance as lme4's ``cooks.distance(influence(m))`` has it.

        It is :attr:`cooks_distance` times (G - p) / G for G units.
        """
        G, p = len(self.size), len(self.params)
        return self.cooks_distance * ((G - p) / G)

    @cached_property
    def _summary(self) -> pd.DataFrame:
        columns: dict[str, pd.Series] = {}
        for name in self.dfbetas:
            columns[f"dfb_{name}"] = self.dfbetas[name]
        columns["cooks_d"] = self.cooks_distance
        columns["mdffits"] = self.mdffits
        columns["covratio"] = self.covratio
        columns["covtrace"] = self.covtrace
        for name in self.rvc:
            columns[f"rvc_{name}"] = self.rvc[name]
        columns["hat_diag"] = self.hat_matrix_diag
        columns["hat_marginal"] = self.hat_marginal
        if self.cooks_conditional is not None and self.resid is not None:
            columns["cooks_conditional"] = self.cooks_conditional
            columns["standard_resid"] = self.resid / np.sqrt(
                (1.0 - self.hat_matrix_diag).where(lambda v: v > 0)
            )
        else:
            columns["n_rows"] = self.size
        return pd.DataFrame(columns, index=self.labels)

    def summary_frame(self) -> pd.DataFrame:
        """All measures, a row a unit, under statsmodels' names.

        Returns
        -------
        DataFrame
            Columns dfb_... (:attr:`dfbetas`), cooks_d, mdffits, covratio, covtrace,
            rvc_..., hat_diag, hat_marginal; for single rows cooks_conditional and
            standard_resid (over sqrt(1 - h)), for groups n_rows.
        """
        return self._summary.copy()

    def measure(self, name: str) -> pd.Series:
        """One measure by the name of its attribute or of its column.

        Raises
        ------
        ValueError
            For an unknown one; the message lists them.
        """
        short = {"cooks_distance": "cooks_d", "leverage": "hat_diag"}
        column = short.get(name, name)
        column = "hat_diag" if column == "hat_matrix_diag" else column
        if column not in self._summary.columns:
            raise ValueError(
                f"unknown measure {name!r}; choose one of "
                f"{', '.join(self._summary.columns)}."
            )
        return self._summary[column]

    def most(self, k: int = 5, measure: str = "cooks_distance") -> pd.DataFrame:
        """The k most influential units by a measure, the most extreme first.

        Parameters
        ----------
        k : int
        measure : str
            Ratios count by their distance from 1 on the log scale, signed measures by
            their size.
        """
        values = self.measure(measure)
        return self._summary.loc[extremes(values, measure, k)].copy()

    def cutoff(self, measure: str = "cooks_distance") -> tuple[float, float]:
        """Bounds beyond which units stand out from the others.

        For dfbetas they are -+2 / sqrt(G) (Belsley, Kuh and Welsch 1980), for others
        three quartile ranges beyond the quartiles, as HLMdiag's.

        Returns
        -------
        lower, upper : float
            The lower one is -inf for measures that are small where nothing is wrong.
        """
        values = self.measure(measure).dropna()
        if measure.startswith("dfb_"):
            bound = 2.0 / float(np.sqrt(len(self.size)))
            return -bound, bound
        if not len(values):
            return -np.inf, np.inf
        first, third = np.quantile(values, [0.25, 0.75])
        lower, upper = first - 3.0 * (third - first), third + 3.0 * (third - first)
        two_sided = measure.startswith(("covratio", "rvc_", "standard_resid"))
        return (float(lower) if two_sided else -np.inf), float(upper)

    def __str__(self) -> str:
        how = {
            "exact": "exact refits",
            "one-step": "one Newton step from the estimates",
            "fixed": "variances held at their estimates",
        }[self.method]
        what = f"{len(self.size)} units of {self.unit}"
        lines = [f"Influence of {what}, by {how}", ""]
        shown = ["cooks_d", "mdffits", "covratio", "covtrace", "hat_diag"]
        lines.append(self.most(5)[shown].to_string(float_format="{:.4g}".format))
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__

    # -- plots -----------------------------------------------------------------

    def plot(self, **options: Any) -> Figure:
        """Cook's distance, MDFFITS, COVRATIO and COVTRACE of every unit.

        See :func:`sm_lmer.graphics.influence.plot_measures`.
        """
        from ..graphics.influence import plot_measures

        return plot_measures(self, **options)

    def plot_index(self, measure: str = "cooks_distance", **options: Any) -> Figure:
        """One measure against the units in their order.

        See :func:`sm_lmer.graphics.influence.plot_index`.
        """
        from ..graphics.influence import plot_index

        return plot_index(self, measure, **options)

    def plot_dfbetas(self, **options: Any) -> Figure:
        """Change of every fixed effect in standard errors.

        See :func:`sm_lmer.graphics.influence.plot_dfbetas`.
        """
        from ..graphics.influence import plot_dfbetas

        return plot_dfbetas(self, **options)

    def plot_influence(self, **options: Any) -> Figure:
        """Leverage against residual (or change of variance), areas by Cook's distance.

        See :func:`sm_lmer.graphics.influence.plot_influence`.
        """
        from ..graphics.influence import plot_influence

        return plot_influence(self, **options)


def extremes(values: pd.Series, measure: str, k: int) -> IntArray | pd.Index:
    """Labels of the k most extreme values, the most extreme first."""
    if measure == "covratio":
        positive = values.where(values > 0)
        size = np.abs(np.log(positive))
    else:
        size = values.abs()
    return size.dropna().sort_values(ascending=False, kind="stable").index[:k]


def influence(
    results: LMERResults,
    group: Any = None,
    *,
    method: str = "auto",
    n_jobs: int = 1,
) -> Influence:
    """Leave out each observation, or each group, and see what changes.

    Parameters
    ----------
    results : LMERResults
    group : str or array_like, shape (nobs,), optional
        What to leave out: the levels of a grouping factor or of another column that
        the formula uses, or one label a row. Single rows by default.
    method : {"auto", "exact", "one-step", "fixed"}
        ``"exact"``: the model is fitted again without each unit, from theta-hat.
        ``"one-step"``: fixed effects by closed formulas, variances by one Newton step.
        ``"fixed"``: closed formulas with all variances held at their estimates, which
        are exact for the fixed effects at these (HLMdiag's approximation); no relative
        variance change. ``"auto"`` takes exact refits where they take less than about
        15 seconds, and one step otherwise; the attribute ``method`` says which.
    n_jobs : int
        Number of processes for exact refits, through joblib; -1 for all cores.

    Returns
    -------
    Influence

    Raises
    ------
    ValueError
        For an unknown method or group, and after ``remove_data()``.
    ImportError
        If `n_jobs` is not 1 and joblib is not installed.

    Warns
    -----
    UserWarning
        If exact refits were asked for and would take more than about two minutes.

    Notes
    -----
    Units without which the model is not identified (a coefficient that only they tell,
    all but one level of a grouping factor) are nan, and ``notes`` has the reason.

    lme4's ``influence(m, groups)`` has the same estimates, but for its optimiser's
    tolerance; its Cook's distance is ``cooks_distance_lme4``.

    References
    ----------
    Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics
    for mixed models. Technometrics 34(1).

    Demidenko, E. and Stukel, T. A. (2005). Influence analysis for linear mixed-effects
    models. Statistics in Medicine 24(6).

    Loy, A. and Hofmann, H. (2014). HLMdiag: a suite of diagnostics for hierarchical
    linear models in R. J. Stat. Software 56(5), section 4.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> left_out = res.influence("Subject")
    >>> print(left_out.cooks_distance.nlargest(2).round(3).to_dict())
    {'309': 0.149, '335': 0.129}
    """
    results = unwrapped(results)
    if method not in METHODS:
        raise ValueError(
            f"unknown method {method!r}; choose one of {', '.join(METHODS)}."
        )
    model = results.model
    model.require_rows("influence")
    factor, name, labels = chosen_units(results, group)
    units = Units(factor.codes, len(labels))
    likelihood, _ = at_estimates(results)
    inner = polished(likelihood, results._optimum.point.inner, results.reml)
    all_rows = estimates_at(likelihood, inner, results.reml)
    seconds = _seconds(likelihood, units.count) / _workers(n_jobs)
    if method == "auto":
        method = "exact" if seconds <= AUTO_SECONDS else "one-step"
    elif method == "exact" and seconds > WARN_SECONDS:
        warnings.warn(
            f"{units.count} exact refits will take about {_duration(seconds)}; "
            "method='one-step' approximates them in much less.",
            stacklevel=3,
        )
    why = reasons(model, units)
    wanted = why == ""
    which = np.flatnonzero(wanted)
    room = Measures(model.re_terms, all_rows, units.count)
    parts: Iterator[tuple[IntArray, Deleted]]
    if method == "exact":
        refitter = DeletionRefitter(likelihood, inner, results.reml)
        parts = _refitted(refitter, units, which, n_jobs)
    else:
        step = method == "one-step"
        updates = Updates(likelihood, inner, results.reml, units, wanted, step)
        parts = _updated(updates, which, model.k_fe)
    for rows, deleted in parts:
        room.put(rows, deleted)
        why[rows] = deleted.why
    return _gathered(results, name, method, labels, units, room, why)


def _gathered(
    results: LMERResults,
    name: str | None,
    method: str,
    labels: pd.Index,
    units: Units,
    room: Measures,
    why: np.ndarray,
) -> Influence:
    names = list(results.model.exog_names)
    sizes = np.bincount(units.codes, minlength=units.count)

    def series(values: Any, what: str) -> pd.Series:
        return pd.Series(values, index=labels, name=what)

    def mean(values: FloatArray, what: str) -> pd.Series:
        sums = np.bincount(units.codes, values, minlength=units.count)
        return series(sums / sizes, what)

    h = hat_values(results)
    variances = room.names
    if method == "fixed":
        room.varcomp[:] = np.nan
    bse = np.sqrt(room.vcov0.diagonal())
    cooks, resid = None, None
    if name is None:
        cooks = series(cooks_conditional(results, h), "cooks_conditional")
        resid = series(np.asarray(results.resid_pearson), "resid")
    return Influence(
        group=name,
        method=method,
        params=pd.Series(room.beta0, index=names),
        bse=pd.Series(bse, index=names),
        varcomp=pd.Series(room.base, index=variances),
        size=series(sizes, "n_rows"),
        hat_matrix_diag=mean(h, "hat_diag"),
        hat_marginal=mean(hat_values(results, "marginal"), "hat_marginal"),
        params_deleted=pd.DataFrame(room.beta, index=labels, columns=names),
        bse_deleted=pd.DataFrame(room.bse, index=labels, columns=names),
        varcomp_deleted=pd.DataFrame(room.varcomp, index=labels, columns=variances),
        cooks_distance=series(room.cooks, "cooks_d"),
        mdffits=series(room.mdffits, "mdffits"),
        covratio=series(room.covratio, "covratio"),
        covtrace=series(room.covtrace, "covtrace"),
        cooks_conditional=cooks,
        resid=resid,
        converged=series(room.converged, "converged"),
        notes=notes_of(results.model, labels, why, room.converged),
    )


def _seconds(likelihood: Likelihood, count: int) -> float:
    """Roughly how long exact refits take; a property of the design, not the machine."""
    cross, m = likelihood.cross, likelihood.layout.m
    L, q, _ = cross.A11.shape
    p = len(cross.C)
    name = None if likelihood.solver is None else likelihood.solver.name
    evaluation = 3e-4 + 3e-9 * L * q * q * (p + 20) + 3e-8 * cross.A21.nnz
    evaluation += 3e-10 * m**3 if name == "dense" else 2e-7 * m
    evaluation *= likelihood.k_theta + 1 if name in ("cholmod", "superlu") else 1
    setting_up = 1e-3 + 2e-9 * likelihood.n + 3e-6 * cross.A21.nnz
    return count * (setting_up + 8 * evaluation)


def _workers(n_jobs: int) -> int:
    if n_jobs == 1:
        return 1
    try:
        from joblib import effective_n_jobs
    except ImportError:
        raise ImportError(
            "n_jobs needs the package joblib: pip install joblib."
        ) from None
    return int(effective_n_jobs(n_jobs))


def _duration(seconds: float) -> str:
    return (
        f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} h"
    )


def _updated(
    updates: Updates, which: IntArray, p: int
) -> Iterator[tuple[IntArray, Deleted]]:
    size = max(1, UNITS_AT_ONCE // max(1, p * p))
    for first in range(0, len(which), size):
        part = which[first : first + size]
        yield part, updates.deleted(part)


def _refitted(
    refitter: DeletionRefitter, units: Units, which: IntArray, n_jobs: int
) -> Iterator[tuple[IntArray, Deleted]]:
    members = units.members()
    workers = _workers(n_jobs)
    if workers == 1 or len(which) < 2:
        yield which, refitter.refit([members[g] for g in which])
        return
    from joblib import Parallel, delayed

    tasks = np.array_split(which, min(len(which), 4 * workers))
    job = refitter.portable()
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    found = parallel(delayed(job.refit)([members[g] for g in task]) for task in tasks)
    yield from zip(tasks, found, strict=True)
