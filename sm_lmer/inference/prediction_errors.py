r"""Standard errors and intervals of predictions.

The error of a prediction :math:`x'\hat\beta + z'\hat b` of
:math:`x'\beta + z'b` has the variance

.. math:: \sigma^2 c' \begin{pmatrix} X'WX & X'WZ\Lambda \\
    \Lambda'Z'WX & \Lambda'Z'WZ\Lambda + I \end{pmatrix}^{-1} c, \qquad
    c = (x, \Lambda'z),

from Henderson's mixed-model equations (Henderson 1975), in which theta is taken as
known. A level that the model has not seen adds :math:`z'\Sigma z`, a new observation
:math:`\sigma^2/w`. The equations are eliminated as in the likelihood
(docs/numerics.md): the leading grouping block, the trailing ones, the fixed part; each
leaves a square, and the variance is their sum, so it is never negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from statsmodels.regression._prediction import PredictionResults

from ..compat import statsmodels as compat
from ..core.terms import FloatArray, IntArray
from ..formula.frames import as_pandas, one_a_row, suggestion
from ..formula.grammar import variables
from .ddf import model_vcov
from .hypotheses import t_quantile
from .prediction import Rows, TermRows, evaluate
from .satterthwaite import at_the_estimate, unit_directions

if TYPE_CHECKING:
    from ..core.criterion import Evaluation
    from ..core.likelihood import Likelihood
    from ..linalg import Factor
    from ..results import LMERResults
    from .ddf import Inference

STEP = 1e-4
"""Of central differences, where the inverse Hessian is the identity."""

INVERSE_LIMIT = 5_000
"""Columns up to which the trailing matrix may be inverted."""

ENTRIES_AT_ONCE = 4_000_000
"""Of dense matrices that are held in memory together."""


def get_prediction(
    results: LMERResults,
    exog: Any = None,
    transform: bool = True,
    re_form: Any = None,
    allow_new_levels: bool = False,
    offset: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    ddf: str | None = None,
) -> MixedPredictionResults:
    """Predictions with standard errors and intervals.

    The mean is that of :meth:`~sm_lmer.results.LMERResults.predict`. Its standard
    error is that of ``x'beta + z'b``: the joint covariance of the estimated fixed
    effects and of the errors of the conditional modes, given theta; for a level the
    model has not seen, the variance ``z' Sigma z`` of its random effects comes on top,
    while known levels of other grouping factors keep theirs. The uncertainty of the
    estimated variance components is not part of it; of that, only the degrees of
    freedom take account.

    Parameters
    ----------
    results : LMERResults
    exog, transform, re_form, allow_new_levels, offset
        As for ``predict``. With ``re_form=False`` the target is the mean of the
        population, with a formula of some of the terms the mean with the others at
        zero. For an observation in a group drawn anew, whose interval is to hold the
        variance between groups, give the new data a label that is not known.
    weights : float, array_like or str, optional
        Precision weights of new observations, a number, one a row, or an expression
        in the columns of the new data. By default 1, and the model's own for its own
        rows.
    ddf : str, optional
        Method for the degrees of freedom of intervals, see ``inference``. For rows
        with random effects, "satterthwaite" and "kenward-roger" both match the
        variance of the whole prediction, from differences along theta; that reduces
        to the usual degrees of freedom where the row has no random effects. The
        other methods give the degrees of freedom of the fixed part. Kenward and
        Roger's adjusted covariance holds for rows without a known level.

    Returns
    -------
    MixedPredictionResults
        A PredictionResults of statsmodels: ``predicted_mean``, ``se_mean``,
        ``se_obs``, ``conf_int(obs=False, alpha=0.05)`` and
        ``summary_frame(alpha=0.05)`` with columns mean, mean_se, mean_ci_lower,
        mean_ci_upper, obs_ci_lower and obs_ci_upper; ``df`` and ``df_obs``, of new
        observations, have shape (m,). Rows with missing values are nan.

    Raises
    ------
    ValueError
        As ``predict``; for weights that are not positive; for predictions with known
        levels after ``remove_data()``.

    References
    ----------
    Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a
    selection model. Biometrics 31(2).

    Examples
    --------
    >>> import pandas as pd, sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> new = pd.DataFrame({"Days": [10, 10], "Subject": ["308", "new"]})
    >>> prediction = res.get_prediction(new, allow_new_levels=True)
    >>> print(prediction.summary_frame()[["mean", "mean_se"]].round(2).to_string())
         mean  mean_se
    0  450.33    15.85
    1  356.08    67.59
    """
    rows = evaluate(results.model, exog, transform, re_form, allow_new_levels, offset)
    own = results.model.weights if exog is None else None
    w = observation_weights(results, rows, own if weights is None else weights)
    inference = results.inference(ddf)
    finite = rows.finite()
    variance, df, df_obs = np.full((3, len(finite)), np.nan)
    if finite.any():
        chosen = _take(rows, finite)
        errors = _errors(results, chosen, w[finite], inference)
        variance[finite], df[finite], df_obs[finite] = errors
    return MixedPredictionResults(
        rows.mean(results),
        variance,
        results.scale / w,
        df=df if inference.use_t else None,
        dist="t" if inference.use_t else "norm",
        row_labels=rows.labels,
        df_obs=df_obs if inference.use_t else None,
    )


class MixedPredictionResults(PredictionResults):
    """statsmodels' predictions, with degrees of freedom of new observations.

    Attributes
    ----------
    df, df_obs : ndarray, shape (m,), or None
        Degrees of freedom of the intervals of means and of new observations; None
        where these are normal.
    """

    def __init__(self, *args: Any, df_obs: FloatArray | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.df_obs = df_obs

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Intervals of the means, or of new observations, shape (m, 2)."""
        if not obs or self.df_obs is None:
            return np.asarray(super().conf_int(obs=obs, alpha=alpha))
        half = t_quantile(1.0 - alpha / 2.0, self.df_obs) * self.se_obs
        return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])


