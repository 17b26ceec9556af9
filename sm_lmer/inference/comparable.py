"""Fitted models, mixed and linear, by what a comparison asks of them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from statsmodels.regression.linear_model import OLS, WLS, RegressionResults

from ..core.refitting import Refitter
from ..core.terms import FloatArray
from ..errors import SingularFitWarning
from .nesting import Structure, linear_criterion, spanned, structure, unwrapped
from .reduced import description
from .simulate import simulated_responses


@dataclass(frozen=True, eq=False)
class Comparable(ABC):
    """A fitted model by what a comparison asks of it.

    Attributes
    ----------
    name : str
    text : str
        Its formula.
    fit : LMERResults or RegressionResults
    structure : Structure
    y : ndarray, shape (n,)
        The response.
    """

    name: str
    text: str
    fit: Any
    structure: Structure
    y: FloatArray

    @property
    @abstractmethod
    def reml(self) -> bool:
        """Whether the likelihood is the restricted one."""

    @property
    @abstractmethod
    def npar(self) -> int:
        """Number of parameters, the residual variance included."""

    @property
    @abstractmethod
    def llf(self) -> float:
        """Log-likelihood."""

    @abstractmethod
    def by_ml(self) -> Comparable:
        """The model fitted by maximum likelihood."""

    @abstractmethod
    def simulate(
        self, nsim: int, rng: np.random.Generator | np.random.RandomState
    ) -> FloatArray:
        """Responses from the fit, shape (n, nsim)."""

    @abstractmethod
    def deviances(self, Y: FloatArray) -> FloatArray:
        """Deviances of fits to the columns of Y by maximum likelihood."""


class Mixed(Comparable):
    """A linear mixed model."""

    @property
    def reml(self) -> bool:
        return bool(self.fit.reml)

    @property
    def npar(self) -> int:
        return int(self.fit.df)

    @property
    def llf(self) -> float:
        return float(self.fit.llf)

    def by_ml(self) -> Comparable:
        if not self.reml:
            return self
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularFitWarning)
            fit = unwrapped(self.fit.refit_ml())
        return Mixed(self.name, self.text, fit, self.structure, self.y)

    def simulate(
        self, nsim: int, rng: np.random.Generator | np.random.RandomState
    ) -> FloatArray:
        return simulated_responses(self.fit, nsim, rng)

    def deviances(self, Y: FloatArray) -> FloatArray:
        refitter = Refitter(self.fit._likelihood(), np.asarray(self.fit.theta), False)
        return refitter.refit(Y - self.structure.offset[:, None]).value


class Linear(Comparable):
    """A linear model, which has no random effects."""

    @property
    def reml(self) -> bool:
        return False

    @property
    def npar(self) -> int:
        return int(self.fit.model.rank) + 1

    @property
    def llf(self) -> float:
        return -0.5 * linear_criterion(self.structure, self.y, reml=False)

    def by_ml(self) -> Comparable:
        return Linear(self.name, self.text, self.fit, self.structure, self.y)

    def by_reml(self) -> Comparable:
        """The same model by its restricted likelihood."""
        return RestrictedLinear(self.name, self.text, self.fit, self.structure, self.y)

    def simulate(
        self, nsim: int, rng: np.random.Generator | np.random.RandomState
    ) -> FloatArray:
        sigma = np.sqrt(self.fit.ssr / len(self.y))
        draws = rng.standard_normal((nsim, len(self.y))).T
        mean: FloatArray = np.asarray(self.fit.fittedvalues)[:, None]
        return mean + sigma * draws / self.structure.sqrt_weights[:, None]

    def deviances(self, Y: FloatArray) -> FloatArray:
        return np.array([linear_criterion(self.structure, y, False) for y in Y.T])


class RestrictedLinear(Linear):
    """A linear model by its restricted likelihood."""

    @property
    def reml(self) -> bool:
        return True

    @property
    def llf(self) -> float:
        return -0.5 * linear_criterion(self.structure, self.y, reml=True)


def comparable(name: str, results: Any) -> Comparable:
    """A fit as a comparison sees it.

    Raises
    ------
    TypeError
        For anything but results of LMER, OLS or WLS.
    """
    fit = unwrapped(results)
    linear = isinstance(fit, RegressionResults) and type(fit.model) in (OLS, WLS)
    if not linear and not hasattr(fit, "theta"):
        raise TypeError(
            f"anova_lmer compares results of LMER, OLS and WLS; {name} is "
            f"{type(fit).__name__}."
        )
    y = np.asarray(fit.model.endog, dtype=np.float64)
    if linear:
        text = getattr(fit.model, "formula", None)
        columns = " + ".join(map(str, fit.model.exog_names))
        text = text or f"{fit.model.endog_names} ~ {columns}"
        return Linear(name, str(text), fit, structure(fit), y)
    return Mixed(name, description(fit.model), fit, structure(fit), y)


def require_same_rows(models: Sequence[Comparable]) -> None:
    """Refuse models of different rows or responses."""
    counts = [len(model.y) for model in models]
    if len(set(counts)) > 1:
        used = ", ".join(
            f"{m.name} {'uses ' if k == 0 else ''}{n}{' rows' if k == 0 else ''}"
            for k, (m, n) in enumerate(zip(models, counts, strict=True))
        )
        raise ValueError(
            f"the models use different numbers of rows ({used}): fit all on the same "
            f"rows, e.g. data.dropna(subset={_columns(models)})."
        )
    first = models[0]
    for model in models[1:]:
        if not _same_response(first, model):
            raise ValueError(
                f"{first.name} and {model.name} have different responses "
                f"({_response_name(first)}, {_response_name(model)}) or use different "
                "rows; fit both to the same response on the same rows."
            )


def _same_response(a: Comparable, b: Comparable) -> bool:
    """Whether the responses are equal, in whatever order the rows are."""
    if np.array_equal(np.sort(a.y), np.sort(b.y)):
        return True
    one, other = (np.sort(m.y - m.structure.offset) for m in (a, b))
    return bool(np.allclose(one, other, rtol=1e-12, atol=0.0))


def _response_name(model: Comparable) -> str:
    return str(model.fit.model.endog_names)


def _columns(models: Sequence[Comparable]) -> list[str] | str:
    """The columns that the models from formulas use."""
    designs = [getattr(model.fit.model, "_design", None) for model in models]
    names = [str(c) for d in designs if d is not None for c in d.frame.columns]
    return list(dict.fromkeys(n for n in names if "(argument)" not in n)) or "[...]"


def check_criteria(models: list[Comparable]) -> None:
    """Warn of likelihoods that do not compare; linear models follow the mixed ones."""
    mixed = [model for model in models if isinstance(model, Mixed)]
    if mixed and all(model.reml for model in mixed):
        for k, m in enumerate(models):
            if isinstance(m, Linear):
                models[k] = m.by_reml()
    elif any(model.reml for model in models):
        by_reml = ", ".join(model.name for model in models if model.reml)
        warnings.warn(
            f"only {by_reml} by REML: restricted and full likelihoods do not compare; "
            "use refit=True.",
            UserWarning,
            stacklevel=4,
        )
        return
    first = models[0]
    for model in models[1:] if first.reml else ():
        X, other = first.structure.X, model.structure.X
        if not (spanned(X, other) and spanned(other, X)):
            warnings.warn(
                f"{first.name} and {model.name} have different fixed parts, which "
                "restricted likelihoods do not compare; use refit=True.",
                UserWarning,
                stacklevel=4,
            )
            return
