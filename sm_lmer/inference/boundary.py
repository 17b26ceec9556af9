"""Tests of variances that are zero under the null hypothesis.

There the parameter is on the boundary of its space, and the likelihood-ratio statistic
does not have a chi-square distribution: asymptotically it has a mixture of several
(Self and Liang 1987; Stram and Lee 1994), and for one variance component of a linear
model its exact distribution can be simulated (Crainiceanu and Ruppert 2004).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats
from statsmodels.regression.linear_model import RegressionResults

from ..core.conditioning import orthonormal_basis
from ..core.terms import FloatArray, RandomTerm
from ..errors import SingularFitWarning
from .nesting import (
    Structure,
    added_variances,
    holds,
    linear_criterion,
    spanned,
    structure,
    unwrapped,
)
from .simulate import RandomSource, generator, number_of_draws

if TYPE_CHECKING:
    from ..results import LMERResults

NOISE = 1e-8
"""Likelihood ratios below this are zero."""

LAMBDAS = np.concatenate([[0.0], np.geomspace(1e-5, 1e7, 300)])
"""Grid of variance ratios, for eigenvalues of at most 1."""

AT_ONCE = 2_000_000
"""Numbers of a chunk of simulations."""


# Mixtures of chi-square distributions -------------------------------------------------


def mixture_tail(statistic: float, df: int, variances: int) -> float:
    """Upper tail of the likelihood ratio's asymptotic distribution.

    Parameters
    ----------
    statistic : float
    df : int
        Number of parameters tested.
    variances : {0, 1}
        How many of them are variances that are zero under the null hypothesis. With
        one the distribution is half a chi-square with df - 1 and half one with df
        degrees of freedom: covariances that come with the variance, and fixed effects,
        count among the df - 1.

    Examples
    --------
    >>> round(mixture_tail(2.71, 1, 1), 3), round(mixture_tail(5.14, 2, 1), 3)
    (0.05, 0.05)
    """
    if statistic <= 0.0:
        return 1.0
    upper = float(stats.chi2.sf(statistic, df))
    if variances == 0:
        return upper
    lower = float(stats.chi2.sf(statistic, df - 1)) if df > 1 else 0.0
    return 0.5 * (lower + upper)


def mixture_pvalue(
    statistic: float, df: int, small: Structure, big: Structure
) -> tuple[float, str]:
    """The p-value by :func:`mixture_tail` and, where it is nan, the reason."""
    added = added_variances(small, big)
    if isinstance(added, str):
        return np.nan, added
    if df <= 0:
        return np.nan, "the models have as many parameters"
    if added in (0, 1):
        return mixture_tail(statistic, df, added), ""
    return np.nan, (
        f"{added} variances are tested at once, and the weights of the mixture are "
        'known for one; use test="PB" or add one random effect at a time'
    )


# Exact tests of one variance component ------------------------------------------------


class ExactTest(NamedTuple):
    """A likelihood-ratio test against its simulated null distribution.

    Attributes
    ----------
    statistic : float
    pvalue : float
        Share of the sample that is larger; 1 for a statistic of zero.
    sample : ndarray, shape (nsim,)
        Draws from the null distribution.
    """

    statistic: float
    pvalue: float
    sample: FloatArray

    def __repr__(self) -> str:
        return (
            f"ExactTest(statistic={self.statistic:.5g}, pvalue={self.pvalue:.4g}, "
            f"sample of {len(self.sample):,} draws)"
        )


def exact_rlrt(
    results: LMERResults,
    null: LMERResults | RegressionResults | None = None,
    nsim: int = 10_000,
    rng: RandomSource = None,
) -> ExactTest:
    """Exact restricted likelihood-ratio test of one variance component.

    Parameters
    ----------
    results : LMERResults
        The model with the component; a fit by maximum likelihood is fitted by REML.
    null : LMERResults or RegressionResults, optional
        The model without it. It may be left out if `results` has no other random
        term.
    nsim : int
        Number of draws from the null distribution.
    rng : int, Generator, RandomState or None

    Returns
    -------
    ExactTest
        With fields statistic, pvalue and sample.

    Raises
    ------
    ValueError
        If the models differ in anything else than one random term of one column.

    Notes
    -----
    The distribution under the null hypothesis is that of equation (9) of Crainiceanu
    and Ruppert; it depends on the data only through eigenvalues of a matrix with a row
    a group. With further variance components it is approximate: that of the model with
    the tested component alone (Greven et al. 2008), as RLRsim's ``exactRLRT(m, mA,
    m0)``.

    References
    ----------
    Crainiceanu, C. and Ruppert, D. (2004). Likelihood ratio tests in linear mixed
    models with one variance component. J. R. Statist. Soc. B 66, 165-185.

    Greven, S., Crainiceanu, C., Kuechenhoff, H. and Peters, A. (2008). Restricted
    likelihood ratio testing for zero variance components in linear mixed models.
    J. Comput. Graph. Statist. 17, 870-891.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.boundary import exact_rlrt
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> test = exact_rlrt(res, rng=1)
    >>> print(round(test.statistic, 3), test.pvalue < 0.01)
    6.369 True
    """
    full = _fitted(results, reml=True)
    design = structure(full)
    if null is None or not hasattr(unwrapped(null), "theta"):
        term = _only_term(full, "pass the model without the tested one as null=")
        if null is not None:
            _require_nested(structure(unwrapped(null)), design, same_mean=True)
        zero = np.zeros(full.model.k_theta)
        at_null = full._likelihood().value(zero, True)
    else:
        smaller = _fitted(null, reml=True)
        term = _tested_term(structure(smaller), design)
        at_null = -2.0 * smaller.llf
    statistic = max(0.0, at_null + 2.0 * full.llf)
    X, sizes, B = _weighted(design, term)
    sample = null_distribution(len(X), B, sizes, True, 0, nsim, generator(rng))
    return _verdict(statistic, sample)


def exact_lrt(
    results: LMERResults,
    null: RegressionResults | None = None,
    nsim: int = 10_000,
    rng: RandomSource = None,
) -> ExactTest:
    """Exact likelihood-ratio test of a variance component and fixed effects.

    Parameters
    ----------
    results : LMERResults
        A model with one random term of one column; one by REML is fitted by maximum
        likelihood.
    null : RegressionResults, optional
        statsmodels' OLS or WLS results of the model without the random term and
        without the fixed effects that are tested too; by default none are.
    nsim : int
    rng : int, Generator, RandomState or None

    Returns
    -------
    ExactTest
        With fields statistic, pvalue and sample.

    References
    ----------
    Crainiceanu and Ruppert (2004), equation (7); see :func:`exact_rlrt`.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.boundary import exact_lrt
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> test = exact_lrt(res, rng=1)
    >>> print(round(test.statistic, 3), test.pvalue < 0.01)
    5.403 True
    """
    full = _fitted(results, reml=False)
    term = _only_term(full, "exact_rlrt takes models with several, given null=")
    design = structure(full)
    q, zero = 0, np.zeros(full.model.k_theta)
    at_null = full._likelihood().value(zero, False)
    if null is not None:
        smaller = unwrapped(null)
        if hasattr(smaller, "theta"):
            raise ValueError(
                "null is a model without random terms here, as statsmodels' OLS."
            )
        _require_nested(structure(smaller), design, same_mean=False)
        basis = orthonormal_basis(structure(smaller).X, design.sqrt_weights)
        q = design.X.shape[1] - basis.Q.shape[1]
        at_null = linear_criterion(structure(smaller), _response(full), reml=False)
    statistic = max(0.0, at_null + 2.0 * full.llf)
    X, sizes, B = _weighted(design, term)
    sample = null_distribution(len(X), B, sizes, False, q, nsim, generator(rng))
    return _verdict(statistic, sample)


def _response(results: LMERResults) -> FloatArray:
    return np.asarray(results.model.endog, dtype=np.float64)


def _fitted(results: Any, reml: bool) -> LMERResults:
    """The fit by the criterion that is needed."""
    own: LMERResults = unwrapped(results)
    if not hasattr(own, "theta"):
        raise TypeError(
            f"the tested model is a mixed model, not {type(own).__name__}; pass its "
            "results first."
        )
    if own.reml == reml:
        return own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return unwrapped(own.model.fit(reml=reml, method=own.optimizer))


def _only_term(results: LMERResults, remedy: str) -> RandomTerm:
    terms = results.model.re_terms
    if len(terms) > 1:
        raise ValueError(
            f"the model has {len(terms)} random terms "
            f"({', '.join(t.text for t in terms)}); {remedy}."
        )
    return _of_one_column(terms[0])


def _of_one_column(term: RandomTerm) -> RandomTerm:
    if term.q > 1:
        raise ValueError(
            f"the random term {term.text} has {term.q} columns, and exact tests are "
            "for one variance component; use anova_lmer with test='mixture' or 'PB'."
        )
    return term


def _tested_term(small: Structure, big: Structure) -> RandomTerm:
    """The one random term that only the bigger model has."""
    _require_nested(small, big, same_mean=True)
    new = [t for t in big.terms if not any(_same_term(t, o) for o in small.terms)]
    if len(new) != 1 or len(big.terms) != len(small.terms) + 1:
        raise ValueError(
            "the models must differ by one random term; they have "
            f"{', '.join(t.text for t in big.terms)} and "
            f"{', '.join(t.text for t in small.terms)}."
        )
    return _of_one_column(new[0])


def _same_term(a: RandomTerm, b: RandomTerm) -> bool:
    return a.q == b.q and holds(a, b) and holds(b, a)


def _require_nested(small: Structure, big: Structure, same_mean: bool) -> None:
    """Refuse a null model that is no special case, or has another fixed part."""
    if len(small.X) != len(big.X):
        raise ValueError(
            f"the model uses {len(big.X)} rows, the null model {len(small.X)}; fit "
            "both on the same rows."
        )
    reason = added_variances(small, big)
    if isinstance(reason, str):
        raise ValueError(f"null is no special case of the model: {reason}.")
    if same_mean and not spanned(big.X, small.X):
        raise ValueError(
            "the fixed parts differ, which restricted likelihoods do not compare; "
            "use exact_lrt, or the same fixed part."
        )


def _verdict(statistic: float, sample: FloatArray) -> ExactTest:
    if statistic < NOISE:
        return ExactTest(0.0, 1.0, sample)
    return ExactTest(statistic, float(np.mean(sample >= statistic)), sample)


def _weighted(
    design: Structure, term: RandomTerm
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Basis Q of the weighted X, diagonal of the weighted Z'Z, and Z'Q."""
    roots = design.sqrt_weights
    Q = orthonormal_basis(design.X, roots).Q
    z = roots * np.asarray(term.Z)[:, 0]
    codes, levels = term.factor.codes, term.factor.n_levels
    sums = [
        np.bincount(codes, weights=z * column, minlength=levels) for column in (z, *Q.T)
    ]
    both = np.array(sums, dtype=np.float64)
    sizes, B = both[0], both[1:].T
    return Q, sizes, B


