"""Prediction intervals by simulation from the distribution of the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .. import components
from ..core.solving import solve_responses
from ..core.terms import FloatArray, template
from .nesting import unwrapped
from .prediction import evaluate
from .prediction_errors import observation_weights
from .simulate import RandomSource, _labels, generator, number_of_draws

if TYPE_CHECKING:
    from ..results import LMERResults

AT_ONCE = 4_000_000
"""Numbers of a chunk of responses."""


def simulated_intervals(
    results: Any,
    exog: Any = None,
    nsim: int = 1000,
    alpha: float = 0.05,
    *,
    re_form: Any = None,
    allow_new_levels: bool = True,
    residual: bool = True,
    centre: str = "median",
    offset: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    rng: RandomSource = None,
) -> pd.DataFrame:
    """Prediction intervals by simulation, in the manner of merTools' predictInterval.

    Fixed effects and random effects are drawn from their joint distribution around
    the estimates, given theta: the errors of both are those of a fit, at the same
    theta, to a response simulated from the model. The residual standard deviation is
    drawn as sigma sqrt(df / chi2(df)), as in merTools, and so scales these errors too.
    Random effects of levels the model has not seen come from their distribution, the
    same for rows of one such level.

    Parameters
    ----------
    results : LMERResults
    exog, re_form, allow_new_levels, offset, weights
        As for ``get_prediction``.
    nsim : int
        Number of draws.
    alpha : float
        One less the level.
    residual : bool
        Whether the intervals are of new observations; otherwise of their means.
    centre : {"median", "mean"}
        What of the draws is returned as fit.
    rng : int, Generator, RandomState or None

    Returns
    -------
    DataFrame
        Columns fit, lower and upper, with the index of the data.

    Notes
    -----
    merTools draws fixed and random effects independently of each other, which widens
    the intervals, as their errors are negatively correlated, and puts levels it has
    not seen at zero, which narrows them.

    Examples
    --------
    >>> import pandas as pd, sm_lmer.api as sml
    >>> from sm_lmer.inference.simulated_intervals import simulated_intervals
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> new = pd.DataFrame({"Days": [9, 9], "Subject": ["308", "new"]})
    >>> table = simulated_intervals(res, new, nsim=2000, rng=1)
    >>> print((table["upper"] - table["lower"]).round(-1).to_list())
    [120.0, 270.0]
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    if centre not in ("median", "mean"):
        raise ValueError(f"centre is 'median' or 'mean', not {centre!r}.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is between 0 and 1, not {alpha!r}.")
    results.model.require_rows("simulated intervals")
    rows = evaluate(results.model, exog, True, re_form, allow_new_levels, offset)
    rng = generator(rng)
    beta, bs = errors_of_estimates(results, nsim, rng)
    draws = rows.X @ beta
    for term in rows.terms:
        labels, levels = _labels(results.model, rows, term.position)
        b, T = bs[term.position], components.templates(results)[term.position]
        fresh = rng.standard_normal((nsim, levels - len(b), b.shape[1])) @ T.T
        every = np.concatenate([b, results.sigma * fresh.transpose(1, 2, 0)])
        for j in range(b.shape[1]):
            draws += term.Z[:, j, None] * every[labels, j]
    df = results.df_resid
    scale = np.sqrt(df / rng.chisquare(df, nsim))
    if residual:
        own = results.model.weights if exog is None and weights is None else weights
        w = observation_weights(results, rows, own)
        noise = rng.standard_normal((nsim, len(w))).T
        draws += results.sigma * noise / np.sqrt(w)[:, None]
    mean = rows.mean(results)
    draws = mean[:, None] + scale * draws
    ends = np.quantile(draws, [alpha / 2.0, 0.5, 1.0 - alpha / 2.0], axis=1)
    fit = ends[1] if centre == "median" else draws.mean(axis=1)
    index = pd.RangeIndex(len(mean)) if rows.labels is None else rows.labels
    return pd.DataFrame({"fit": fit, "lower": ends[0], "upper": ends[2]}, index=index)


def errors_of_estimates(
    results: LMERResults, nsim: int, rng: np.random.Generator | np.random.RandomState
) -> tuple[FloatArray, list[FloatArray]]:
    """Draws of the errors of the fixed effects and of the conditional modes.

    For a simulated response, the random effects behind it less their modes have the
    covariance of Henderson's equations, jointly with the fixed effects' errors.

    Returns
    -------
    beta : ndarray, shape (p, nsim)
    bs : list of ndarray, shape (levels, q, nsim)
        One a random term.
    """
    model, likelihood = results.model, results._likelihood()
    _, Ts = results._optimum.point.to_user(likelihood)
    at = likelihood.evaluate(Ts, results.reml)
    terms = model.re_terms
    betas, bs = [], [[] for _ in terms]  # type: ignore[var-annotated]
    chunk = max(1, AT_ONCE // model.nobs)
    for start in range(0, nsim, chunk):
        R = min(chunk, nsim - start)
        Y = rng.standard_normal((R, model.nobs)).T * results.sigma
        if model.weights is not None:
            Y /= np.sqrt(model.weights)[:, None]
        effects = []
        for term, T in zip(terms, components.templates(results), strict=True):
            u = rng.standard_normal((R, term.factor.n_levels, term.q))
            b = results.sigma * (u @ T.T).transpose(1, 2, 0)
            for j, column in enumerate(np.asarray(term.Z).T):
                Y += column[:, None] * b[term.factor.codes, j]
            effects.append(b)
        beta, us = solve_responses(likelihood, at, Y)
        betas.append(-beta)
        for block, u in zip(likelihood.blocks, us, strict=True):
            modes = template(block, results.theta) @ u
            for k, first in zip(block.terms, block.starts, strict=True):
                own = modes[:, first : first + terms[k].q]
                bs[k].append(effects[k] - own)
    return np.hstack(betas), [np.concatenate(b, axis=2) for b in bs]
