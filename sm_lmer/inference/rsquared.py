r"""Shares of variance: R squared of the fixed and random parts, intraclass correlation.

With f the variance of X beta over the rows, r the mean over the rows of
:math:`\sum_k z_{ik}' \Sigma_k z_{ik}` and e the residual variance sigma^2, the marginal
R squared is f/(f + r + e), the conditional one (f + r)/(f + r + e) (Nakagawa and
Schielzeth 2013; Johnson 2014 for random slopes), and the adjusted intraclass
correlation r/(r + e). An offset is no part of what the model explains. All are as R's
``performance`` has them, but that they go on at singular fits, where they are well
defined, and that all columns of Z count, those without a fixed effect and those of a
second term on the same grouping factor, as in ``(x || g)``, too.

References
----------
Edwards, L. J., Muller, K. E., Wolfinger, R. D., Qaqish, B. F. and Schabenberger, O.
(2008). An R2 statistic for fixed effects in the linear mixed model. Statistics in
Medicine 27, 6137-6157.
Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes
models. Methods in Ecology and Evolution 5, 944-946.
Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R2
from generalized linear mixed-effects models. Methods in Ecology and Evolution 4,
133-142.
Stoffel, M. A., Nakagawa, S. and Schielzeth, H. (2021). partR2: partitioning R2 in
generalized linear mixed models. PeerJ 9, e11414.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from ..core.fitted import solve_at
from ..core.optimize import optimize
from ..core.terms import FloatArray, theta_parts
from .hypotheses import jointly
from .reduced import (
    FixedPart,
    FixedTerm,
    contrast,
    fixed_part,
    fixed_part_without,
    fixed_terms,
    rebuilt,
)

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults


class RSquared(NamedTuple):
    """R squared of the fixed effects, and of fixed and random effects."""

    marginal: float
    conditional: float

    def __format__(self, spec: str) -> str:
        """Both, each by the format, as tables that expect one number print it."""
        if not spec:
            return str(self)
        return " / ".join(format(value, spec) for value in self)


class ICC(NamedTuple):
    """Intraclass correlation: among what the fixed part leaves, and of all variance."""

    adjusted: float
    unadjusted: float


@dataclass(frozen=True)
class Variances:
    """Where the variance of the response comes from.

    Attributes
    ----------
    fixed : float
        Of the fixed part of the mean over the rows, over n - 1.
    random : dict of float
        Mean over the rows of that of the random effects, by grouping factor.
    residual : float
        sigma^2, that of a row of weight one.
    """

    fixed: float
    random: dict[str, float]
    residual: float

    @property
    def between(self) -> float:
        """Of all random effects."""
        return sum(self.random.values())

    @property
    def total(self) -> float:
        """All of it."""
        return self.fixed + self.between + self.residual

    @property
    def rsquared(self) -> RSquared:
        """Both kinds of R squared."""
        marginal = self.fixed / self.total
        return RSquared(marginal, (self.fixed + self.between) / self.total)


def variances(results: LMERResults) -> Variances:
    """The parts of the variance at the estimates of a fit."""
    return _variances(
        results.model, np.asarray(results.params), results.theta, results.scale
    )


def _variances(
    model: LMER, beta: FloatArray, theta: FloatArray, scale: float
) -> Variances:
    X = np.asarray(model.exog)
    mean = (X - X.mean(axis=0)) @ beta if len(beta) else np.zeros(len(X))
    random: dict[str, float] = {}
    for term, part in theta_parts(model.re_terms):
        ZT = np.asarray(term.Z) @ term.template(theta[part])
        share = float(np.einsum("nq,nq->", ZT, ZT)) / len(ZT)
        random[term.name] = random.get(term.name, 0.0) + scale * share
    return Variances(float(np.var(mean, ddof=1)), random, float(scale))


def rsquared(results: LMERResults) -> RSquared:
    """Marginal and conditional R squared.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    RSquared
        ``marginal``: share of the fixed effects; ``conditional``: of fixed and random
        effects.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.rsquared import rsquared
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> marginal, conditional = rsquared(res)
    >>> print(f"{marginal:.3f} {conditional:.3f}")
    0.279 0.799
    """
    return variances(results).rsquared


def icc(results: LMERResults, by_group: bool = False) -> ICC | pd.Series:
    """Intraclass correlation.

    Parameters
    ----------
    results : LMERResults
    by_group : bool
        The adjusted one as a sum over grouping factors. Where slopes vary a factor
        counts with the mean variance of its effects over the rows, so that the factors
        always add up (R's ``performance`` takes the variance of the intercepts).

    Returns
    -------
    ICC or Series
        ``adjusted``: share of the random effects in what the fixed part leaves;
        ``unadjusted``: in all variance. With `by_group` a Series by grouping factor.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.rsquared import icc
    >>> data = sml.datasets.load_penicillin()
    >>> res = sml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data).fit()
    >>> print(icc(res, by_group=True).round(3).to_string())
    plate     0.151
    sample    0.785
    """
    found = variances(results)
    remaining = found.between + found.residual
    if by_group:
        return pd.Series(found.random, name="ICC", dtype=np.float64) / remaining
    return ICC(found.between / remaining, found.between / found.total)


def partial_rsquared(
    results: LMERResults,
    terms: Sequence[str] | str | None = None,
    ddf: str | None = None,
) -> pd.DataFrame:
    """What each term of the fixed part explains.

    A term is taken together with the interactions that contain it, so that the answer
    does not depend on how factors are coded.

    Parameters
    ----------
    results : LMERResults
    terms : sequence of str or str, optional
        Names of terms; all by default. Of a model from arrays, names of columns.
    ddf : str, optional
        Method for the degrees of freedom, see :meth:`LMERResults.inference`.

    Returns
    -------
    DataFrame
        A row a term. ``part_rsquared``: the fall of the marginal R squared when the
        model is fitted again without the term (Stoffel, Nakagawa and Schielzeth 2021);
        slightly negative for a term that explains nothing. ``rsquared_beta``:
        (q/d) F / (1 + (q/d) F) with the F test of the term and its degrees of freedom
        q and d (Edwards et al. 2008), nan if d is infinite.

    Raises
    ------
    ValueError
        If there is no such term.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.rsquared import partial_rsquared
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data).fit()
    >>> print(partial_rsquared(res).round(3).to_string())
            part_rsquared  rsquared_beta
    recipe          0.004          0.012
    temp            0.104          0.298
    """
    model = results.model
    inference, beta = results.inference(ddf), np.asarray(results.params)
    whole = rsquared(results).marginal
    rows = {}
    for term in _chosen(model, terms):
        smaller, fixed = _without(model, term)
        test = jointly(beta, contrast(model, fixed), inference)
        explained = test.df_num * test.statistic / test.df_denom
        finite = np.isfinite(test.df_denom)
        rows[term.name] = (
            whole - _refitted(smaller, results.reml).rsquared.marginal,
            explained / (1.0 + explained) if finite else np.nan,
        )
    columns = ["part_rsquared", "rsquared_beta"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _chosen(model: LMER, names: Sequence[str] | str | None) -> list[FixedTerm]:
    """The terms of these names; the order of the parts of an interaction is free."""
    known = fixed_terms(model)
    if names is None:
        return known
    chosen = []
    for name in [names] if isinstance(names, str) else names:
        same = [t for t in known if name == t.name or set(name.split(":")) == t.factors]
        if not same:
            shown = ", ".join(term.name for term in known) or "no terms"
            raise ValueError(
                f"the fixed part has no term {name!r}; it has {shown} (the intercept "
                "is none)."
            )
        chosen.append(same[0])
    return chosen


def _without(model: LMER, term: FixedTerm) -> tuple[LMER, FixedPart]:
    """The model without a term and all that contain it, and its fixed part."""
    for other in fixed_terms(model):
        if term.factors <= other.factors:
            model = rebuilt(model, fixed_part_without(model, other))
    return model, fixed_part(model)


def _refitted(model: LMER, reml: bool) -> Variances:
    """The parts of the variance at the estimates of another model."""
    likelihood = model.likelihood()
    optimum = optimize(likelihood, reml)
    theta, Ts = optimum.point.to_user(likelihood)
    solution = solve_at(likelihood, theta, reml, Ts)
    return _variances(model, solution.beta, theta, solution.sigma2)
