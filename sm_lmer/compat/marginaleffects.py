"""Fits as the Python package marginaleffects takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..formula.frames import as_frame
from ..formula.grammar import variables
from ..inference.prediction import design_rows

if TYPE_CHECKING:
    from ..formula.design import Design
    from ..results import LMERResults


def adapter(results: LMERResults) -> Any:
    """A fit as a model of marginaleffects: its fixed part at any values.

    ``predictions``, ``comparisons``, ``slopes`` and ``avg_...`` of marginaleffects
    then give population averages (random effects at zero) with the fit's covariance
    of the fixed effects. marginaleffects knows one number of degrees of freedom for a
    model: `df_resid`, or infinity for ``ddf="normal"``. ``res.t_test`` has those of
    each contrast.

    Parameters
    ----------
    results : LMERResults
        Of a model built from a formula.

    Returns
    -------
    marginaleffects.classes.ModelAbstract

    Raises
    ------
    ImportError
        If marginaleffects is not installed.
    ValueError
        If the model has no formula, or no rows any more.

    Notes
    -----
    marginaleffects knows statsmodels' results by the name of their module, and takes
    anything else that is a ``ModelAbstract``, which this is.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.compat.marginaleffects import adapter
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data).fit()
    >>> me = adapter(res)  # doctest: +SKIP
    >>> marginaleffects.avg_slopes(me, variables="temp")  # doctest: +SKIP
    """
    from marginaleffects.classes import (  # type: ignore[import-not-found]
        ModelAbstract,
        ModelVault,
    )
    from marginaleffects.utils import ingest  # type: ignore[import-not-found]

    fit: LMERResults = getattr(results, "_results", results)  # type: ignore[assignment]
    model = fit.model
    design = model._design
    if design is None:
        raise ValueError(
            "marginaleffects needs a model that was built from a formula; use sml.lmer."
        )
    model.require_rows("marginal effects")
    known = set(design.frame.columns)
    fixed = [v for v in variables(design.parsed.fixed) if v in known]
    response = [v for v in variables(design.parsed.response) if v in known]

    class FixedPart(ModelAbstract):  # type: ignore[misc]
        """The fixed part of a linear mixed model."""

        def get_exog(self, newdata: Any) -> np.ndarray:
            return design_rows(model, _pandas(newdata))

        def get_predict(self, params: Any, newdata: Any) -> Any:
            import polars

            X = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            rows = polars.Series(range(len(X)), dtype=polars.Int32)
            mean = X @ np.asarray(params, dtype=np.float64)
            return polars.DataFrame({"rowid": rows, "estimate": mean})

        def get_vcov(self, vcov: Any = True) -> Any:
            if isinstance(vcov, bool):
                return np.asarray(fit.cov_params()) if vcov else None
            raise ValueError(
                "vcov is True or False, or a matrix; for robust standard errors pass "
                "a fit with cov_type= to adapter()."
            )

        def get_autodiff_args(self) -> dict[str, Any]:
            return {"model_type": "linear", "family": None, "link": None}

        @property
        def df_resid(self) -> float:
            return float(fit.df_resid) if fit.use_t else np.inf

        def get_df(self) -> float:
            return self.df_resid

    frame = _with_factors(design, fixed)
    names = list(dict.fromkeys([*response[:1], *fixed]))
    return FixedPart(
        fit,
        ModelVault(
            coef=np.asarray(fit.params),
            coefnames=np.asarray(model.exog_names, dtype=object),
            formula=f"{' + '.join(response[:1])} ~ {' + '.join(fixed) or 1}",
            modeldata=ingest(frame),
            package="sm_lmer",
            variable_names=names,
            pandas_categorical_orders={
                name: list(frame[name].cat.categories)
                for name in frame.columns
                if isinstance(frame[name].dtype, pd.CategoricalDtype)
            },
        ),
    )


def _with_factors(design: Design, fixed: list[str]) -> pd.DataFrame:
    """The model's data, the factors of its fixed part as categories of text.

    marginaleffects takes no factors of text or of numbers.
    """
    frame = design.frame.reset_index(drop=True)
    for name in fixed:
        kind = design.columns[name]
        if kind.levels is not None:
            order = list(kind.levels) if kind.categorical else sorted(kind.levels)
            labels = pd.Categorical(frame[name], categories=order)
            frame[name] = labels.rename_categories([str(level) for level in order])
    return frame


def _pandas(data: Any) -> pd.DataFrame:
    return data.to_pandas() if hasattr(data, "to_pandas") else as_frame(data)


__all__ = ["adapter"]
