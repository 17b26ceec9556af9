"""Tests and intervals of the fixed effects as methods of LMERResults."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.contrast import ContrastResults, WaldTestResults

from ..compat import statsmodels as compat
from ..compat.callers import asking, compares_models, wants_denominators
from ..core.terms import FloatArray
from .ddf import Inference, make_inference, named
from .hypotheses import each_row, jointly, t_quantile, t_tail
from .interval_methods import IntervalMethods
from .term_methods import TermMethods

if TYPE_CHECKING:
    from ..model import LMER
    from .simulate import RandomSource


class InferenceMethods(TermMethods, IntervalMethods):
    """What LMERResults can say about its fixed effects.

    All tests ask :meth:`inference` for covariances and degrees of freedom.
    """

    model: LMER
    params: Any
    cov_params: Any
    scale: float
    use_t: bool
    ddf_method: str
    _df_resid: float
    cov_type: str
    cov_kwds: dict[str, Any]
    _inferences: dict[str, Inference]
    _robust: Inference | None

    # -- degrees of freedom ----------------------------------------------------

    def inference(self, ddf: str | None = None) -> Inference:
        """Covariance and degrees of freedom of contrasts, by one of the methods.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "inner-outer", "normal"}
            The method; by default that of the fit.

        Raises
        ------
        ValueError
            If there is no such method.
        """
        if self._robust is not None:
            return self._robust if ddf is None else self._robust_by(named(ddf))
        name = self.ddf_method if ddf is None else named(ddf)
        if name not in self._inferences:
            self._inferences[name] = make_inference(self._fit, name)
        return self._inferences[name]

    def _robust_by(self, ddf: str) -> Inference:
        """The robust covariance of the fit with other degrees of freedom."""
        from .robust import robust_inference

        assert self._robust is not None
        if ddf in ("normal", "residual"):
            model_based = make_inference(self._fit, ddf)
            return model_based.with_vcov(self._robust.vcov)
        if ddf != "satterthwaite":
            raise ValueError(
                f"ddf={ddf!r} does not go with a cluster-robust covariance; use "
                "'satterthwaite', 'residual' or 'normal'."
            )
        self.model.require_rows("a robust covariance")
        groups, kind = self.cov_kwds.get("groups"), self.cov_kwds["kind"]
        return robust_inference(self._fit, groups, kind, ddf)

    def get_robustcov_results(
        self, cov_type: str = "cluster", use_t: bool | None = None, **kwds: Any
    ) -> Any:
        """The same fit with another covariance of its fixed effects.

        Parameters
        ----------
        cov_type : {"cluster", "nonrobust"}
            "cluster" for covariances that are robust to any correlation within
            clusters.
        use_t : bool, optional
            False for normal tests.
        **kwds
            For "cluster": ``groups``, ``kind`` ("CR0", "CR1", "CR1S" or "CR2") and
            ``ddf``; see :func:`sm_lmer.inference.robust.robust_inference`.

        Returns
        -------
        LMERResults

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_sleepstudy()
        >>> res = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
        >>> robust = res.get_robustcov_results("cluster", groups="Subject", kind="CR2")
        >>> print(res.bse["Days"].round(3), robust.bse["Days"].round(3))
        0.804 1.546
        """
        from ..results import LMERResultsWrapper
        from .robust import robust_covariance

        if cov_type != "nonrobust":
            self.model.require_rows("a robust covariance")
        other = copy.copy(self)
        other._inferences, other._robust = {}, None
        inference, settings = robust_covariance(other._fit, cov_type, kwds, use_t)
        if cov_type != "nonrobust":
            other._robust = inference
        elif use_t is False:
            other.ddf_method = "normal"
        other.cov_type, other.cov_kwds = cov_type, settings
        other.use_t = inference.use_t
        return LMERResultsWrapper(other)

    @property
    def ddf(self) -> FloatArray:
        """Degrees of freedom of the t test of each fixed effect, shape (p,)."""
        return self.inference().each(np.eye(len(self.params)))

    @property
    def pvalues(self) -> FloatArray:
        """Two-sided p-values of the fixed effects, by the fit's degrees of freedom."""
        return 2.0 * t_tail(np.abs(np.asarray(self.tvalues)), self.ddf)

    @property
    def bse(self) -> FloatArray:
        """Standard errors of the fixed effects."""
        return np.sqrt(np.diag(np.asarray(self.cov_params())))

    @property
    def tvalues(self) -> FloatArray:
        """Estimates over their standard errors."""
        return np.asarray(self.params) / np.asarray(self.bse)

    def conf_int(
        self,
        alpha: float = 0.05,
        cols: Sequence[int] | None = None,
        method: str = "wald",
        ddf: str | None = None,
        *,
        nsim: int = 999,
        rng: RandomSource = None,
    ) -> FloatArray:
        """Confidence intervals of the fixed effects.

        Parameters
        ----------
        alpha : float
            One less the level.
        cols : sequence of int, optional
            Which coefficients; all by default.
        method : {"wald", "profile", "boot"}
            By standard errors and degrees of freedom; of the profile likelihood (of
            the fit by maximum likelihood); or percentiles of a parametric bootstrap.
        ddf : str, optional
            Method for the degrees of freedom of "wald", see :meth:`inference`.
        nsim, rng : optional
            Replicates and random numbers of the bootstrap.

        Returns
        -------
        array_like, shape (p, 2)
            Lower and upper ends.
        """
        if method == "profile":
            from .profile_intervals import fixed_intervals

            return fixed_intervals(self._fit, alpha, cols)
        if method == "boot":
            names = list(self.model.exog_names)
            found = self._bootstrap_ends(alpha, nsim, rng).loc[names].to_numpy()
            return found if cols is None else found[np.asarray(cols)]
        if method != "wald":
            raise ValueError(
                f"unknown method {method!r} of conf_int; use 'wald', 'profile' or "
                "'boot'."
            )
        inference = self.inference(ddf)
        beta = np.asarray(self.params)
        half = t_quantile(1.0 - alpha / 2.0, inference.each(np.eye(len(beta))))
        half = half * np.sqrt(inference.vcov.diagonal())
        ends = np.column_stack([beta - half, beta + half])
        return ends if cols is None else ends[np.asarray(cols)]

    # -- contrasts -------------------------------------------------------------

    def _contrast(self, r_matrix: Any) -> tuple[FloatArray, FloatArray]:
        """Rows and right-hand sides of a contrast in any form statsmodels takes."""
        L, rhs = compat.linear_constraints(r_matrix, list(self.model.data.cov_names))
        if L.shape[1] != len(self.params):
            dropped = ", ".join(map(str, self.model.dropped_columns))
            why = f"; {dropped} depend on earlier columns" if dropped else ""
            raise ValueError(
                f"the contrast has {L.shape[1]} columns, but the model has "
                f"{len(self.params)} fixed effects{why}."
            )
        return L, rhs

    def _chosen(
        self, cov_p: ArrayLike | None, use_t: bool | None, ddf: str | None
    ) -> Inference:
        """The inference of a test: the caller's covariance and distribution first."""
        if ddf is None and use_t is False:
            ddf = "normal"
        elif ddf is None and use_t and not self.use_t:
            ddf = "residual"
        inference = self.inference(ddf)
        return inference if cov_p is None else inference.with_vcov(np.asarray(cov_p))

    def t_test(
        self,
        r_matrix: Any,
        cov_p: ArrayLike | None = None,
        use_t: bool | None = None,
        *,
        ddf: str | None = None,
    ) -> ContrastResults:
        """Test each row of a linear hypothesis by itself.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            Rows of contrasts, ``"x = 0, a = b"``, or (rows, right-hand sides).
        cov_p : array_like, shape (p, p), optional
            Covariance of the estimates instead of the model's.
        use_t : bool, optional
            False for the normal distribution.
        ddf : str, optional
            Method for the degrees of freedom, see :meth:`inference`.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_cake()
        >>> res = sml.lmer("angle ~ recipe + temp + (1|recipe:replicate)", data).fit()
        >>> test = res.t_test("recipe[T.B] = recipe[T.C]")
        >>> print(test.effect.round(4), test.df_denom.round(2))
        [0.0444] [42.]
        """
        L, rhs = self._contrast(r_matrix)
        inference = self._chosen(cov_p, use_t, ddf)
        rows = each_row(np.asarray(self.params), L, inference, rhs)
        if inference.use_t:
            return ContrastResults(
                effect=rows.estimate, t=rows.statistic, sd=rows.se, df_denom=rows.df
            )
        return ContrastResults(
            effect=rows.estimate,
            statistic=rows.statistic,
            sd=rows.se,
            df_denom=rows.df,
            distribution="norm",
        )

    def wald_test(
        self,
        r_matrix: Any,
        cov_p: ArrayLike | None = None,
        invcov: ArrayLike | None = None,
        use_f: bool | None = None,
        df_constraints: int | None = None,
        scalar: bool | None = True,
        *,
        ddf: str | None = None,
    ) -> ContrastResults:
        """Test a linear hypothesis, all rows at once.

        Parameters
        ----------
        r_matrix : array_like, str or tuple
            As for :meth:`t_test`; rows that depend on others count once.
        cov_p : array_like, shape (p, p), optional
            Covariance of the estimates instead of the model's.
        use_f : bool, optional
            True for an F test, False for a chi-square test.
        scalar : bool
            Whether the statistic is a float rather than an array of shape (1, 1).
        ddf : str, optional
            Method for the degrees of freedom, see :meth:`inference`.
        invcov, df_constraints
            Not available: both follow from the hypothesis.
        """
        if invcov is not None or df_constraints is not None:
            raise NotImplementedError(
                "LMER's wald_test finds invcov and df_constraints itself; use cov_p= "
                "for another covariance of the estimates."
            )
        L, rhs = self._contrast(r_matrix)
        inference = self._chosen(cov_p, use_f, ddf)
        test = jointly(np.asarray(self.params), L, inference, rhs)
        statistic: Any = test.statistic if scalar else np.array([[test.statistic]])
        if inference.use_t:
            return ContrastResults(
                F=statistic, df_denom=test.df_denom, df_num=test.df_num
            )
        chi2 = statistic * test.df_num
        return ContrastResults(
            chi2=chi2,
            statistic=chi2,
            df_denom=test.df_num,
            distribution="chi2",
            distargs=(test.df_num,),
        )

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Sequence[tuple[str, ArrayLike]] | None = None,
        combine_terms: Sequence[str] | None = None,
        scalar: bool = True,
    ) -> WaldTestResults:
        """Test the coefficients of each term of the fixed part.

        Unlike statsmodels' own it knows that columns were left out as aliased.

        Parameters
        ----------
        skip_single : bool
            Leave out terms of one coefficient.
        extra_constraints : sequence of (name, rows), optional
            Further hypotheses.
        combine_terms : sequence of str, optional
            Parts of names: all terms with such a part are tested together too.
        scalar : bool
            Whether statistics are floats, see :meth:`wald_test`.
        """
        names = list(self.model.exog_names)
        identity = np.eye(len(names))
        terms = [
            (term, identity[[names.index(c) for c in columns]])
            for term, columns in self._term_columns()
        ]
        combined = [
            (part, np.vstack([rows for term, rows in terms if part in term]))
            for part in combine_terms or ()
        ]
        alone = [(t, rows) for t, rows in terms if not (skip_single and len(rows) == 1)]
        table = []
        tested = [*alone, *combined, *(extra_constraints or ())]
        for _, rows in tested:
            test = self.wald_test(rows, scalar=scalar)
            df = test.df_num if self.use_t else test.df_denom
            row = [test.statistic, float(test.pvalue), int(df)]
            table.append([*row, test.df_denom] if self.use_t else row)
        columns = ["statistic", "pvalue", "df_constraint"]
        frame = pd.DataFrame(
            table,
            index=[name for name, _ in tested],
            columns=[*columns, "df_denom"] if self.use_t else columns,
        )
        return WaldTestResults(None, "F" if self.use_t else "chi2", None, table=frame)

    def _term_columns(self) -> list[tuple[str, list[str]]]:
        """Terms of the fixed part with the columns that the model kept of them."""
        names = list(self.model.exog_names)
        if self.model._design is None:
            return [(name, [name]) for name in names]
        found = compat.term_columns(self.model._design.specification)
        kept = [(term, [c for c in columns if c in names]) for term, columns in found]
        return [(term, columns) for term, columns in kept if columns]

    # -- for statsmodels' anova_lm ---------------------------------------------

    @property
    def ssr(self) -> float:
        """Scale times df_resid, which is what statsmodels' ``anova_lm`` needs.

        Raises
        ------
        TypeError
            If ``anova_lm`` would compare models by it.
        AttributeError
            If anything else asks: the residuals of a mixed model have no one sum.
        """
        frame = asking()
        if frame is None:
            raise AttributeError(
                "LMERResults has no ssr: use resid (conditional residuals) or scale."
            )
        if compares_models(frame):
            raise TypeError(
                "anova_lm compares models by residual sums of squares, which mixed "
                "models do not have; use sm_lmer.api.anova_lmer(res1, res2)."
            )
        return self.scale * self._df_resid

    @property
    def effects(self) -> FloatArray:
        """Type 1 sums of squares as statsmodels' ``anova_lm`` needs them."""
        if asking() is None:
            raise AttributeError("LMERResults has no effects; use anova(typ=1).")
        from .anova import effects

        return effects(self._fit)

    @property
    def df_resid(self) -> Any:
        """Rows less rank of the fixed part; see :attr:`ddf` for tests."""
        frame = asking()
        if frame is None or not wants_denominators(frame):
            return self._df_resid
        own = self.anova(typ=1)["df_denom"]
        rows = frame.f_locals["table"].index
        return own.reindex(rows).fillna(self._df_resid).to_numpy()

    # -- prediction ------------------------------------------------------------

    def get_prediction(
        self,
        exog: Any = None,
        transform: bool = True,
        *,
        re_form: Any = None,
        allow_new_levels: bool = False,
        offset: ArrayLike | None = None,
        weights: ArrayLike | str | None = None,
        ddf: str | None = None,
    ) -> Any:
        """Predictions with standard errors and intervals.

        See :func:`sm_lmer.inference.prediction_errors.get_prediction`.
        """
        from .prediction_errors import get_prediction

        return get_prediction(
            self._fit, exog, transform, re_form, allow_new_levels, offset, weights, ddf
        )
