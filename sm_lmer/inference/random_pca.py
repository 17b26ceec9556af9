"""Principal components of the random effects, which show what a singular fit lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import components
from ..core.terms import FloatArray

if TYPE_CHECKING:
    from ..results import LMERResults

NEGLIGIBLE = 0.05
"""Loading below which a column is left out of a combination's words."""


def random_pca(results: LMERResults) -> dict[str, pd.DataFrame]:
    """Principal components of each grouping factor's random effects.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    dict of DataFrame
        One frame a grouping factor, one row a component, in order of its size:
        ``sd``, its standard deviation in units of sigma; ``proportion`` of the
        variance and its cumulative sum; and a column a random effect, the loadings.

    Notes
    -----
    Singular values and right singular vectors of the transposed relative covariance
    factor, as lme4's ``rePCA``; they depend on the units of the predictors.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> print(res.pca()["Subject"].round(3).to_string(index_names=False))
          sd  proportion  cumulative  Intercept   Days
    1  0.967       0.946       0.946     -1.000 -0.017
    2  0.231       0.054       1.000      0.017 -1.000
    """
    out = {}
    for name, columns, cov, _ in factor_covariances(results):
        _, sizes, rotation = np.linalg.svd(_root(cov / results.scale).T)
        share = sizes**2 / total if (total := (sizes**2).sum()) > 0 else sizes * np.nan
        frame = pd.DataFrame(
            {"sd": sizes, "proportion": share, "cumulative": share.cumsum()},
            index=pd.RangeIndex(1, len(sizes) + 1, name="component"),
        )
        loadings = pd.DataFrame(rotation, index=frame.index, columns=columns)
        out[name] = pd.concat([frame, loadings], axis=1)
    return out


def factor_covariances(
    results: LMERResults,
) -> list[tuple[str, list[str], FloatArray, FloatArray]]:
    """Each grouping factor's random effects.

    Returns
    -------
    list of (name, columns, covariance, sizes)
        The sizes are the root mean squares of the columns of Z over sigma: with them
        standard deviations compare to that of the residual.
    """
    covariances = components.covariances(results)
    out = []
    for name, members in components.by_factor(results).items():
        terms = [results.model.re_terms[k] for k in members]
        columns = [c for term in terms for c in term.columns]
        Z = np.hstack([np.asarray(term.Z) for term in terms])
        sizes = np.sqrt((Z * Z).mean(axis=0) / results.scale)
        cov, first = np.zeros((len(columns), len(columns))), 0
        for k in members:
            last = first + len(covariances[k])
            cov[first:last, first:last] = covariances[k]
            first = last
        out.append((name, columns, cov, sizes))
    return out


def vanishing(
    columns: list[str], cov: FloatArray, sizes: FloatArray, tol: float
) -> list[str]:
    """The combinations of random effects that have no variance, in words.

    Parameters
    ----------
    columns : list of str
    cov : ndarray, shape (q, q)
    sizes : ndarray, shape (q,)
        As :func:`factor_covariances` gives them.
    tol : float
        Bound on standard deviations, relative to the residual's, and of combinations
        of standardised columns.
    """
    deviations = np.sqrt(cov.diagonal())
    gone = deviations * sizes <= tol
    found = [f"{columns[k]} does not vary" for k in np.flatnonzero(gone)]
    left = np.flatnonzero(~gone)
    R = cov[np.ix_(left, left)] / np.outer(deviations[left], deviations[left])
    values, vectors = np.linalg.eigh(R)
    for vector in vectors[:, values <= tol**2].T:
        parts = np.flatnonzero(np.abs(vector) > NEGLIGIBLE)
        if len(parts) == 2:
            sign = -np.sign(vector[parts[0]] * vector[parts[1]])
            first, second = (columns[left[k]] for k in parts)
            found.append(f"{first} and {second} are correlated by {sign:+.0f}")
        else:
            weights = vector / deviations[left]
            weights = weights / np.abs(weights[parts]).max()
            words = " ".join(f"{weights[k]:+.2g} {columns[left[k]]}" for k in parts)
            found.append(f"the combination {words} does not vary")
    return found


def _root(cov: FloatArray) -> FloatArray:
    """A square root R with R R' = cov, of a matrix that may be singular."""
    values, vectors = np.linalg.eigh(cov)
    root: FloatArray = vectors * np.sqrt(values.clip(0.0))
    return root
