"""Fits that start from another fit: a new response, a new formula."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .arrays import numbers
from .compat import statsmodels as compat
from .formula.design import OFFSET, WEIGHTS
from .formula.frames import check_index
from .formula.grammar import FormulaError, RandomSpec, parse, variables

if TYPE_CHECKING:
    from .results import LMERResults


def refit(results: LMERResults, endog: ArrayLike) -> Any:
    """See :meth:`sm_lmer.results.LMERResults.refit`."""
    model = results.model
    labels = model.data.row_labels
    if labels is not None:
        check_index(endog, labels, "the new response")
    y = numbers(endog, "the new response").reshape(-1).copy()
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
    new = model.lmer_formula
    if model._design is None or new is None:
        raise ValueError("update needs a model that was built from a formula.")
    fit_names = set(inspect.signature(type(model).fit).parameters) - {"self"}
    fit_changes = {k: v for k, v in changes.items() if k in fit_names}
    model_changes = {k: v for k, v in changes.items() if k not in fit_names}
    own = model._design.frame.drop(columns=[WEIGHTS, OFFSET], errors="ignore")
    if formula is not None:
        new = updated(new, formula, list(own.columns))
    data = model_changes.pop("data", None)
    for role, value in model._design.arguments.items():
        if data is not None and role not in changes and not isinstance(value, str):
            raise ValueError(
                f"the model has an array of {role}, which does not go with new data; "
                f"pass {role}= too (None for no {role})."
            )
        model_changes.setdefault(role, value)
    if data is None:
        data = own
        _require_columns(own, new, model_changes, model._design.namespace)
    model_changes.setdefault("drop_cols", model._design.drop_cols)
    model_changes.setdefault("eval_env", model._design.namespace)
    settings = {
        "reml": results.reml,
        "solver": results._solver,
        "ddf": results.ddf_method,
        **fit_changes,
    }
    return type(model).from_formula(new, data, **model_changes).fit(**settings)


def _require_columns(
    own: pd.DataFrame, formula: str, changes: dict[str, Any], namespace: Collection[str]
) -> None:
    """Refuse columns that the model does not hold, with the remedy."""
    parsed = parse(formula, list(own.columns))
    texts = [parsed.response, parsed.fixed, *parsed.offsets]
    texts += [e for spec in parsed.random for e in (spec.columns, *spec.factors)]
    texts += [v for v in changes.values() if isinstance(v, str)]
    names = [name for text in texts for name in variables(text)]
    known = {*own.columns, *namespace, *compat.builtin_names()}
    for name in names:
        if name not in known:
            raise ValueError(
                f"the model holds only the columns that it uses, and {name!r} is not "
                "one of them; pass the data too, as update(..., data=data)."
            )


_DOT = re.compile(r"(?<![\w.`])\.(?![\w.`])")
_NESTED = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
_REMOVED = re.compile(rf"\s*-\s*((?:diag)?\({_NESTED}\|{_NESTED}\))")


def updated(old: str, change: str, columns: Collection[str] = ()) -> str:
    """The formula `old` changed as R's ``update.formula``: ``.`` is the old side.

    Random terms of the old side can be taken away, as in ``. ~ . - (x | g)``.

    Parameters
    ----------
    old, change : str
    columns : collection of str
        The names of the data's columns, which a ``.`` in `old` stands for.

    Examples
    --------
    >>> updated("y ~ x + (1 | g)", "log(.) ~ . + z")
    'log(y) ~ (x + (1 | g)) + z'
    >>> updated("y ~ x + (x | g) + (1 | h)", ". ~ . - (x | g) + (1 | g)")
    'y ~ (x + (1 | h)) + (1 | g)'
    """
    if change.count("~") != 1:
        raise FormulaError(f"update needs a formula with one '~', not {change!r}.")
    old_left, old_right = (side.strip() for side in old.split("~", 1))
    left, right = (side.strip() for side in change.split("~", 1))
    if removed := _REMOVED.findall(right):
        old_right = _without_terms(old, removed, columns)
        right = _REMOVED.sub("", right)
    left = _DOT.sub(lambda _: old_left, left) or old_left
    return f"{left} ~ {_DOT.sub(lambda _: f'({old_right})', right)}"


def _without_terms(old: str, removed: list[str], columns: Collection[str]) -> str:
    """The right side of a formula without some of its random terms."""
    parsed = parse(old, columns)
    kept = list(parsed.random)
    for spec in parse(f"y ~ {' + '.join(removed)}", columns).random:
        same = [k for k in kept if _key(k) == _key(spec)]
        if not same:
            raise FormulaError(
                f"the model has no random term ({spec.text}) to take away; it has "
                f"{', '.join(f'({k.text})' for k in parsed.random)}."
            )
        kept.remove(same[0])
    terms = [parsed.fixed, *(f"offset({e})" for e in parsed.offsets)]
    for spec in kept:
        inside = f"({spec.columns} | {':'.join(spec.factors)})"
        terms.append(f"diag{inside}" if spec.diagonal else inside)
    return " + ".join(terms)


def _key(spec: RandomSpec) -> tuple[str, frozenset[str], bool]:
    return spec.columns, frozenset(spec.factors), spec.diagonal
