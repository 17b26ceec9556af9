"""LMER: a linear mixed model in statsmodels' manner."""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.base.model import LikelihoodModel

from . import arrays, checks
from .compat import statsmodels as compat
from .core.conditioning import orthonormal_basis
from .core.fitted import solve_at
from .core.likelihood import Likelihood, LikelihoodData
from .core.optimize import METHODS, LogEntry, optimize
from .core.terms import FloatArray, RandomTerm, lme4_order
from .formula.design import Design, build_design
from .formula.frames import as_pandas
from .results import LMERResults, LMERResultsWrapper


class LMER(LikelihoodModel):
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
        **kwargs: Any,
    ) -> None:
        unknown = set(kwargs) - {"formula", compat.SPEC, "missing_idx"}
        if unknown:
            raise TypeError(
                f"LMER got unknown arguments: {', '.join(sorted(unknown))}."
            )
        if missing not in ("none", "drop", "raise"):
            raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}.")
        if design is None:
            indexed = (endog, exog, groups, exog_re, re_terms, weights, offset)
            arrays.check_indexes(*indexed)
        terms = arrays.random_terms(groups, exog_re, re_terms)
        endog, exog = as_pandas(endog), arrays.two_dimensional(as_pandas(exog))
        extras = {"weights": arrays.vector(weights, "weights")}
        extras["offset"] = arrays.vector(offset, "offset")
        y = arrays.response(endog)
        X = arrays.numbers(exog, "exog")
        n = len(y)
        checks.check_lengths(n, exog, terms, extras)
        names = arrays.column_names(exog)
        mask, counts = checks.missing_rows(y, X, terms, extras, names)
        if counts:
            if missing != "drop":
                checks.refuse_missing(counts)
            endog, exog, terms, extras = arrays.drop_rows(
                ~mask, endog, exog, terms, extras
            )
            y, X = y[~mask], X[~mask]
        self.dropped_rows = counts if design is None else design.dropped
        self.n_data = n if design is None else design.n_data
        basis = orthonormal_basis(X, None)
        exog, self.dropped_columns = arrays.full_rank(exog, basis)
        self._basis = basis.of_kept_columns()
        kwargs.pop("missing_idx", None)
        self._design = design
        if np.shape(exog)[1] == 0:  # statsmodels cannot look for a constant in nothing
            hasconst = False
        super().__init__(endog, exog, missing="none", hasconst=hasconst, **kwargs)
        checks.check_response(self.endog, self.exog.shape[1])
        for term in terms:
            checks.check_term(term)
        checks.check_distinct(terms)
        self.weights, self.offset = extras["weights"], extras["offset"]
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
        self._likelihood_data = LikelihoodData(
            response, X, self.re_terms, self.weights, self._basis
        )
        self._likelihoods: dict[str, Likelihood] = {}
        self.nobs = len(response)
        self.k_fe = X.shape[1]
        self.k_theta = sum(term.n_theta for term in terms)
        self.df_model = float(self.k_fe - self.k_constant)
        self.df_resid = float(self.nobs - self.k_fe)
        self.lmer_formula = None if self._design is None else self._design.parsed.text
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

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: Any,
        subset: ArrayLike | None = None,
        drop_cols: Collection[str] | None = None,
        *,
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
            pandas or polars, or a mapping of columns.
        subset : array_like, optional
            Rows to use: booleans, or labels of the index.
        drop_cols : collection of str, optional
            Columns to leave out of the fixed part.
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
        design = build_design(
            formula,
            data,
            weights=weights,
            offset=offset,
            subset=subset,
            missing=missing,
            drop_cols=drop_cols,
            namespace=_caller_names(eval_env),
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
        return model

    # -- the likelihood --------------------------------------------------------

    def likelihood(self, solver: str = "auto") -> Likelihood:
        """The engine of this model; built once a solver."""
        if solver not in self._likelihoods:
            self._likelihoods[solver] = Likelihood(self._likelihood_data, solver)
        return self._likelihoods[solver]

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
        method: str = "bfgs",
        solver: str = "auto",
        restarts: int = 0,
        maxiter: int = 500,
        gtol: float | None = None,
        ddf: str = "normal",
        cov_type: str = "nonrobust",
        cov_kwds: Mapping[str, Any] | None = None,
        disp: bool = False,
    ) -> LMERResults:
        """Fit by REML (the default) or maximum likelihood.

        Parameters
        ----------
        reml : bool
        start_params : array_like, shape (k_theta,), optional
            theta to start from.
        method : str
            "bfgs" (with the analytic gradient), or for checking "bobyqa" (SciPy's
            COBYQA), "lbfgs", "cg", "nm", "powell".
        solver : {"auto", "dense", "nested", "sparse", "cholmod", "superlu"}
            How the trailing grouping factors are solved for.
        restarts : int
            Further searches from random points, for surfaces with several optima.
        maxiter : int
            Largest number of iterations of a search.
        gtol : float, optional
            Newton decrement at which a search stops.
        ddf : {"normal", "residual"}
            Degrees of freedom of tests and intervals of the fixed effects.
        cov_type : {"nonrobust"}
        disp : bool
            Print a line an evaluation: its number, the criterion, theta.

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
        if method not in METHODS:
            raise ValueError(
                f"unknown method {method!r}; choose one of {', '.join(METHODS)}."
            )
        if cov_type != "nonrobust" or cov_kwds:
            raise NotImplementedError(
                f"cov_type={cov_type!r} is not available for LMER; use 'nonrobust'."
            )
        likelihood = self.likelihood(solver)
        fixed = likelihood.fixed
        checks.check_residual(fixed.residual, fixed.spread, checks.FIXED_PERFECT)
        start = None
        if start_params is not None:
            start = likelihood.to_inner(self._theta(start_params))
        optimum = optimize(
            likelihood,
            reml,
            start=start,
            method=method,
            restarts=restarts,
            maxiter=maxiter,
            gtol=gtol,
            show=_Printer(likelihood) if disp else None,
        )
        theta, Ts = optimum.point.to_user(likelihood)
        solution = solve_at(likelihood, theta, reml, Ts)
        results = LMERResults(self, solution, optimum, solver, ddf, method)
        conditional = np.asarray(results.resid_pearson) * results.sigma
        checks.check_residual(conditional, fixed.spread, checks.RANDOM_PERFECT)
        results.warn()
        return LMERResultsWrapper(results)

    def with_response(self, endog: FloatArray) -> LMER:
        """The same model of another response, sharing all that does not depend on it.

        Parameters
        ----------
        endog : ndarray, shape (nobs,)
        """
        checks.check_response(endog, self.k_fe)
        other = copy.copy(self)
        other.data = copy.copy(self.data)
        other.data.endog = other.endog = endog
        response = endog if self.offset is None else endog - self.offset
        other._likelihood_data = replace(self._likelihood_data, y=response)
        other._likelihoods = {
            name: likelihood.with_response(response)
            for name, likelihood in self._likelihoods.items()
        }
        return other

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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_likelihoods": {}}


class _Printer:
    """Prints the trace of a fit."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    def __call__(self, entry: LogEntry) -> None:
        theta, _ = entry.point.to_user(self.likelihood)
        values = " ".join(f"{t: .6g}" for t in theta)
        print(f"{entry.number:4d}  {entry.value:.8f}  theta = {values}")


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