def _take(rows: Rows, chosen: np.ndarray) -> Rows:
    """Some of the rows."""
    return Rows(
        X=rows.X[chosen],
        terms=tuple(
            TermRows(t.position, t.codes[chosen], t.Z[chosen]) for t in rows.terms
        ),
        offset=rows.offset[chosen],
        complete=rows.complete[chosen],
        labels=None,
    )


def observation_weights(
    results: LMERResults, rows: Rows, weights: ArrayLike | str | None
) -> FloatArray:
    """Precision weights of new observations, nan where they are missing."""
    m = len(rows.complete)
    if weights is None:
        return np.ones(m)
    if isinstance(weights, str):
        values = _expression(results, rows, weights)
    elif np.ndim(weights) == 0:
        values = np.full(m, float(np.asarray(weights)))
    else:
        index = np.arange(m) if rows.labels is None else rows.labels
        values = one_a_row(weights, index, "weights")
    if (values <= 0).any():
        raise ValueError(
            "weights of new observations must be positive; the residual variance is "
            "sigma^2 / weight."
        )
    return values


def _expression(results: LMERResults, rows: Rows, weights: str) -> FloatArray:
    """Weights by an expression in the columns of the new data."""
    if rows.frame is None:
        raise ValueError(
            f"weights={weights!r} is an expression in the columns of new data; pass "
            "these as exog, or weights as numbers."
        )
    design = results.model._design
    names = {} if design is None else design.namespace
    used = [n for n in variables(weights) if n in rows.frame.columns or n not in names]
    for name in used:
        if name not in rows.frame.columns:
            raise ValueError(
                f"the new data have no column {name!r}, which weights needs; "
                f"{suggestion(name, rows.frame.columns)}"
            )
    frame = as_pandas(rows.frame[used])
    for name in used:
        if frame[name].dtype.kind not in "iufb":
            raise ValueError(
                f"column {name!r} of the new data, which weights needs, is not "
                "numeric; convert it."
            )
    _, values, _ = compat.build_matrices(f"0 + I({weights})", frame, names)
    return np.asarray(values, dtype=np.float64)[:, 0]


# -- variances and degrees of freedom ----------------------------------------------


Errors = tuple[FloatArray, FloatArray, FloatArray]
"""Variances of means, their degrees of freedom, and those of new observations."""


def _errors(
    results: LMERResults, rows: Rows, weights: FloatArray, inference: Inference
) -> Errors:
    """Variances of the errors of means, and degrees of freedom."""
    X = rows.X
    if not rows.terms:
        variance = np.einsum("mi,ij,mj->m", X, inference.vcov, X, optimize=True)
        df = _each(results, inference, X)
        return variance, df, df
    if getattr(results.model, "exog", None) is None:
        raise ValueError(
            "standard errors of predictions with random effects need the model's data, "
            "which remove_data() removed; use re_form=False."
        )
    likelihood, inner = at_the_estimate(results)
    targets = _targets(likelihood, rows)
    if inference.method in ("satterthwaite", "kenward-roger"):
        errors = _satterthwaite(likelihood, inner, targets, weights, results.reml)
    else:
        _, variance = _joint(likelihood, inner, targets, results.reml)
        df = _each(results, inference, X)
        errors = variance, df, df
    without = np.all([term.codes < 0 for term in rows.terms], axis=0)
    if without.any():
        x = X[without]
        own = model_vcov(results)
        more = inference.vcov - own
        errors[0][without] += np.einsum("mi,ij,mj->m", x, more, x, optimize=True)
    return errors


