"""Variance inflation factors of the fixed part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..compat.terms import fixed_part
from ..core.terms import FloatArray

if TYPE_CHECKING:
    from ..results import LMERResults


def vif(results: LMERResults) -> pd.DataFrame:
    """Generalised variance inflation factors of the terms of the fixed part.

    How much larger the variance of a term's coefficients is than it were if its
    columns were uncorrelated with those of the other terms, given the random effects.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    DataFrame
        One row a term but the intercept: ``gvif``, for a term of one column the
        variance inflation factor; ``df``, its number of columns; ``per_column``,
        gvif^(1/df), which terms of different sizes are compared by.

    Raises
    ------
    ValueError
        If the fixed part has fewer than two terms beside the intercept.

    Notes
    -----
    With R the correlation of the coefficients without the intercept, the factor of
    term 1 is det(R11) det(R22) / det(R) (Fox and Monette 1992, eq. 10), as R's
    ``car::vif``.

    References
    ----------
    Fox, J. and Monette, G. (1992). Generalized collinearity diagnostics. Journal of
    the American Statistical Association 87(417).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.vif import vif
    >>> data = sml.datasets.load_hsb()
    >>> res = sml.lmer("MathAch ~ SES + MEANSES + Sector + (1 | School)", data).fit()
    >>> print(vif(res).round(3).to_string())
              gvif  df  per_column
    SES      1.099   1       1.099
    MEANSES  1.244   1       1.244
    Sector   1.145   1       1.145
    """
    terms = [t for t in fixed_part(results.model).terms if len(t.columns)]
    if len(terms) < 2:
        raise ValueError(
            "variance inflation needs two terms or more beside the intercept."
        )
    used = np.concatenate([term.columns for term in terms])
    vcov = np.asarray(results.normalized_cov_params)[np.ix_(used, used)]
    deviations = np.sqrt(vcov.diagonal())
    R = vcov / np.outer(deviations, deviations)
    whole = _logdet(R)
    rows, first = {}, 0
    for term in terms:
        own = np.zeros(len(used), dtype=bool)
        own[first : first + len(term.columns)] = True
        first += len(term.columns)
        parts = _logdet(R[np.ix_(own, own)]) + _logdet(R[np.ix_(~own, ~own)])
        gvif, df = float(np.exp(parts - whole)), int(own.sum())
        rows[term.name] = (gvif, df, gvif ** (1.0 / df))
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["gvif", "df", "per_column"]
    )


def _logdet(R: FloatArray) -> float:
    return float(np.linalg.slogdet(R)[1])
