"""Draws of responses from a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import components
from ..core.terms import FloatArray
from .nesting import unwrapped

if TYPE_CHECKING:
    from ..results import LMERResults

RandomSource = int | np.random.Generator | np.random.RandomState | None
"""What ``rng=`` takes."""


def generator(rng: RandomSource) -> np.random.Generator | np.random.RandomState:
    """A source of random numbers: `rng` itself, or a new one with it as the seed."""
    if isinstance(rng, (np.random.Generator, np.random.RandomState)):
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(
            f"rng is a non-negative int, a numpy Generator or RandomState, or None, "
            f"not {rng!r}."
        ) from None


def number_of_draws(nsim: int) -> int:
    """A number of simulations.

    Raises
    ------
    ValueError
        If it is not a positive integer.
    """
    if not isinstance(nsim, (int, np.integer)) or nsim < 1:
        raise ValueError(f"nsim is a number of draws, at least 1, not {nsim!r}.")
    return int(nsim)


def simulated_responses(
    results: LMERResults, nsim: int, rng: RandomSource = None
) -> FloatArray:
    """Draw responses with new random effects and new errors.

    ``y* = X beta + offset + Z b* + e*`` with ``b*`` from the estimated covariances and
    ``e*_i`` of variance ``sigma^2 / w_i``. Each draw takes its own stretch of the
    random numbers, so that several calls with one generator give the same responses
    as one call for all.

    Parameters
    ----------
    results : LMERResults
    nsim : int
    rng : int, Generator, RandomState or None

    Returns
    -------
    ndarray, shape (n, nsim)
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    model = results.model
    sizes = [term.factor.n_levels * term.q for term in model.re_terms]
    draws = generator(rng).standard_normal((nsim, sum(sizes) + model.nobs))
    y = results.sigma * draws[:, sum(sizes) :].T
    if model.weights is not None:
        y /= np.sqrt(model.weights)[:, None]
    y += model.predict(results.params)[:, None]
    start = 0
    Ts = components.templates(results)
    for term, T, size in zip(model.re_terms, Ts, sizes, strict=True):
        u = draws[:, start : start + size].reshape(nsim, term.factor.n_levels, term.q)
        b = (results.sigma * u @ T.T).transpose(1, 2, 0)
        Z = np.asarray(term.Z)
        for j in range(term.q):
            y += Z[:, j, None] * b[term.factor.codes, j]
        start += size
    return y