def _each(results: LMERResults, inference: Inference, X: FloatArray) -> FloatArray:
    """Degrees of freedom of the fixed part, those of sigma where it is empty."""
    df = np.full(len(X), results.df_resid if inference.use_t else np.inf)
    varies = (X != 0).any(axis=1)
    if varies.any():
        df[varies] = inference.each(X[varies])
    return df


def _joint(
    likelihood: Likelihood, inner: FloatArray, targets: Targets, reml: bool
) -> tuple[float, FloatArray]:
    """The residual variance and the variances of the errors, in inner coordinates."""
    at = likelihood.evaluate(likelihood.inner_templates(inner), reml)
    return at.sigma2, at.sigma2 * relative_variance(likelihood, at, targets)


def _satterthwaite(
    likelihood: Likelihood,
    inner: FloatArray,
    targets: Targets,
    weights: FloatArray,
    reml: bool,
) -> Errors:
    """Variances by Henderson's equations, and Satterthwaite's degrees of freedom.

    These are 1 / (1 / df + |gradient of log variance|^2) along directions in which
    the inverse Hessian of the profiled criterion is the identity, with sigma profiled
    out, as for contrasts of the fixed effects.
    """
    sigma2, v = _joint(likelihood, inner, targets, reml)
    v_obs = v + sigma2 / weights
    directions, _ = unit_directions(likelihood, inner, reml)
    mean = np.full(len(v), 1.0 / (likelihood.n - (targets.X.shape[1] if reml else 0)))
    obs = mean.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for move in STEP * directions.T:
            above_sigma2, above = _joint(likelihood, inner + move, targets, reml)
            below_sigma2, below = _joint(likelihood, inner - move, targets, reml)
            slope = (above - below) / (2.0 * STEP)
            noise = (above_sigma2 - below_sigma2) / (2.0 * STEP)
            mean += (slope / v) ** 2
            obs += ((slope + noise / weights) / v_obs) ** 2
    return v, np.where(v > 0, 1.0 / mean, np.inf), 1.0 / obs


# -- Henderson's equations ----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Targets:
    """What is predicted, in the coordinates of the conditioned data.

    Attributes
    ----------
    X : ndarray, shape (m, p)
        Rows of the orthonormal fixed part.
    patterns : tuple of (block, part, codes, Z)
        Distinct combinations of the random part, one entry a term: its block, its
        columns within the block, the levels, shape (k,), and the conditioned columns,
        shape (k, q).
    pattern : ndarray of int, shape (m,)
        Which of them a row has.
    """

    X: FloatArray
    patterns: tuple[tuple[int, slice, IntArray, FloatArray], ...]
    pattern: IntArray


def _targets(likelihood: Likelihood, rows: Rows) -> Targets:
    first, pattern = _distinct(rows)
    places = {
        k: (j, slice(start, start + likelihood.terms[k].q))
        for j, block in enumerate(likelihood.blocks)
        for k, start in zip(block.terms, block.starts, strict=True)
    }
    patterns = []
    for term in rows.terms:
        j, part = places[term.position]
        A = likelihood.As[j][part, part]
        patterns.append((j, part, term.codes[first], term.Z[first] @ A))
    X = rows.X @ likelihood.fixed.basis.C
    return Targets(X, tuple(patterns), pattern)


def _distinct(rows: Rows) -> tuple[IntArray, IntArray]:
    """First row of each distinct random part, and which one each row has."""
    columns = [np.maximum(term.codes, -1)[:, None] for term in rows.terms]
    columns += [term.Z for term in rows.terms]
    _, first, pattern = np.unique(
        np.hstack(columns), axis=0, return_index=True, return_inverse=True
    )
    return first, pattern.reshape(-1)


