"""Tests of terms, comparisons of models and effect sizes as methods of LMERResults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from ..compat.callers import SUMMARY2, asking
from .methods_base import MethodsOfResults

if TYPE_CHECKING:
    from .rsquared import RSquared


class CompareLRTestResult(NamedTuple):
    """A likelihood-ratio test, with the fields that OLS results have."""

    statistic: float
    pvalue: float
    df_diff: float


class TermMethods(MethodsOfResults):
    """What LMERResults can say about terms, and about itself beside other models."""

    # -- tests of terms --------------------------------------------------------

    def contest(
        self,
        L: Any,
        rhs: ArrayLike | float = 0.0,
        joint: bool = True,
        ddf: str | None = None,
        alpha: float = 0.05,
    ) -> pd.DataFrame:
        """Test contrasts of the fixed effects, as lmerTest's ``contest``.

        Parameters
        ----------
        L : array_like or str
            Rows of contrasts, or a hypothesis as for :meth:`t_test`.
        rhs : array_like, optional
            Right-hand sides.
        joint : bool
            One F test of all rows rather than a t test of each.
        ddf : str, optional
            Method for the degrees of freedom, see :meth:`inference`.
        alpha : float
            One less the level of the intervals of single rows.

        Returns
        -------
        DataFrame
            Columns sum_sq, mean_sq, df, df_denom, F, PR(>F); or Estimate,
            Std. Error, df, t value, lower, upper, Pr(>|t|) with ``joint=False``.
        """
        from .anova import contest

        return contest(self._fit, L, rhs, joint, ddf, alpha)

    def anova(self, typ: int | str = 3, ddf: str | None = None) -> pd.DataFrame:
        """F tests of the terms of the fixed part.

        Parameters
        ----------
        typ : {1, 2, 3} or {"I", "II", "III"}
            Sequential tests; tests after all terms that do not contain the term; or
            tests of equally weighted cell means, which do not depend on the coding
            of the factors.
        ddf : str, optional
            Method for the degrees of freedom, see :meth:`inference`.

        Returns
        -------
        DataFrame
            A row a term, columns sum_sq, mean_sq, df, df_denom, F and PR(>F).

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_cake()
        >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
        >>> print(res.anova()[["df", "df_denom", "F"]].round(3).to_string())
                     df  df_denom       F
        recipe        2   254.016   0.096
        temp          1   222.000  94.163
        recipe:temp   2   222.000   0.042
        """
        from .anova import anova

        self._fit.model.require_rows("tests of terms")
        return anova(self._fit, typ, ddf)

    def show_tests(self, typ: int | str = 3) -> dict[str, pd.DataFrame]:
        """The hypothesis of each row of :meth:`anova`: contrasts by coefficients."""
        from .anova import show_tests

        self._fit.model.require_rows("the hypotheses of tests of terms")
        return show_tests(self._fit, typ)

    def drop1(
        self,
        scope: Sequence[str] | str | None = None,
        test: str = "Chisq",
        ddf: str | None = None,
    ) -> pd.DataFrame:
        """Test each term of the fixed part that marginality lets go.

        Parameters
        ----------
        scope : sequence of str or str, optional
            Terms to try; all that no other term contains by default.
        test : {"Chisq", "F"}
            Likelihood-ratio tests of refits by maximum likelihood, as lme4's drop1,
            or F tests without a refit, as lmerTest's.
        ddf : str, optional
            Method for the degrees of freedom of F tests, see :meth:`inference`.
        """
        from .drop1 import drop1

        self._fit.model.require_rows("a fit without a term")
        return drop1(self._fit, scope, test, ddf)

    def ranova(self, reduce_terms: bool = True) -> pd.DataFrame:
        """Likelihood-ratio tests of the random terms, as lmerTest's ``ranova``.

        Parameters
        ----------
        reduce_terms : bool
            Whether a term of several columns loses one variable at a time, rather
            than going as a whole.
        """
        from .ranova import ranova

        self._fit.model.require_rows("a fit without a random term")
        return ranova(self._fit, reduce_terms)

    def step(
        self,
        alpha_random: float = 0.1,
        alpha_fixed: float = 0.05,
        keep: Sequence[str] = (),
        reduce_fixed: bool = True,
        reduce_random: bool = True,
        ddf: str | None = None,
    ) -> Any:
        """Backward elimination, random terms first, as lmerTest's ``step``."""
        from .step import step

        self._fit.model.require_rows("a fit without a term")
        return step(
            self._fit, alpha_random, alpha_fixed, keep, reduce_fixed, reduce_random, ddf
        )

    def emmeans(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        ddf: str | None = None,
        **options: Any,
    ) -> Any:
        """Estimated marginal means; see :func:`sm_lmer.inference.emmeans.emmeans`."""
        from .emmeans import emmeans

        self._fit.model.require_rows("marginal means")
        return emmeans(self._fit, specs, by=by, at=at, ddf=ddf, **options)

    def emtrends(
        self,
        specs: str | Sequence[str],
        var: str,
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        ddf: str | None = None,
        **options: Any,
    ) -> Any:
        """Estimated slopes; see :func:`sm_lmer.inference.emmeans.emtrends`."""
        from .emmeans import emtrends

        self._fit.model.require_rows("marginal slopes")
        return emtrends(self._fit, specs, var, by=by, at=at, ddf=ddf, **options)

    # -- other models ----------------------------------------------------------

    def compare_lr_test(self, restricted: Any) -> CompareLRTestResult:
        """Likelihood-ratio test against a model that this one contains.

        Fits by REML are compared as they are where the fixed parts are the same, and
        after refits by maximum likelihood where they differ.

        Parameters
        ----------
        restricted : LMERResults, or results of OLS or WLS
            A fit of the smaller model to the same rows.

        Returns
        -------
        CompareLRTestResult
            statistic, pvalue, df_diff. For variance components on the boundary the
            p-value is conservative, see :func:`sm_lmer.api.anova_lmer`.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_sleepstudy()
        >>> full = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
        >>> small = sml.lmer("Reaction ~ Days + (Days || Subject)", data).fit()
        >>> print(round(full.compare_lr_test(small).statistic, 4))
        0.041
        """
        from .comparison import compare_lr_test

        return compare_lr_test(self._fit, restricted)

    # -- effect sizes ----------------------------------------------------------

    @property
    def rsquared(self) -> RSquared:
        """Marginal and conditional R-squared (Nakagawa and Schielzeth; Johnson).

        statsmodels' ``summary2`` and ``summary_col``, which print one number, do not
        see it.
        """
        if asking(SUMMARY2) is not None:
            raise AttributeError("a mixed model has two R-squared.")
        from .rsquared import rsquared

        self._fit.model.require_rows("R-squared")
        return rsquared(self._fit)

    @property
    def rsquared_marginal(self) -> float:
        """Share of the variance that the fixed effects explain."""
        return self.rsquared.marginal

    @property
    def rsquared_conditional(self) -> float:
        """Share of the variance that fixed and random effects explain."""
        return self.rsquared.conditional

    def partial_rsquared(
        self, terms: Sequence[str] | str | None = None, ddf: str | None = None
    ) -> pd.DataFrame:
        """What each term explains; see the function of the same name.

        :func:`sm_lmer.inference.rsquared.partial_rsquared` has the parameters.
        """
        from .rsquared import partial_rsquared

        self._fit.model.require_rows("R-squared")
        return partial_rsquared(self._fit, terms, ddf)

    def icc(self, by_group: bool = False) -> Any:
        """Intraclass correlation: adjusted and unadjusted, or one a grouping factor."""
        from .rsquared import icc

        self._fit.model.require_rows("the intraclass correlation")
        return icc(self._fit, by_group)
