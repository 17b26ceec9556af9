"""Results of pyfixest: feols, fepois, feglm, quantreg."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import pandas as pd

from ..dispatch import Extractor, Request

FAMILIES = {
    "fepois": ("Poisson", "log"),
    "feglm-logit": ("Logit", "logit"),
    "feglm-probit": ("Probit", "probit"),
    "feglm-gaussian": ("Gaussian GLM", "identity"),
}
"""Estimators with normal tests by pyfixest's names: their names and their links."""

COVARIANCES = ("iid", "hetero", "HC1", "HC2", "HC3")
"""Covariances that need no further columns, by pyfixest's names."""

STATISTICS = {
    "nobs": "_N",
    "r2": "_r2",
    "r2_adj": "_adj_r2",
    "r2_within": "_r2_within",
    "r2_pseudo": "_pseudo_r2",
    "rmse": "_rmse",
    "loglik": "_loglik",
    "deviance": "deviance",
}
"""Attributes that hold statistics; not every model has each."""


def _tidy(res: Any, request: Request) -> pd.DataFrame:
    if len(res._beta_hat) == 0:
        raise ValueError(
            f"the pyfixest model {res._fml} has fixed effects and no coefficients; "
            "leave it out of the table."
        )
    table = res.tidy().reset_index()
    return pd.DataFrame(
        {
            "term": table["Coefficient"].map(str),
            "estimate": table["Estimate"],
            "std_error": table["Std. Error"],
            "statistic": table["t value"],
            "df": np.inf if res._method in FAMILIES else float(res._df_t),
            "p_value": table["Pr(>|t|)"],
        }
    )


def _glance(res: Any, request: Request) -> Mapping[str, Any]:
    numbers = {
        key: float(value)
        for key, name in STATISTICS.items()
        if (value := getattr(res, name, None)) is not None
    }
    return {
        **numbers,
        "depvar": str(res._depvar),
        "estimator": _estimator(res),
        "vcov_type": _covariance(res),
        **{f"FE: {name}": "X" for name in _fixed_effects(res)},
    }


def _fixed_effects(res: Any) -> list[str]:
    """Names of the absorbed factors; "f1^f2" for a combination of two."""
    text = res._fixef if res._has_fixef else ""
    return [name.strip() for name in str(text).split("+") if name.strip()]


def _estimator(res: Any) -> str:
    if res._is_iv:
        return "IV"
    if res._method in FAMILIES:
        return FAMILIES[res._method][0]
    return "Quantile regression" if res._method.startswith("quantreg") else "OLS"


def _covariance(res: Any) -> str:
    if res._clustervar:
        return f"by: {' & '.join(res._clustervar)}"
    kind = str(res._vcov_type_detail)
    return kind.upper() if kind in ("iid", "nid") else kind


def _vcov(res: Any, name: Any) -> np.ndarray:
    """The covariance of a kind; `Feols.vcov` itself changes the fit that it is of.

    Raises
    ------
    ValueError
        If the fit has no data, or pyfixest no such covariance for it.
    """
    if name not in COVARIANCES:
        raise ValueError(
            f"pyfixest has no covariance {name!r}; use one of "
            f"{', '.join(COVARIANCES)}, or pass a matrix."
        )
    if not hasattr(res, "_data"):
        raise ValueError(
            f"vcov={name!r} needs the data, which this fit of pyfixest did not keep; "
            "fit it with store_data=True and lean=False."
        )
    return np.asarray(copy(res).vcov(name)._vcov)


def _link(res: Any) -> str:
    return FAMILIES[res._method][1] if res._method in FAMILIES else "identity"


def _several(res: Any, request: Request) -> Any:
    raise TypeError(
        "a pyfixest estimation of several models is not one model; pass its models, "
        "fit.to_list()."
    )


FEOLS = Extractor("pyfixest", _tidy, _glance, vcov=_vcov, link=_link)
SEVERAL = Extractor("pyfixest", _several, _several)

CLASSES = {
    "pyfixest.estimation.models.feols_:Feols": FEOLS,
    "pyfixest.estimation.feols_:Feols": FEOLS,
    "pyfixest.estimation.FixestMulti_:FixestMulti": SEVERAL,
}
"""Extractors by the classes that they read."""
