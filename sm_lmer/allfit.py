"""The same model fitted by every optimiser, to see whether they agree."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from .core.optimize import METHODS
from .errors import SingularFitWarning

if TYPE_CHECKING:
    from .results import LMERResults


def all_fit(results: LMERResults, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """Fit a model again by several methods, as lme4's ``allFit``.

    Criteria and estimates that agree speak for the optimum; a lower criterion than
    that of `results` is a better one.

    Parameters
    ----------
    results : LMERResults
    methods : sequence of str, optional
        Methods of :meth:`LMER.fit`; all of them by default.

    Returns
    -------
    DataFrame
        One row a method: criterion, converged, singular, evaluations, seconds, and
        theta by name. Fits that warn are marked in the columns, not warned of.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> print(sml.all_fit(res, ["bfgs", "nm"])["criterion"].round(4).to_string())
    bfgs    319.6543
    nm      319.6543
    """
    rows = {}
    for method in METHODS if methods is None else methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularFitWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = results.model.fit(
                reml=results.reml, method=method, solver=results._solver
            )
        optimum = fit._optimum
        rows[method] = {
            "criterion": optimum.value,
            "converged": optimum.converged,
            "singular": fit.singular,
            "evaluations": optimum.evaluations,
            "seconds": optimum.seconds,
            **dict(zip(fit.theta_names, fit.theta, strict=True)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