def relative_variance(
    likelihood: Likelihood, at: Evaluation, targets: Targets
) -> FloatArray:
    """Variances of the errors of predictions over sigma^2, shape (m,).

    Parameters
    ----------
    likelihood : Likelihood
    at : Evaluation
        Its latest.
    targets : Targets
    """
    p, k = len(at.beta), len(targets.patterns[0][2])
    square, shift = np.empty(k), np.empty((k, p))
    inverse = _trailing_inverse(at.factor, likelihood.layout.m, k)
    step = max(1, ENTRIES_AT_ONCE // max(1, likelihood.layout.m))
    for start in range(0, k, step):
        part = slice(start, min(start + step, k))
        square[part], shift[part] = _random_part(likelihood, at, targets, part, inverse)
    x = targets.X - shift[targets.pattern]
    fixed = np.einsum("mi,ij,mj->m", x, at.Fxx_inverse, x, optimize=True)
    return square[targets.pattern] + fixed


def _random_part(
    likelihood: Likelihood,
    at: Evaluation,
    targets: Targets,
    part: slice,
    inverse: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """The squares that the random part leaves, and what it takes from x.

    Returns
    -------
    square : ndarray, shape (k,)
    shift : ndarray, shape (k, p)
    """
    p = len(at.beta)
    (a1, a2), square = _spherical(likelihood, at, targets, part)
    cross = likelihood.cross
    L = len(at.M_inverse)
    half = a1 @ _block_diagonal(at.M_inverse)
    square += _row_sums(half.multiply(a1))
    b1 = half @ _block_diagonal(np.broadcast_to(at.Ts[0].T, (L, *at.Ts[0].shape)))
    shift = b1 @ cross.B1[:, :p]
    if at.factor is not None:
        T2 = likelihood.layout.matrix(at.Ts[1:])
        a2 = sparse.csr_array(a2 - (b1 @ cross.A21.T) @ T2)
        square += _quadratic(at.factor, a2, inverse)
        shift = shift + a2 @ at.U[:, :p]
    return square, shift


def _spherical(
    likelihood: Likelihood, at: Evaluation, targets: Targets, part: slice
) -> tuple[tuple[sparse.csr_array, sparse.csr_array], FloatArray]:
    """Lambda'z of known levels, for the leading and the trailing blocks, sparse.

    The squares of Lambda'z of levels not seen come beside them.
    """
    starts = [0, *(rows.start for rows, _, _ in likelihood.layout.parts)]
    leading = likelihood.blocks[0]
    sizes = (leading.size, likelihood.layout.m)
    k = part.stop - part.start
    square = np.zeros(k)
    entries: tuple[list[Any], list[Any]] = ([], [])
    for j, columns, codes, Z in targets.patterns:
        known = np.flatnonzero(codes[part] >= 0)
        a = Z[part] @ at.Ts[j][columns, columns]
        new = codes[part] < 0
        square[new] += np.einsum("kq,kq->k", a[new], a[new])
        at_level = starts[j] + codes[part][known] * likelihood.blocks[j].q
        for r in range(a.shape[1]):
            cells = (known, at_level + columns.start + r)
            entries[min(j, 1)].append((a[known, r], cells))
    built = [
        _sparse(found, (k, size)) for found, size in zip(entries, sizes, strict=True)
    ]
    return (built[0], built[1]), square


def _sparse(entries: list[Any], shape: tuple[int, int]) -> sparse.csr_array:
    if not entries:
        return sparse.csr_array(shape)
    values = np.concatenate([v for v, _ in entries])
    rows = np.concatenate([cells[0] for _, cells in entries])
    columns = np.concatenate([cells[1] for _, cells in entries])
    return sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()


def _block_diagonal(blocks: FloatArray) -> sparse.csr_array:
    """Blocks of shape (L, q, q) as a sparse matrix."""
    L, q, _ = blocks.shape
    if q == 1:
        return sparse.diags_array(blocks.reshape(-1), format="csr")
    found = sparse.bsr_array((blocks, np.arange(L), np.arange(L + 1)))
    return found.tocsr()


def _row_sums(matrix: sparse.csr_array) -> FloatArray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).reshape(-1)


def _trailing_inverse(factor: Factor | None, m: int, k: int) -> FloatArray | None:
    """S^-1, where it costs less than a solve for each of k columns."""
    if factor is None or m > min(k, INVERSE_LIMIT):
        return None
    return np.asarray(factor.solve(np.eye(m)))


def _quadratic(
    factor: Factor, a: sparse.csr_array, inverse: FloatArray | None
) -> FloatArray:
    """a S^-1 a' for each row of a."""
    if inverse is None:
        right = a.toarray()
        return np.einsum("km,mk->k", right, factor.solve(right.T))
    product = a @ inverse
    rows = np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))
    values = a.data * product[rows, a.indices]
    sums: FloatArray = np.bincount(rows, values, minlength=a.shape[0]).astype(
        np.float64
    )
    return sums
