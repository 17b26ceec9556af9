"""Draws of responses from a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .. import components
from ..core.terms import FloatArray, IntArray, theta_parts
from ..formula.groups import MISSING, evaluate_group
from .nesting import unwrapped
from .prediction import Rows, evaluate
from .prediction_errors import observation_weights
from .re_form import design_of, random_columns, term_design

if TYPE_CHECKING:
    from ..model import LMER
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


def seeds_from(rng: RandomSource) -> int:
    """One seed from which the random numbers of many replicates follow.

    A seed is itself; a generator gives one, so that each call has other numbers.
    """
    if rng is None:
        return int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, np.random.RandomState):
        return int(rng.randint(2**31)) * 2**31 + int(rng.randint(2**31))
    generator(rng)
    return int(rng)


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


# -- as users ask for them -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A random term whose effects are drawn anew.

    Attributes
    ----------
    codes : ndarray of int, shape (m,)
    levels : int
        Number of levels of these codes.
    Z : ndarray, shape (m, q)
    T : ndarray, shape (q, q)
        Relative covariance factor.
    """

    codes: IntArray
    levels: int
    Z: FloatArray
    T: FloatArray

    @property
    def size(self) -> int:
        """Number of random effects."""
        return self.levels * self.Z.shape[1]


def simulate(
    results: Any,
    nsim: int = 1,
    use_u: bool = False,
    re_form: Any = False,
    exog: Any = None,
    params: Mapping[str, ArrayLike] | None = None,
    rng: RandomSource = None,
    *,
    offset: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
) -> Any:
    """Simulate responses from a fit, as R's ``simulate`` of an lmer fit.

    Parameters
    ----------
    results : LMERResults
    nsim : int
        Number of responses.
    use_u : bool
        Whether all random effects stay at their conditional modes, as
        ``re_form=None``.
    re_form : False, None or str
        Which random effects stay: none (False, the default), all (None), or those of
        a formula such as "~ (1 | plate)". The others are drawn anew.
    exog : DataFrame or mapping, optional
        New data; the model's own by default. Levels the model has not seen get random
        effects drawn anew, also where the known ones stay at their modes; rows that
        share such a level share its effects, and a row whose group is missing has
        one of its own.
    params : mapping, optional
        Other values of the parameters: "beta" (p,), "theta" (k_theta,), "sigma". The
        modes stay those of the fit.
    rng : int, Generator, RandomState or None
    offset, weights
        Of the new data, see ``get_prediction``: the variance of the errors is
        ``sigma^2 / weight``.

    Returns
    -------
    DataFrame or ndarray, shape (m, nsim)
        A column a response, "sim_1", "sim_2", ...; with the index of the data. Rows
        with missing values are nan.

    Raises
    ------
    ValueError
        As ``predict``; for parameters of the wrong length.

    Examples
    --------
    >>> import pandas as pd, sm_lmer.api as sml
    >>> from sm_lmer.inference.simulate import simulate
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> simulate(res, 3, rng=1).shape
    (180, 3)
    >>> new = pd.DataFrame({"Days": [0, 9], "Subject": ["new", "new"]})
    >>> y = simulate(res, 4000, exog=new, rng=1)
    >>> print(round(float(y.T.corr().iloc[0, 1]), 1))
    0.3
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    model = results.model
    if exog is None:
        model.require_rows("a simulation without new data")
        if weights is not None:
            raise ValueError(
                "weights go with new data; the model's own rows have theirs already."
            )
    beta, Ts, sigma = _parameters(results, params)
    fixed = _kept_terms(model, None if use_u else re_form)
    rows = evaluate(model, exog, True, None, True, offset)
    if model.re_terms and not rows.terms:
        raise ValueError(
            "columns of the fixed part alone have no groups; simulate from new data "
            "in the columns of a model built from a formula."
        )
    mean = rows.X @ beta + rows.offset
    drawn = []
    for term in rows.terms:
        k = term.position
        labels, _ = _labels(model, rows, k)
        new = labels
        if k in fixed:
            known = term.codes >= 0
            b = results._solution.b[k][np.maximum(term.codes, 0)]
            mean = mean + np.where(known, np.einsum("mq,mq->m", term.Z, b), 0.0)
            new = np.where(known, -1, labels)
        if (new >= 0).any():
            drawn.append(_compact(new, term.Z, Ts[k]))
    own = model.weights if exog is None else None
    w = observation_weights(results, rows, weights if own is None else own)
    y = _draws(drawn, mean, sigma, w, nsim, rng)
    y[~rows.complete] = np.nan
    if rows.labels is None:
        return y
    names = [f"sim_{j + 1}" for j in range(nsim)]
    return pd.DataFrame(y, index=rows.labels, columns=names)


def _draws(
    drawn: list[_Drawn],
    mean: FloatArray,
    sigma: float,
    weights: FloatArray,
    nsim: int,
    rng: RandomSource,
) -> FloatArray:
    """Responses, shape (m, nsim); each takes its own stretch of random numbers."""
    m, total = len(mean), sum(term.size for term in drawn)
    numbers = generator(rng).standard_normal((nsim, total + m))
    y = sigma * numbers[:, total:].T / np.sqrt(weights)[:, None] + mean[:, None]
    start = 0
    for term in drawn:
        u = numbers[:, start : start + term.size]
        b = sigma * u.reshape(nsim, term.levels, -1) @ term.T.T
        b = np.concatenate([b, np.zeros((nsim, 1, b.shape[2]))], axis=1)  # code -1
        for j in range(term.Z.shape[1]):
            y += term.Z[:, j, None] * b[:, term.codes, j].T
        start += term.size
    return y


def _compact(codes: IntArray, Z: FloatArray, T: FloatArray) -> _Drawn:
    """A term on the levels that occur; -1 is no level."""
    used, inverse = np.unique(codes, return_inverse=True)
    inverse = inverse.reshape(-1) - int(used[0] == -1)
    return _Drawn(inverse, len(used) - int(used[0] == -1), Z, T)


def _labels(model: LMER, rows: Rows, k: int) -> tuple[IntArray, int]:
    """Levels of a term at the rows, new ones after the known; and their number."""
    term = next(t for t in rows.terms if t.position == k)
    known = model.re_terms[k].factor.n_levels
    codes = np.array(term.codes, dtype=np.int64)
    new = np.flatnonzero(codes < 0)
    if len(new) == 0 or rows.frame is None:
        return codes, known
    names, spec = design_of(model).namespace, term_design(model, k).spec
    frame = rows.frame.iloc[new]
    parts = [evaluate_group(e, frame, names).astype(object) for e in spec.factors]
    labels = list(zip(*parts, strict=True))
    seen: dict[Any, int] = {}
    for i, label in zip(new, labels, strict=True):
        alone = codes[i] == MISSING
        codes[i] = known + seen.setdefault(i if alone else label, len(seen))
    return codes, known + len(seen)


def _kept_terms(model: LMER, re_form: Any) -> set[int]:
    """Terms whose random effects stay at their modes."""
    columns = random_columns(model, re_form)
    for k, chosen in columns.items():
        term = model.re_terms[k]
        if len(chosen) != term.q:
            raise ValueError(
                f"re_form has some columns of {term.text} only; effects of one term "
                "are drawn, or stay, together."
            )
    return set(columns)


def _parameters(
    results: LMERResults, params: Mapping[str, ArrayLike] | None
) -> tuple[FloatArray, list[FloatArray], float]:
    """beta, the templates and sigma to simulate from."""
    given = dict(params or {})
    unknown = set(given) - {"beta", "theta", "sigma"}
    if unknown:
        raise ValueError(
            f"params has {', '.join(sorted(map(str, unknown)))}; what it takes is "
            "beta, theta and sigma."
        )
    model = results.model
    beta = np.asarray(given.get("beta", results.params), dtype=np.float64).reshape(-1)
    if len(beta) != len(results.params):
        raise ValueError(
            f"params['beta'] has {len(beta)} entries; the model has "
            f"{len(results.params)} fixed effects."
        )
    theta = model._theta(given.get("theta", results.theta))
    sigma = float(np.asarray(given.get("sigma", results.sigma)))
    if not (np.isfinite(beta).all() and np.isfinite(sigma) and sigma >= 0):
        raise ValueError("params must be finite, and sigma not negative.")
    parts = theta_parts(model.re_terms)
    return beta, [term.template(theta[part]) for term, part in parts], sigma
