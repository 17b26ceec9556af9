"""LMER: a linear mixed model in statsmodels' manner."""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.base.model import LikelihoodModel

from . import arrays, checks, clones
from .big import is_source
from .compat import statsmodels as compat
from .core.conditioning import orthonormal_basis
from .core.likelihood import Likelihood, LikelihoodData, LikelihoodStatistics
from .core.terms import FloatArray, RandomTerm, lme4_order
from .fitting import check_ddf, find_optimum
from .formula import mixedlm
from .formula.design import Design, build_design
from .inference.distribution import Marginal, marginal
from .linalg import Krylov
from .mixedlm_names import MixedLMModelNames
from .results import LMERResults, LMERResultsWrapper

if TYPE_CHECKING:
    from .inference.design_report import DesignReport


class LMER(MixedLMModelNames, LikelihoodModel):
    """A linear mixed model with crossed and nested random effects.

    The response is ``y = X beta + Z b + offset + e`` with ``b ~ N(0, Sigma)``, one
    covariance matrix a term repeated over the levels of its grouping factor, and
    ``e_i ~ N(0, sigma^2 / w_i)``. Grouping factors may be crossed, nested, or both.

    Parameters
    ----------
    endog : array_like, shape (n,)
        The response.
    exog : array_like, shape (n, p)
        Columns of the fixed part, the constant included.
    groups : array_like, shape (n,), optional
        Grouping factor of a single random term, as for statsmodels' MixedLM.
    exog_re : array_like, shape (n, q), optional
        Columns of that term; a random intercept by default.
    re_terms : sequence of RandomTerm, optional
        The random terms; instead of `groups`.
    weights : array_like, shape (n,), optional
        Precision weights: the residual variance of row i is ``sigma^2 / w_i``.
    offset : array_like, shape (n,), optional
        Known part of the mean.
    missing : {"none", "drop", "raise"}
        What to do with rows that have a missing value in any role; "none" refuses
        them as "raise" does.
    hasconst : bool, optional
        Whether `exog` holds a constant; found out by default.

    Attributes
    ----------
    re_terms : tuple of RandomTerm
        In lme4's order: the factor with most levels first.
    lmer_formula : str or None
        The whole formula; ``formula`` is its fixed part.
    dropped_rows : dict
        Number of rows left out for missing values, by column.
    dropped_columns : list of str
        Columns of `exog` left out because they depend on earlier ones.

    See Also
    --------
    LMER.from_formula : The same from a formula such as ``y ~ x + (x | g)``.

    References
    ----------
    Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear
    mixed-effects models using lme4. Journal of Statistical Software 67(1).

    Examples
    --------
    >>> import numpy as np, sm_lmer.api as sml
    >>> data = sml.datasets.load_penicillin()
    >>> model = sml.LMER(
    ...     data["diameter"],
    ...     np.ones((len(data), 1)),
    ...     re_terms=[
    ...         sml.RandomTerm(data["plate"], name="plate"),
    ...         sml.RandomTerm(data["sample"], name="sample"),
    ...     ],
    ... )
    >>> print(round(model.fit().remlcrit, 4))
    330.8606
    """

    re_terms: tuple[RandomTerm, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    lmer_formula: str | None
    nobs: int

    def __init__(
        self,
        endog: ArrayLike,
        exog: ArrayLike,
        groups: ArrayLike | None = None,
        exog_re: ArrayLike | None = None,
        re_terms: Sequence[RandomTerm] | None = None,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        missing: str = "none",
        hasconst: bool | None = None,
        *,
        design: Design | None = None,
        template: LMER | None = None,
        **kwargs: Any,
    ) -> None:
        unknown = set(kwargs) - {"formula", compat.SPEC, "missing_idx"}
        if unknown:
            raise TypeError(mixedlm.unknown_arguments("LMER", unknown))
        if missing not in ("none", "drop", "raise"):
            raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}.")
        if template is not None:
            exog = clones.with_names(exog, template)
        if design is None:
            given = arrays.checked(
                endog, exog, groups, exog_re, re_terms, weights, offset, missing
            )
        else:
            given = arrays.of_design(design)
        terms, self.weights, self.offset = given.terms, given.weights, given.offset
        self.dropped_rows, self.n_data = given.dropped, given.n_data
        basis = orthonormal_basis(given.X, None)
        exog, self.dropped_columns = arrays.full_rank(given.exog, basis)
        self._basis = basis.of_kept_columns()
        kwargs.pop("missing_idx", None)
        self._design = design
        if hasconst is None:
            hasconst = arrays.implicit_constant(given.X, self._basis)
        super().__init__(given.endog, exog, missing="none", hasconst=hasconst, **kwargs)
        checks.check_response(self.endog, self.exog.shape[1])
        for term in terms:
            checks.check_term(term)
        checks.check_distinct(terms)
        if self.weights is not None:
            checks.check_weights(self.weights)
        self._prepare(tuple(terms))

    def _prepare(self, terms: tuple[RandomTerm, ...]) -> None:
        """Attributes that statsmodels' generic code and users look for."""
        response = np.asarray(self.endog, dtype=np.float64)
        if self.offset is not None:
            response = response - self.offset
        X = np.ascontiguousarray(self.exog, dtype=np.float64)
        self.re_terms = tuple(terms[k] for k in lme4_order(terms))
        self._likelihood_data: LikelihoodData | None = LikelihoodData(
            response, X, self.re_terms, self.weights, self._basis
        )
        self._likelihoods: dict[str | Krylov, Likelihood] = {}
        self._marginal_theta: FloatArray | None = None
        self.nobs = len(response)
        self.k_fe = X.shape[1]
        self.k_theta = sum(term.n_theta for term in terms)
        self.df_model = float(self.k_fe - self.k_constant)
        self.df_resid = float(self.nobs - self.k_fe)
        self.lmer_formula = None if self._design is None else self._design.parsed.text
        self.mixedlm_roles: mixedlm.MixedLMRoles | None = None
        self._init_keys += ["re_terms", "weights", "offset"]
        self._data_attr += ["weights", "offset"]

    def _handle_data(
        self,
        endog: Any,
        exog: Any,
        missing: str,
        hasconst: bool | None,
        **kwargs: Any,
    ) -> Any:
        if self._design is None:
            return super()._handle_data(endog, exog, missing, hasconst, **kwargs)
        data = compat.FormulaData(
            endog, exog=exog, missing=missing, hasconst=hasconst, **kwargs
        )
        data.design = self._design
        data.frame = self._design.frame
        return data

    _why_not = clones.REMOVED
    _results_class: type[LMERResults] = LMERResults
    _statistics: LikelihoodStatistics | None = None  # of data read batch by batch

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: Any,
        subset: ArrayLike | None = None,
        drop_cols: Collection[str] | None = None,
        *,
        groups: ArrayLike | str | None = None,
        re_formula: str | None = None,
        vc_formula: Mapping[str, str] | None = None,
        use_sparse: bool = False,
        weights: ArrayLike | str | None = None,
        offset: ArrayLike | str | None = None,
        missing: str = "drop",
        eval_env: int | Mapping[str, Any] | Any = 0,
        **kwargs: Any,
    ) -> LMER:
        """Build a model from an lme4 formula and data.

        Parameters
        ----------
        formula : str
            ``response ~ fixed + (columns | grouping) + ...``; see the formula page of
            the documentation. The fixed part is patsy's (or formulaic's, as
            statsmodels is set).
        data : DataFrame
            pandas or polars, or a mapping of columns. Data that stay where they are,
            such as Parquet files by their name, are read batch by batch, see
            :func:`sm_lmer.big.model.streamed`.
        subset : array_like, optional
            Rows to use: booleans, or labels of the index.
        drop_cols : collection of str, optional
            Columns to leave out of the fixed part.
        groups : array_like or str, optional
            The random terms as statsmodels' MixedLM has them, instead of bars in the
            formula: the groups, or the name of their column.
        re_formula : str, optional
            With `groups`: columns of unstructured covariance over the groups; a random
            intercept by default if there is no `vc_formula`, else none.
        vc_formula : mapping of str, optional
            With `groups`: by name, columns made within each group whose coefficients
            are independent with one variance, as ``{"a": "0 + C(a)"}``.
        use_sparse : bool
            Of no effect: what is sparse is found out.
        weights : array_like or str, optional
            Precision weights, or an expression in the columns of `data`.
        offset : array_like or str, optional
            Known part of the mean; added to any ``offset(...)`` of the formula.
        missing : {"drop", "raise"}
            What to do with rows that have a missing value in any role.
        eval_env : int or mapping
            Where names that are not columns are looked up: 0 (or 1) in the caller,
            k > 1 in k - 1 frames further up, -1 nowhere, a mapping in itself.

        Returns
        -------
        LMER

        Raises
        ------
        FormulaError
            For a malformed formula; a caret marks the place.
        ValueError
            For unusable data; the message names the column and the remedy.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_pastes()
        >>> model = sml.lmer("strength ~ 1 + (1 | batch/cask)", data)
        >>> [term.name for term in model.re_terms]
        ['cask:batch', 'batch']
        """
        template = kwargs.pop("template", None)
        if template is not None:
            found = clones.on_other_rows(template, data)
            like = clones.formula_arguments(template, data)
            return found or cls.from_formula(data=data, missing=missing, **like)
        names = _caller_names(eval_env)
        roles = None
        if is_source(data):
            from .big.model import streamed

            if any(given is not None for given in (groups, re_formula, vc_formula)):
                raise TypeError(
                    "groups=, re_formula= and vc_formula= go with data in memory; "
                    "write random terms into the formula, as (x | g)."
                )
            return streamed(
                cls,
                formula,
                data,
                subset=subset,
                drop_cols=drop_cols,
                weights=weights,
                offset=offset,
                missing=missing,
                namespace=names,
                **kwargs,
            )
        if any(given is not None for given in (groups, re_formula, vc_formula)):
            if isinstance(subset, str):
                raise TypeError(
                    "the third argument of from_formula is subset; give re_formula= by "
                    "its name."
                )
            formula, data, roles = mixedlm.translate(
                formula, data, groups, re_formula, vc_formula, names
            )
        design = build_design(
            formula,
            data,
            weights=weights,
            offset=offset,
            subset=subset,
            missing=missing,
            drop_cols=drop_cols,
            namespace=names,
        )
        model = cls(
            design.endog,
            design.exog,
            re_terms=design.terms,
            weights=design.weights,
            offset=design.offset,
            design=design,
            formula=design.parsed.fixed_formula,
            **{compat.SPEC: design.specification},
            **kwargs,
        )
        model.formula = design.parsed.fixed_formula
        if roles is not None:
            model.mixedlm_roles = roles.placed(lme4_order(design.terms))
        return model

    # -- the likelihood --------------------------------------------------------

    def likelihood(self, solver: str | Krylov = "auto") -> Likelihood:
        """The engine of this model; built once a solver."""
        self.require_likelihood("its likelihood")
        if solver not in self._likelihoods:
            self._likelihoods[solver] = self._make_likelihood(solver)
        return self._likelihoods[solver]

    def _make_likelihood(self, solver: str | Krylov) -> Likelihood:
        if self._statistics is not None:
            return Likelihood.from_statistics(self._statistics, solver)
        return Likelihood(self.require_rows("its likelihood"), solver)

    def require_likelihood(self, what: str) -> None:
        """Refuse, in words, what needs the likelihood of a model that has none.

        Raises
        ------
        ValueError
            As :meth:`require_rows`; but a model of data read batch by batch has its
            likelihood without rows.
        """
        if self._statistics is None:
            self.require_rows(what)

    def require_rows(self, what: str) -> LikelihoodData:
        """The rows; refuse, in words, what needs them of a model that has none.

        Raises
        ------
        ValueError
            After ``remove_data()``, or for a model evaluated on rows that cannot
            tell its coefficients apart.
        """
        if self._likelihood_data is None:
            raise ValueError(self._why_not.format(what=what))
        return self._likelihood_data

    def criterion(self, theta: ArrayLike, reml: bool = True) -> float:
        """The REML criterion or the deviance (-2 log-likelihood) at theta.

        It is profiled over the fixed effects and the residual variance (Bates et al.
        2015, equations 34 and 41), as R's ``update(m, devFunOnly = TRUE)``.

        Parameters
        ----------
        theta : array_like, shape (k_theta,)
            Free entries of the relative covariance factors, term by term in the
            order of ``re_terms``, each column-major.
        reml : bool

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> model = sml.lmer("Yield ~ 1 + (1 | Batch)", sml.datasets.load_dyestuff())
        >>> round(model.criterion([1.0]), 4)
        319.7924
        """
        return self.likelihood().value(self._theta(theta), reml)

    def gradient(self, theta: ArrayLike, reml: bool = True) -> FloatArray:
        """Gradient of :meth:`criterion`, shape (k_theta,).

        It is analytic, but for sparse solvers, where it comes from central
        differences.
        """
        return self.likelihood().gradient(self._theta(theta), reml)

    def _theta(self, theta: ArrayLike) -> FloatArray:
        try:
            values = np.asarray(theta, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise ValueError("theta must be numbers.") from None
        if not np.isfinite(values).all():
            raise ValueError("theta has entries that are missing or infinite.")
        if values.shape != (self.k_theta,):
            raise ValueError(
                f"theta has {values.size} entries; this model has {self.k_theta}."
            )
        return values

    def fit(
        self,
        reml: bool = True,
        *,
        start_params: ArrayLike | None = None,
        method: str | Sequence[str] | None = "bfgs",
        solver: str | Krylov = "auto",
        restarts: int = 0,
        maxiter: int = 500,
        gtol: float | None = None,
        ddf: str = "satterthwaite",
        use_t: bool | None = None,
        cov_type: str = "nonrobust",
        cov_kwds: Mapping[str, Any] | None = None,
        disp: bool = False,
        full_output: bool = True,
        **kwargs: Any,
    ) -> LMERResults:
        """Fit by REML (the default) or maximum likelihood.

        Parameters
        ----------
        reml : bool
        start_params : array_like, shape (k_theta,), optional
            theta to start from. The fixed effects need no start, so a Series of them,
            which statsmodels' generic code passes, is of no effect.
        method : str or sequence of str
            "bfgs" (with the analytic gradient), or for checking "bobyqa" (SciPy's
            COBYQA), "lbfgs", "cg", "nm", "powell"; of several, the first to converge.
        solver : str or Krylov
            How the trailing grouping factors are solved for: "auto", "dense",
            "nested", "sparse", "cholmod", "superlu", or, where nothing can be
            factored, "krylov" (:class:`sm_lmer.api.Krylov` with its settings), whose
            results carry Monte Carlo standard errors.
        restarts : int
            Further searches from random points, for surfaces with several optima.
        maxiter : int
            Largest number of iterations of a search.
        gtol : float, optional
            Newton decrement at which a search stops.
        ddf : str
            Degrees of freedom of tests and intervals of the fixed effects:
            "satterthwaite", "kenward-roger" (with adjusted standard errors),
            "residual", "inner-outer" or "normal".
        use_t : bool, optional
            False for the normal distribution, as ``ddf="normal"``.
        cov_type : {"nonrobust", "cluster"}
            "cluster" for covariances of the fixed effects that are robust to any
            correlation within clusters.
        cov_kwds : mapping, optional
            For "cluster": ``groups``, ``kind`` and ``ddf``; see
            :func:`sm_lmer.inference.robust.robust_inference`.
        disp : bool
            Print a line an evaluation: its number, the criterion, theta.
        full_output : bool
            Of no effect: the results always have their ``fit_log``.

        Returns
        -------
        LMERResults

        Warns
        -----
        SingularFitWarning
            If a combination of random effects has no variance.
        ConvergenceWarning
            If the search stopped short of an optimum.
        """
        if kwargs:
            raise TypeError(mixedlm.unknown_arguments("LMER.fit", kwargs))
        if not isinstance(reml, (bool, np.bool_)):
            raise TypeError(f"reml is True or False, not {type(reml).__name__}.")
        if use_t is not None and use_t != (ddf != "normal"):
            if use_t:
                raise ValueError("use_t=True needs another ddf than 'normal'.")
            ddf = "normal"
        likelihood = self.likelihood(solver)
        check_ddf(likelihood, ddf)
        fixed = likelihood.fixed
        checks.check_residual(fixed.residual, fixed.spread, checks.FIXED_PERFECT)
        start = None
        if start_params is not None and not self._of_fixed_effects(start_params):
            start = likelihood.to_inner(self._theta(start_params))
        optimum, solution, used = find_optimum(
            likelihood, reml, start, method, restarts, maxiter, gtol, disp
        )
        results = self._results_class(self, solution, optimum, solver, ddf, used)
        if np.sqrt(solution.r2) < checks.NEARLY_PERFECT * fixed.spread:
            conditional = results._conditional_residual()
            checks.check_residual(conditional, fixed.spread, checks.RANDOM_PERFECT)
        results.warn()
        if cov_type != "nonrobust" or cov_kwds:
            return results.get_robustcov_results(cov_type, use_t, **(cov_kwds or {}))
        return LMERResultsWrapper(results)

    def _of_fixed_effects(self, values: Any) -> bool:
        names = list(self.exog_names)
        return isinstance(values, pd.Series) and list(values.index) == names

    def with_response(self, endog: FloatArray) -> LMER:
        """The same model of another response, sharing all that does not depend on it.

        Parameters
        ----------
        endog : ndarray, shape (nobs,)
        """
        data = self.require_rows("a fit to another response")
        checks.check_response(endog, self.k_fe)
        other = copy.copy(self)
        other.data = copy.copy(self.data)
        other.data.endog = other.endog = endog
        response = endog if self.offset is None else endog - self.offset
        other._likelihood_data = replace(data, y=response)
        other._likelihoods = {
            name: likelihood.with_response(response)
            for name, likelihood in self._likelihoods.items()
        }
        return other

    def design_report(self) -> DesignReport:
        """Which grouping factors are nested or crossed, in words, before any fit.

        See :func:`sm_lmer.inference.design_report.design_report`.
        """
        from .inference.design_report import design_report

        return design_report(self)

    def fit_regularized(self, *args: Any, **kwargs: Any) -> None:
        """Not available for mixed models."""
        raise NotImplementedError("LMER has no regularised fit.")

    # -- prediction ------------------------------------------------------------

    def predict(self, params: ArrayLike, exog: ArrayLike | None = None) -> FloatArray:
        """The fixed part of the mean, ``exog @ params``.

        Parameters
        ----------
        params : array_like, shape (p,)
        exog : array_like, shape (m, p), optional
            The model's own, with its offset, by default.
        """
        if exog is None:
            mean = self.exog @ np.asarray(params)
            return mean if self.offset is None else mean + self.offset
        X = np.asarray(exog, dtype=np.float64)
        mean_new: FloatArray = X @ np.asarray(params)
        return mean_new

    def get_distribution(
        self,
        params: ArrayLike,
        scale: float,
        exog: ArrayLike | None = None,
        theta: ArrayLike | None = None,
    ) -> Marginal:
        """The marginal distribution of the response, from which to draw.

        Its random effects are drawn too, as in statsmodels' MixedLM; statsmodels'
        mediation analysis draws its mediator so.

        Parameters
        ----------
        params : array_like, shape (p,)
            Fixed effects.
        scale : float
            Residual variance.
        exog : array_like, shape (m, p), optional
            Rows of the fixed part, the model's own by default. As many rows as the
            model has stay in its groups, and the random columns that are columns of
            `exog` move with it. Others are each in a group of its own.
        theta : array_like, shape (k_theta,), optional
            Relative covariance parameters; by default those of this model's REML
            fit, which is made once.

        Returns
        -------
        Marginal
            With methods ``rvs(size, rng=...)``, ``var()``, and attribute ``mean``.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_dyestuff()
        >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
        >>> draws = res.model.get_distribution(res.params, res.scale)
        >>> draws.rvs(rng=1).shape, round(float(draws.var()[0]), 1)
        ((30,), 4215.3)
        """
        if theta is None:
            if self._marginal_theta is None:
                self._marginal_theta = self.fit().theta
            theta = self._marginal_theta
        return marginal(self, params, scale, exog, self._theta(theta))

    # -- copies ----------------------------------------------------------------

    def _get_init_kwds(self) -> dict[str, Any]:
        return {**super()._get_init_kwds(), "template": self}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_likelihoods": {}}


def _caller_names(eval_env: Any) -> dict[str, Any]:
    """Names in the scope of whoever called ``from_formula``."""
    if isinstance(eval_env, Mapping):
        return dict(eval_env)
    if hasattr(eval_env, "namespace"):  # a patsy EvalEnvironment
        return compat.environment_names(eval_env)
    if eval_env == -1:
        return {}
    frame = sys._getframe(2 + max(0, (eval_env or 0) - 1))
    return {**frame.f_globals, **frame.f_locals}
