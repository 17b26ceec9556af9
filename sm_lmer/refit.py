"""Fits that start from another fit: a new response, a new formula."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .formula.grammar import FormulaError

if TYPE_CHECKING:
    from .results import LMERResults


def refit(results: LMERResults, endog: ArrayLike) -> Any:
    """See :meth:`sm_lmer.results.LMERResults.refit`."""
    model = results.model
    y = np.array(endog, dtype=np.float64).reshape(-1)
    if y.shape != (model.nobs,):
        raise ValueError(
            f"the new response has {y.size} entries, but the model uses "
            f"{model.nobs} rows."
        )
    if not np.isfinite(y).all():
        raise ValueError("the new response has missing or infinite values.")
    return model.with_response(y).fit(
        reml=results.reml,
        start_params=results.theta,
        solver=results._solver,
        ddf=results.ddf_method,
        method=results.optimizer,
    )


def update(results: LMERResults, formula: str | None, changes: dict[str, Any]) -> Any:
    """See :meth:`sm_lmer.results.LMERResults.update`."""
    model = results.model
    if model._design is None:
        raise ValueError("update needs a model that was built from a formula.")
    fit_names = set(inspect.signature(type(model).fit).parameters) - {"self"}
    fit_changes = {k: v for k, v in changes.items() if k in fit_names}
    model_changes = {k: v for k, v in changes.items() if k not in fit_names}
    new = (
        model.lmer_formula if formula is None else updated(model.lmer_formula, formula)
    )
    data = model_changes.pop("data", None)
    if data is None:
        data = model._design.frame
        if model.weights is not None:
            model_changes.setdefault("weights", model.weights)
        if model._offset_argument is not None:
            model_changes.setdefault("offset", model._offset_argument)
    model_changes.setdefault("eval_env", model._design.namespace)
    settings = {
        "reml": results.reml,
        "solver": results._solver,
        "ddf": results.ddf_method,
        **fit_changes,
    }
    return type(model).from_formula(new, data, **model_changes).fit(**settings)


def updated(old: str, change: str) -> str:
    """The formula `old` changed as R's ``update.formula``: ``.`` is the old side."""
    if change.count("~") != 1:
        raise FormulaError(f"update needs a formula with one '~', not {change!r}.")
    old_left, old_right = (side.strip() for side in old.split("~", 1))
    left, right = (side.strip() for side in change.split("~", 1))
    dot = re.compile(r"(?<![\w.`])\.(?![\w.`])")
    left = dot.sub(lambda _: old_left, left) or old_left
    return f"{left} ~ {dot.sub(lambda _: f'({old_right})', right)}"