def reduced_eigenvalues(sizes: FloatArray, B: FloatArray) -> FloatArray:
    """Eigenvalues of ``diag(sizes) - B B'``, which is Z'(I - QQ')Z.

    Where m groups have the same size, the eigenvectors in their space that are
    orthogonal to the columns of B have that size as eigenvalue: they are set aside, so
    that the matrix left has at most p rows for each distinct size.
    """
    kept_sizes, kept_B, aside = [], [], []
    for size in np.unique(sizes):
        rows = B[sizes == size]
        if len(rows) > B.shape[1]:
            aside.append(np.full(len(rows) - B.shape[1], size))
            rows = np.linalg.qr(rows, mode="r") if B.shape[1] else rows[:0]
        kept_sizes.append(np.full(len(rows), size))
        kept_B.append(rows)
    d, C = np.concatenate(kept_sizes), np.concatenate(kept_B)
    values = np.linalg.eigvalsh(np.diag(d) - C @ C.T) if len(d) else d
    found = np.concatenate([values, *aside])
    return np.sort(np.where(found > 1e-10 * sizes.max(), found, 0.0))


def null_distribution(
    n: int,
    B: FloatArray,
    sizes: FloatArray,
    restricted: bool,
    q: int,
    nsim: int,
    rng: np.random.Generator | np.random.RandomState,
) -> FloatArray:
    """Draws of the (restricted) likelihood ratio under a variance of zero.

    Crainiceanu and Ruppert (2004), equations (7) and (9). Eigenvalues that are equal
    share one chi-square variable.

    Parameters
    ----------
    n : int
        Number of rows.
    B : ndarray, shape (levels, p)
        Z'Q, with Q the orthonormal basis of the fixed part.
    sizes : ndarray, shape (levels,)
        Diagonal of Z'Z.
    restricted : bool
    q : int
        Number of fixed effects that are tested too.
    nsim : int
    rng : Generator or RandomState
    """
    p, nsim = B.shape[1], number_of_draws(nsim)
    mu = reduced_eigenvalues(sizes, B)
    xi = mu if restricted else sizes
    lambdas = LAMBDAS / max(float(mu.max(initial=0.0)), np.finfo(float).tiny)
    distinct, counts = _pooled(mu[mu > 0])
    shrink = 1.0 / (1.0 + distinct[:, None] * lambdas)
    penalty = np.log1p(xi[:, None] * lambdas).sum(axis=0)
    df = n - p if restricted else n
    rest = n - p - counts.sum()
    sample = np.empty(nsim)
    chunk = max(1, AT_ONCE // max(len(distinct), len(lambdas)))
    for start in range(0, nsim, chunk):
        m = min(chunk, nsim - start)
        w = rng.chisquare(counts, size=(m, len(counts)))
        other = rng.chisquare(rest, size=m) if rest > 0 else np.zeros(m)
        total = w.sum(axis=1) + other
        D = w @ shrink + other[:, None]
        values = _peak(df * (np.log(total)[:, None] - np.log(D)) - penalty)
        if q:
            values += n * np.log1p(rng.chisquare(q, size=m) / total)
        sample[start : start + m] = values
    return sample


def _pooled(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sorted values with equal ones taken together, and their multiplicities."""
    if len(values) == 0:
        return values, np.zeros(0)
    new = np.diff(values, prepend=-np.inf) > 1e-9 * values[-1]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(values, starts) / counts, counts.astype(np.float64)


def _peak(values: FloatArray) -> FloatArray:
    """Maximum of each row of curves on the grid, by a parabola through its top."""
    top = values.argmax(axis=1)
    rows = np.arange(len(values))
    best = values[rows, top]
    inner = (top > 1) & (top < values.shape[1] - 1)
    left, right = (
        values[rows[inner], top[inner] - 1],
        values[rows[inner], top[inner] + 1],
    )
    slope, bend = 0.5 * (right - left), 2.0 * best[inner] - left - right
    best[inner] += np.where(bend > 0, 0.5 * slope**2 / np.where(bend > 0, bend, 1), 0.0)
    return best
