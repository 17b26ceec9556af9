"""Degrees of freedom of tests of the fixed effects: one seam for all methods.

An :class:`Inference` answers three questions for any contrast: which covariance
matrix its standard error comes from, how many degrees of freedom a t test of one row
has, and what scales an F test of several rows and with how many denominator degrees
of freedom. Tests, intervals, tables and marginal means ask nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.terms import FloatArray

if TYPE_CHECKING:
    from ..results import LMERResults

METHODS = ("satterthwaite", "kenward-roger", "residual", "inner-outer", "normal")
"""What ``ddf=`` takes."""

ALIASES = {
    "kr": "kenward-roger",
    "kenward_roger": "kenward-roger",
    "containment": "inner-outer",
    "asymptotic": "normal",
    "z": "normal",
}

EQUAL = 1e-8
"""Difference below which lmerTest takes degrees of freedom for equal."""


@dataclass(frozen=True, eq=False)
class Inference(ABC):
    """How contrasts of the fixed effects are tested.

    Attributes
    ----------
    vcov : ndarray, shape (p, p)
        Covariance of the estimated fixed effects.
    notes : tuple of str
        What a reader must know besides the numbers.
    """

    vcov: FloatArray
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    method: str = field(default="", init=False)

    @property
    def use_t(self) -> bool:
        """Whether tests have finite degrees of freedom."""
        return True

    def with_vcov(self, vcov: FloatArray) -> Inference:
        """The same degrees of freedom with another covariance of the estimates."""
        return replace(self, vcov=np.asarray(vcov, dtype=np.float64))

    @abstractmethod
    def each(self, L: FloatArray) -> FloatArray:
        """Degrees of freedom of the t test of each row of L, shape (q, p)."""

    @abstractmethod
    def joint(self, L: FloatArray) -> tuple[float, float]:
        """Denominator degrees of freedom of the F test of ``L beta = 0``; its scale.

        The scale multiplies the Wald statistic over its numerator degrees of freedom.
        The rows of L are independent.
        """


@dataclass(frozen=True, eq=False)
class Normal(Inference):
    """Asymptotic tests: the normal and chi-square distributions."""

    method: str = field(default="normal", init=False)

    @property
    def use_t(self) -> bool:
        """They have no degrees of freedom."""
        return False

    def each(self, L: FloatArray) -> FloatArray:
        """Infinite."""
        return np.full(len(L), np.inf)

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """Infinite."""
        return np.inf, 1.0


@dataclass(frozen=True, eq=False)
class Residual(Inference):
    """The number of rows less that of fixed effects, for every contrast."""

    df: float
    method: str = field(default="residual", init=False)

    def each(self, L: FloatArray) -> FloatArray:
        """The same for all rows."""
        return np.full(len(L), self.df)

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """The same for all contrasts."""
        return self.df, 1.0


def pooled(nu: FloatArray) -> float:
    """Denominator degrees of freedom of a sum of independent t^2 statistics.

    The F distribution with the same mean as the average of F(1, nu_m) variables
    (Fai and Cornelius 1996), with lmerTest's rules: the mean if all are equal, 2 if
    one of several is at most 2.
    """
    nu = np.asarray(nu, dtype=np.float64)
    if len(nu) == 1 or np.all(np.abs(np.diff(nu)) < EQUAL):
        return float(nu.mean())
    if np.any(nu <= 2.0):
        return 2.0
    mean = float((nu / (nu - 2.0)).sum())
    return 2.0 * mean / (mean - len(nu))


def named(ddf: str) -> str:
    """The method's own name for one of its names.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    name = ALIASES.get(str(ddf).lower(), str(ddf).lower())
    if name not in METHODS:
        raise ValueError(f"unknown ddf {ddf!r}; choose one of {', '.join(METHODS)}.")
    return name


def model_vcov(results: LMERResults) -> FloatArray:
    """Covariance of the estimated fixed effects by the model, shape (p, p)."""
    return results.scale * np.asarray(results.normalized_cov_params)


def make_inference(results: LMERResults, ddf: str) -> Inference:
    """The inference of a fit by one of the :data:`METHODS`.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    method = named(ddf)
    vcov = model_vcov(results)
    if method == "normal":
        return Normal(vcov)
    if method == "residual":
        return Residual(vcov, float(results.df_resid))
    if method == "satterthwaite":
        from .satterthwaite import satterthwaite

        return satterthwaite(results)
    if method == "inner-outer":
        from .containment import inner_outer

        return inner_outer(results)
    from .kenward_roger import kenward_roger

    return kenward_roger(results)
