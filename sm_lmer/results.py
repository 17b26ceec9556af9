"""LMERResults: what a fitted linear mixed model knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.base.model import LikelihoodModelResults, LikelihoodResultsWrapper
from statsmodels.base.wrapper import populate_wrapper
from statsmodels.iolib.summary import Summary
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from . import components, mixedlm_names
from . import summary as summaries
from .clones import without_rows
from .compat.callers import users_level
from .compat.statsmodels import cache_readonly
from .core.fitted import Solution
from .core.likelihood import Likelihood
from .core.optimize import SINGULAR, Optimum
from .core.terms import FloatArray
from .errors import SingularFitWarning
from .getme import get_me
from .graphics.methods import PlotMethods
from .inference import prediction
from .inference.ddf import Inference, named
from .inference.distribution import Marginal
from .inference.methods import InferenceMethods
from .linalg import Krylov

if TYPE_CHECKING:
    from .model import LMER


class LMERResults(PlotMethods, InferenceMethods, LikelihoodModelResults):
    """Results of a fitted linear mixed model.

    ``params``, ``bse``, ``tvalues``, ``pvalues``, ``conf_int()`` and ``cov_params()``
    are those of the fixed effects alone; variances have attributes of their own.

    Attributes
    ----------
    model : LMER
    params, fe_params : Series
        Estimated fixed effects.
    theta : ndarray, shape (k_theta,)
        Relative covariance parameters, as lme4's getME(m, "theta").
    sigma, scale : float
        Residual standard deviation and variance.
    reml : bool
    method : {"REML", "ML"}
    llf, aic, bic : float
        From the REML criterion for a REML fit, as in lme4.
    remlcrit : float
        The REML criterion; nan for a fit by maximum likelihood.
    deviance : float
        -2 log-likelihood at the estimates (of theta by REML for a REML fit).
    df : int
        Number of parameters: fixed effects, theta and sigma.
    converged : bool
    singular : bool
        Whether some combination of random effects has no variance.
    solver : str
        How the trailing grouping factors were solved for.
    llf_mcse : float
    theta_mcse : ndarray, shape (k_theta,)
        Monte Carlo standard errors of a fit with ``solver="krylov"``.
    n_groups : dict
        Number of levels of each grouping factor.
    """

    theta: FloatArray
    sigma: float
    reml: bool
    df: int
    nobs: int
    aic: float
    bic: float
    n_groups: dict[str, int]

    default_model_infos: Mapping[str, Callable[[LMERResults], str]] = MappingProxyType(
        {
            "N": lambda res: str(res.model.nobs),
            "Groups": lambda res: ", ".join(
                f"{g} {k}" for g, k in res.n_groups.items()
            ),
            "Residual SD": lambda res: f"{res.sigma:.5g}",
            "AIC": lambda res: f"{2 * res.df - 2 * res.llf:.3f}",
        }
    )
    """Rows that statsmodels' ``summary_col`` shows below the coefficients."""

    def __init__(
        self,
        model: LMER,
        solution: Solution,
        optimum: Optimum,
        solver: str | Krylov,
        ddf: str,
        optimizer: str,
    ) -> None:
        ddf = named(ddf)
        super().__init__(
            model,
            solution.beta,
            normalized_cov_params=solution.vcov_unscaled,
            scale=solution.sigma2,
            use_t=ddf != "normal",
            cov_type="nonrobust",
        )
        self._cache: dict[str, Any] = {}
        self._solution, self._optimum, self._solver = solution, optimum, solver
        self.ddf_method = ddf
        self._inferences: dict[str, Inference] = {}
        self._robust: Inference | None = None
        self.reml = solution.reml
        self.method = "REML" if self.reml else "ML"
        self.theta = solution.theta
        self.sigma = float(np.sqrt(solution.sigma2))
        self.nobs, self._df_resid = model.nobs, model.df_resid
        self.df_model = model.df_model
        self.df = len(self.params) + len(self.theta) + 1
        self.df_modelwc = self.df
        self.aic = solution.value + 2.0 * self.df
        self.bic = solution.value + np.log(self.nobs) * self.df
        self.remlcrit = solution.value if self.reml else np.nan
        self.deviance = solution.deviance
        self.converged = optimum.converged
        engine = self._likelihood().solver
        self.solver = "none" if engine is None else engine.name
        self.n_groups = {t.name: t.factor.n_levels for t in model.re_terms}
        self.mle_retvals = {
            "converged": optimum.converged,
            "iterations": optimum.iterations,
            "fopt": optimum.value,
            "fcalls": optimum.evaluations,
        }
        self.optimizer = optimizer
        self.mle_settings = {"optimizer": optimizer, "start_params": None}

    # -- the fit ---------------------------------------------------------------

    def cov_params(
        self,
        r_matrix: ArrayLike | None = None,
        column: ArrayLike | None = None,
        scale: float | None = None,
        cov_p: ArrayLike | None = None,
        other: ArrayLike | None = None,
    ) -> Any:
        """Covariance of the fixed effects, or of contrasts of them.

        It is adjusted for a fit with ``ddf="kenward-roger"``, and robust for one with
        ``cov_type="cluster"``. See statsmodels'
        ``LikelihoodModelResults.cov_params`` for the parameters.
        """
        adjusted = self._robust is not None or self.ddf_method == "kenward-roger"
        if cov_p is None and scale is None and adjusted:
            cov_p = self.inference().vcov
        return super().cov_params(r_matrix, column, scale, cov_p, other)

    def remove_data(self) -> None:
        """Let go of all that has the length of the data.

        What stays small: tests, intervals, summaries, variance components,
        conditional modes, and predictions at new data go on as before; the degrees of
        freedom of the fit's own method are computed first. What needs rows (fitted
        values, residuals, refits, profiles) says so. ``model`` becomes a copy without
        rows; the model itself, and other fits of it, keep theirs.

        Examples
        --------
        >>> import pickle
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_insteval()
        >>> res = sml.lmer("y ~ service + (1 | d)", data).fit()
        >>> before = len(pickle.dumps(res))
        >>> res.remove_data()
        >>> len(pickle.dumps(res)) < 0.05 * before
        True
        """
        self.inference()
        kept = {"_residual_quantiles": self._residual_quantiles}
        self._solution = replace(self._solution, u=[])
        self._optimum = replace(self._optimum, log=())
        self._cache = kept
        if not isinstance(self.cov_kwds.get("groups"), str):
            self.cov_kwds = {k: v for k, v in self.cov_kwds.items() if k != "groups"}
        self.model = without_rows(self.model)

    def get_distribution(self, exog: ArrayLike | None = None) -> Marginal:
        """The marginal distribution of the response; see the model's."""
        return self.model.get_distribution(
            np.asarray(self.params), self.scale, exog, self.theta
        )

    def _likelihood(self) -> Likelihood:
        return self.model.likelihood(self._solver)

    @property
    def llf(self) -> float:
        """Log-likelihood: of the REML criterion for a REML fit."""
        return -0.5 * self._solution.value

    @property
    def llf_mcse(self) -> float:
        """Monte Carlo standard error of :attr:`llf`; 0 unless the solver is krylov.

        Its probes are the same at every theta, so a difference of log-likelihoods of
        one model has a smaller one.
        """
        return 0.0 if self._optimum.errors is None else self._optimum.errors.llf

    @property
    def theta_mcse(self) -> FloatArray:
        """Monte Carlo standard errors of :attr:`theta`; 0 unless the solver is krylov.

        They come on top of the sampling error, and are small beside it.
        """
        errors = self._optimum.errors
        return np.zeros(len(self.theta)) if errors is None else errors.theta

    def warn(self) -> None:
        """Warn of a fit that is singular or did not converge."""
        if not self.converged:
            message, level = self._optimum.message, users_level()
            warnings.warn(message, ConvergenceWarning, stacklevel=level)
        if self.singular:
            warnings.warn(
                f"singular fit: {components.singular_words(self)}; the estimates are "
                "valid, but consider a simpler term.",
                SingularFitWarning,
                stacklevel=users_level(),
            )

    def is_singular(self, tol: float = SINGULAR) -> bool:
        """Whether some combination of random effects has (almost) no variance.

        Parameters
        ----------
        tol : float
            Bound on the singular values of the relative covariance factors, taken for
            columns of Z that are scaled and orthogonal, so that the answer does not
            depend on the units of the predictors. For random intercepts it is lme4's.
        """
        return bool(components.singular_terms(self, tol))

    def singular_terms(self, tol: float = SINGULAR) -> str:
        """The terms that make the fit singular, as text; empty if it is not."""
        return ", ".join(components.singular_terms(self, tol))

    @property
    def singular(self) -> bool:
        """:meth:`is_singular` at the default tolerance."""
        return self.is_singular()

    @property
    def fit_log(self) -> pd.DataFrame:
        """Every evaluation of the criterion: its value and theta."""
        self.model.require_likelihood("the log of the search")
        likelihood = self._likelihood()
        rows = [entry.point.to_user(likelihood)[0] for entry in self._optimum.log]
        frame = pd.DataFrame(rows, columns=self.theta_names)
        frame.insert(0, "criterion", [entry.value for entry in self._optimum.log])
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="evaluation")
        return frame

    @property
    def theta_names(self) -> list[str]:
        """lme4's names of theta: ``Subject.Intercept``, ``Subject.Days.Intercept``."""
        return components.theta_names(self)

    @property
    def fe_params(self) -> Any:
        """The fixed effects, as MixedLM names them."""
        return self.params

    @property
    def bse_fe(self) -> Any:
        """Their standard errors, as MixedLM names them."""
        return self.bse

    def fixef(self, add_dropped: bool = False) -> pd.Series:
        """The fixed effects; on request with nan for columns left out as aliased."""
        series = pd.Series(np.asarray(self.params), index=self.model.exog_names)
        if add_dropped and self.model.dropped_columns:
            nan = pd.Series(np.nan, index=self.model.dropped_columns)
            series = pd.concat([series, nan])
        return series

    # -- variance components ---------------------------------------------------

    def varcorr(self) -> pd.DataFrame:
        """Variance components as R's ``as.data.frame(VarCorr(m))``.

        Returns
        -------
        DataFrame
            Columns grp, var1, var2, vcov (variance or covariance), sdcor (standard
            deviation or correlation); the residual comes last.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_dyestuff()
        >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
        >>> print(res.varcorr()[["grp", "sdcor"]].round(2).to_string())
                grp  sdcor
        0     Batch  42.00
        1  Residual  49.51
        """
        return components.varcorr(self)

    @property
    def cov_re(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Covariance of the random effects: a frame, or one a grouping factor."""
        return mixedlm_names.cov_re(self)

    @property
    def cov_re_unscaled(self) -> Any:
        """:attr:`cov_re` over the residual variance."""
        return mixedlm_names.cov_re_unscaled(self)

    @property
    def vcomp(self) -> pd.Series:
        """Variances of MixedLM's variance components, by name."""
        return mixedlm_names.vcomp(self)

    # -- random effects --------------------------------------------------------

    def ranef(
        self, cond_var: bool = False
    ) -> (
        dict[str, pd.DataFrame] | tuple[dict[str, pd.DataFrame], dict[str, FloatArray]]
    ):
        """Conditional modes of the random effects (BLUPs).

        Parameters
        ----------
        cond_var : bool
            Also return their covariances given the response, with beta taken as
            known, as lme4's ``postVar``.

        Returns
        -------
        modes : dict of DataFrame
            One frame a grouping factor: levels by columns.
        covariances : dict of ndarray, shape (levels, q, q)
            Only with `cond_var`.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_dyestuff()
        >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
        >>> print(res.ranef()["Batch"].round(3).T.to_string())
        Batch           A      B       C       D       E       F
        Intercept -17.607  0.391  28.562 -23.085  56.733 -44.995
        """
        modes = components.modes(self)
        return (modes, components.mode_covariances(self)) if cond_var else modes

    @property
    def random_effects(self) -> dict[Any, Any]:
        """Conditional modes by level, as MixedLM gives them.

        With several grouping factors, a dict of such dicts by factor.
        """
        return mixedlm_names.random_effects(self)

    @property
    def random_effects_cov(self) -> dict[Any, Any]:
        """Conditional covariances by level, shaped as :attr:`random_effects`."""
        return mixedlm_names.random_effects_cov(self)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each level: fixed effects plus conditional modes.

        A random effect whose column is not in the fixed part is shown beside it, as
        in lme4.
        """
        return components.coef(self)

    # -- fitted values ---------------------------------------------------------

    @cache_readonly
    def fittedvalues(self) -> FloatArray:
        """Conditional fitted values X beta + Z b + offset."""
        self.model.require_rows("a fitted value or residual")
        fitted: FloatArray = self.model.predict(self.params)
        for term, b in zip(self.model.re_terms, self._solution.b, strict=True):
            fitted = fitted + np.einsum(
                "nq,nq->n", np.asarray(term.Z), b[term.factor.codes]
            )
        return fitted

    @cache_readonly
    def resid(self) -> FloatArray:
        """Response less conditional fitted values."""
        return self.model.endog - self.fittedvalues

    @cache_readonly
    def resid_pearson(self) -> FloatArray:
        """Residuals over their standard deviation, sqrt(w) * resid / sigma."""
        weights = self.model.weights
        scaled = self.resid / self.sigma
        return scaled if weights is None else np.sqrt(weights) * scaled

    def _conditional_residual(self) -> FloatArray:
        """The weighted residuals, by which a perfect fit is told."""
        return np.asarray(self.resid_pearson) * self.sigma

    @cache_readonly
    def _residual_quantiles(self) -> FloatArray | None:
        """Smallest, quartiles and largest of the Pearson residuals."""
        return np.quantile(self.resid_pearson, [0.0, 0.25, 0.5, 0.75, 1.0])

    def predict(
        self,
        exog: Any = None,
        transform: bool = True,
        re_form: Any = None,
        allow_new_levels: bool = False,
        offset: ArrayLike | None = None,
    ) -> Any:
        """Predict the mean response, with lme4's choice of random effects.

        Parameters
        ----------
        exog : DataFrame, mapping or array_like, optional
            New data; the model's own by default. A bare array holds the columns of
            the fixed part, so it has no groups and gives the marginal mean.
        transform : bool
            Whether `exog` goes through the formula.
        re_form : None, False or str
            None: all random effects. False or "~0": none. A formula of some of the
            terms, as "~ (1 | plate)": these.
        allow_new_levels : bool
            Whether a level the model has not seen, or a missing one, gets the
            population's mean instead of an error.
        offset : array_like, optional
            Offset of the new data beside any in the formula.

        Returns
        -------
        Series or ndarray
            Rows of `exog` with missing values are nan.

        Examples
        --------
        >>> import pandas as pd, sm_lmer.api as sml
        >>> data = sml.datasets.load_sleepstudy()
        >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
        >>> new = pd.DataFrame({"Days": [10, 10], "Subject": ["308", "999"]})
        >>> print(res.predict(new, allow_new_levels=True).round(2).to_list())
        [450.33, 356.08]
        """
        return prediction.predict(
            self, exog, transform, re_form, allow_new_levels, offset
        )

    # -- other fits ------------------------------------------------------------

    def refit(self, endog: ArrayLike) -> LMERResults:
        """Fit the same model to another response, from these estimates.

        Parameters
        ----------
        endog : array_like, shape (nobs,)
            In the order of the rows that the model uses.
        """
        from .refit import refit

        self.model.require_rows("a fit to another response")
        return refit(self, endog)

    def refit_ml(self) -> LMERResults:
        """The maximum likelihood fit of the same model; itself if it is one."""
        if not self.reml:
            return LMERResultsWrapper(self)
        self.model.require_likelihood("the fit by maximum likelihood")
        return self.model.fit(
            reml=False,
            solver=self._solver,
            start_params=self.theta,
            ddf=self.ddf_method,
            method=self.optimizer,
        )

    def update(self, formula: str | None = None, **changes: Any) -> LMERResults:
        """Fit again with another formula, data or settings.

        Parameters
        ----------
        formula : str, optional
            New formula; a ``.`` stands for the old side, as in ``". ~ . + x"``.
        **changes
            Arguments of :meth:`LMER.from_formula` (``data``, ``weights``, ``subset``,
            ...) or of :meth:`LMER.fit` (``reml``, ``method``, ...).

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_cake()
        >>> res = sml.lmer("angle ~ recipe + (1 | recipe:replicate)", data).fit()
        >>> print(round(res.update(". ~ . + temp", data=data).params["temp"], 4))
        0.158
        """
        from .refit import update

        if changes.get("data") is None:
            self.model.require_rows("another fit without data=")
        return update(self, formula, changes)

    def get_me(self, name: str) -> Any:
        """Components by lme4's ``getME`` names; see :mod:`sm_lmer.getme`."""
        return get_me(self, name)

    # -- summaries -------------------------------------------------------------

    def summary(
        self,
        yname: str | None = None,
        xname_fe: list[str] | None = None,
        xname_re: list[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
        correlation: bool = False,
    ) -> Summary:
        """Summarise the fit, as lme4 and statsmodels do.

        Parameters
        ----------
        yname : str, optional
            Name of the response.
        xname_fe, xname_re : list of str, optional
            Names of the fixed effects, and of the random effects' columns in order.
        title : str, optional
        alpha : float
            One less the level of the confidence intervals.
        correlation : bool
            Whether to show the correlation of the fixed effects.
        """
        return summaries.summary(
            self, yname, xname_fe, xname_re, title, alpha, correlation
        )

    def summary2(
        self,
        yname: str | None = None,
        xname: list[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
        float_format: str = "%.4f",
    ) -> Any:
        """The summary in statsmodels' second format."""
        return summaries.summary2(self, yname, xname, title, alpha, float_format)


class LMERResultsWrapper(LikelihoodResultsWrapper):
    """LMERResults whose arrays are pandas objects with the model's names."""

    _attrs = {
        "bse_fe": "columns",
        "ddf": "columns",
        "fe_params": "columns",
        "resid_pearson": "rows",
    }
    _wrap_attrs = {**LikelihoodResultsWrapper._wrap_attrs, **_attrs}


populate_wrapper(LMERResultsWrapper, LMERResults)
_all_intervals = LMERResultsWrapper.conf_int


def _conf_int(
    self: LMERResultsWrapper,
    alpha: float = 0.05,
    cols: Sequence[int] | None = None,
    **kwargs: Any,
) -> pd.DataFrame:
    """Intervals of some coefficients, which statsmodels' wrapper cannot label."""
    frame: pd.DataFrame = _all_intervals(self, alpha, **kwargs)
    return frame if cols is None else frame.iloc[list(cols)]


LMERResultsWrapper.conf_int = _conf_int

__all__ = ["LMERResults", "LMERResultsWrapper"]
