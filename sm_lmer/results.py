"""LMERResults: what a fitted linear mixed model knows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.base.model import LikelihoodModelResults, LikelihoodResultsWrapper
from statsmodels.base.wrapper import populate_wrapper
from statsmodels.iolib.summary import Summary
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from . import summary as summaries
from .compat.statsmodels import cache_readonly
from .core.fitted import Solution, conditional_covariances
from .core.likelihood import Likelihood
from .core.optimize import SINGULAR, Optimum
from .core.terms import FloatArray, RandomTerm
from .errors import SingularFitWarning
from .getme import get_me
from .inference import prediction

if TYPE_CHECKING:
    from .model import LMER

DDF = ("normal", "residual")


class LMERResults(LikelihoodModelResults):
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
    n_groups : dict
        Number of levels of each grouping factor.
    """

    def __init__(
        self,
        model: LMER,
        solution: Solution,
        optimum: Optimum,
        solver: str,
        ddf: str,
        optimizer: str,
    ) -> None:
        if ddf not in DDF:
            raise ValueError(f"unknown ddf {ddf!r}; choose one of {', '.join(DDF)}.")
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
        self.reml = solution.reml
        self.method = "REML" if self.reml else "ML"
        self.theta = solution.theta
        self.sigma = float(np.sqrt(solution.sigma2))
        self.nobs, self.df_resid = model.nobs, model.df_resid
        self.df_model = model.df_model
        self.df = len(self.params) + len(self.theta) + 1
        self.df_modelwc = self.df
        self.aic = solution.value + 2.0 * self.df
        self.bic = solution.value + np.log(self.nobs) * self.df
        self.remlcrit = solution.value if self.reml else np.nan
        self.deviance = self._deviance()
        self.converged = optimum.converged
        engine = self._likelihood().solver
        self.solver = "none" if engine is None else engine.name
        self.n_groups = {t.name: t.factor.n_levels for t in model.re_terms}
        self._residual_quantiles = np.quantile(
            self.resid_pearson, [0.0, 0.25, 0.5, 0.75, 1.0]
        )
        self.mle_retvals = {
            "converged": optimum.converged,
            "iterations": optimum.iterations,
            "fopt": optimum.value,
            "fcalls": optimum.evaluations,
        }
        self.mle_settings = {"optimizer": optimizer, "start_params": None}

    # -- the fit ---------------------------------------------------------------

    def _likelihood(self) -> Likelihood:
        return self.model.likelihood(self._solver)

    @property
    def llf(self) -> float:
        """Log-likelihood: of the REML criterion for a REML fit."""
        return -0.5 * self._solution.value

    def _deviance(self) -> float:
        if not self.reml:
            return self._solution.value
        return self._likelihood().value(self.theta, reml=False)

    def warn(self) -> None:
        """Warn of a fit that is singular or did not converge."""
        if not self.converged:
            warnings.warn(self._optimum.message, ConvergenceWarning, stacklevel=3)
        if self.singular:
            warnings.warn(
                f"singular fit: {self._singular_terms()}; its random effects have "
                "fewer independent directions of variance than columns. Estimates are "
                "valid; consider a simpler term.",
                SingularFitWarning,
                stacklevel=3,
            )

    def _singular_terms(self) -> str:
        diagonals = np.abs(self._optimum.inner)
        position, names = 0, []
        for term in self.model.re_terms:
            part = slice(position, position + term.n_theta)
            position += term.n_theta
            rows, cols = term.positions()
            if (diagonals[part][rows == cols] < SINGULAR).any():
                names.append(term.text)
        return ", ".join(names)

    def is_singular(self, tol: float = SINGULAR) -> bool:
        """Whether some combination of random effects has (almost) no variance.

        Parameters
        ----------
        tol : float
            Bound on the diagonals of the relative covariance factors, taken for
            columns of Z that are scaled and orthogonal, so that the answer does not
            depend on the units of the predictors. For random intercepts it is lme4's.
        """
        diagonal = self._optimum.inner[self._likelihood().diagonal]
        return bool((np.abs(diagonal) < tol).any())

    @property
    def singular(self) -> bool:
        """:meth:`is_singular` at the default tolerance."""
        return self._optimum.singular

    @property
    def fit_log(self) -> pd.DataFrame:
        """Every evaluation of the criterion: its value and theta."""
        likelihood = self._likelihood()
        rows = [likelihood.to_user(entry.theta)[0] for entry in self._optimum.log]
        frame = pd.DataFrame(rows, columns=self.theta_names)
        frame.insert(0, "criterion", [entry.value for entry in self._optimum.log])
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="evaluation")
        return frame

    @property
    def theta_names(self) -> list[str]:
        """lme4's names of theta: ``Subject.Intercept``, ``Subject.Days.Intercept``."""
        names = []
        for term in self.model.re_terms:
            columns = term.columns
            for r, c in zip(*term.positions(), strict=True):
                parts = [columns[r]] if r == c else [columns[r], columns[c]]
                names.append(".".join([term.name, *parts]))
        return names

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

    def _templates(self) -> list[FloatArray]:
        """The relative covariance factor T of each term."""
        position, out = 0, []
        for term in self.model.re_terms:
            T = np.zeros((term.q, term.q))
            T[term.positions()] = self.theta[position : position + term.n_theta]
            position += term.n_theta
            out.append(T)
        return out

    def _covariances(self) -> list[FloatArray]:
        return [self.scale * T @ T.T for T in self._templates()]

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
        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for name, term, cov in zip(
            _unique_names(self.model.re_terms),
            self.model.re_terms,
            self._covariances(),
            strict=True,
        ):
            sd = np.sqrt(cov.diagonal())
            for j, column in enumerate(term.columns):
                rows.append((name, column, None, cov[j, j], sd[j]))
            if term.diagonal:
                continue
            for j in range(term.q):
                for i in range(j + 1, term.q):
                    product = sd[i] * sd[j]
                    cor = cov[i, j] / product if product > 0 else np.nan
                    pair = (term.columns[j], term.columns[i])
                    rows.append((name, *pair, cov[i, j], cor))
        rows.append(("Residual", None, None, self.scale, self.sigma))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    @property
    def cov_re(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Covariance of the random effects: a frame, or one a grouping factor."""
        frames: dict[str, pd.DataFrame] = {}
        for name, members in self._by_factor().items():
            columns = [c for k in members for c in self.model.re_terms[k].columns]
            cov = np.zeros((len(columns), len(columns)))
            start = 0
            for k in members:
                part = self._covariances()[k]
                stop = start + len(part)
                cov[start:stop, start:stop] = part
                start = stop
            frames[name] = pd.DataFrame(cov, index=columns, columns=columns)
        return next(iter(frames.values())) if len(frames) == 1 else frames

    def _by_factor(self) -> dict[str, list[int]]:
        """Positions of the terms on each grouping factor."""
        members: dict[str, list[int]] = {}
        for k, term in enumerate(self.model.re_terms):
            members.setdefault(term.name, []).append(k)
        return members

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
        >>> print(res.ranef()["Batch"].round(4).T.to_string())
                         A       B        C        D        E        F
        Intercept -17.6068  0.3913  28.5622 -23.0845  56.7332 -44.9953
        """
        modes = {}
        for name, members in self._by_factor().items():
            terms = [self.model.re_terms[k] for k in members]
            modes[name] = pd.DataFrame(
                np.hstack([self._solution.b[k] for k in members]),
                index=pd.Index(terms[0].factor.levels, name=name),
                columns=[c for term in terms for c in term.columns],
            )
        return (modes, self._conditional_covariances()) if cond_var else modes

    def _conditional_covariances(self) -> dict[str, FloatArray]:
        likelihood = self._likelihood()
        found = conditional_covariances(likelihood, self._solution)
        by_name = {
            likelihood.terms[block.terms[0]].name: cov
            for block, cov in zip(likelihood.blocks, found, strict=True)
        }
        return {name: by_name[name] for name in self._by_factor()}

    @property
    def random_effects(self) -> dict[Any, Any]:
        """Conditional modes by level, as MixedLM gives them.

        With several grouping factors, a dict of such dicts by factor.
        """
        frames = self.ranef()
        assert isinstance(frames, dict)
        out = {
            name: {level: row for level, row in frame.iterrows()}
            for name, frame in frames.items()
        }
        return next(iter(out.values())) if len(out) == 1 else out

    @property
    def random_effects_cov(self) -> dict[Any, Any]:
        """Conditional covariances by level, shaped as :attr:`random_effects`."""
        modes, covariances = self.ranef(cond_var=True)
        out = {}
        for name, frame in modes.items():
            columns = frame.columns
            out[name] = {
                level: pd.DataFrame(cov, index=columns, columns=columns)
                for level, cov in zip(frame.index, covariances[name], strict=True)
            }
        return next(iter(out.values())) if len(out) == 1 else out

    def coef(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each level: fixed effects plus conditional modes.

        A random effect whose column is not in the fixed part is shown beside it, as
        in lme4.
        """
        fixed = self.fixef()
        frames = self.ranef()
        assert isinstance(frames, dict)
        out = {}
        for name, modes in frames.items():
            columns = [
                *fixed.index,
                *(c for c in modes.columns if c not in fixed.index),
            ]
            base = fixed.reindex(columns, fill_value=0.0).to_numpy()
            frame = pd.DataFrame(
                np.tile(base, (len(modes), 1)), index=modes.index, columns=columns
            )
            for j, column in enumerate(modes.columns):
                frame[column] += modes.iloc[:, j]
            out[name] = frame
        return out

    # -- fitted values ---------------------------------------------------------

    @cache_readonly
    def fittedvalues(self) -> FloatArray:
        """Conditional fitted values X beta + Z b + offset."""
        fitted: FloatArray = self.model.predict(self.params)
        for term, b in zip(self.model.re_terms, self._solution.b, strict=True):
            fitted = fitted + np.einsum("nq,nq->n", term.Z, b[term.factor.codes])
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

        return refit(self, endog)

    def refit_ml(self) -> LMERResults:
        """The maximum likelihood fit of the same model; itself if it is one."""
        if not self.reml:
            return self
        return self.model.fit(
            reml=False,
            solver=self._solver,
            start_params=self.theta,
            ddf=self.ddf_method,
            method=self.mle_settings["optimizer"],
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


def _unique_names(terms: tuple[RandomTerm, ...]) -> list[str]:
    """lme4's group names: a second term on a factor is ``g.1``."""
    seen: dict[str, int] = {}
    names = []
    for term in terms:
        count = seen.get(term.name, 0)
        names.append(f"{term.name}.{count}" if count else term.name)
        seen[term.name] = count + 1
    return names


class LMERResultsWrapper(LikelihoodResultsWrapper):
    """LMERResults whose arrays are pandas objects with the model's names."""

    _attrs = {"bse_fe": "columns", "fe_params": "columns", "resid_pearson": "rows"}
    _wrap_attrs = {**LikelihoodResultsWrapper._wrap_attrs, **_attrs}


populate_wrapper(LMERResultsWrapper, LMERResults)

__all__ = ["LMERResults", "LMERResultsWrapper"]
