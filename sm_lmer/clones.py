"""Models made of other models: without their rows, or of other rows."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .core.terms import Factor, RandomTerm
from .formula.design import OFFSET, WEIGHTS, Design
from .formula.frames import as_frame
from .inference.prediction import design_rows

if TYPE_CHECKING:
    from .model import LMER

REMOVED = (
    "remove_data() has taken the data of this model away, so that {what} cannot be "
    "had from it; fit the model again, or keep a copy from before."
)
"""What is said of a model without rows."""

OTHER_ROWS = (
    "in these data the fixed part's columns depend on each other, so the model can "
    "predict but not be fitted; drop a column, or take data in which they vary."
)
"""What is said of a model on rows that cannot tell its coefficients apart."""


# -- without rows --------------------------------------------------------------


def without_rows(model: LMER) -> LMER:
    """A copy of a model that holds nothing of the length of its data.

    Names, levels and specifications stay, so that it predicts at new data. The model
    itself is left as it is, for other results of it.
    """
    bare = _Bare()
    names = {"xnames": model.data.xnames, "ynames": model.data.ynames}
    other = copy.copy(model)
    other.data = data = copy.copy(model.data)
    data.endog = data.exog = None
    data.orig_endog = _no_rows(data.orig_endog)
    data.orig_exog = _no_rows(data.orig_exog)
    data._cache = names
    other.endog = other.exog = None
    other.weights, other.offset = _no_rows(model.weights), _no_rows(model.offset)
    other.re_terms = tuple(map(bare.term, model.re_terms))
    other._likelihoods, other._likelihood_data = {}, None
    other._statistics = None
    other._basis = None  # type: ignore[assignment]
    other._why_not = REMOVED
    if model._design is not None:
        other._design = data.design = _bare_design(model._design, bare)
        data.frame = data.design.frame
    return other


def _no_rows(values: Any) -> Any:
    """The same array, frame or series with none of its rows."""
    if isinstance(values, (pd.DataFrame, pd.Series)):
        return values.iloc[:0].copy()
    return None if values is None else np.asarray(values)[:0].copy()


class _Bare:
    """Takes the rows from factors and terms; what was one object stays one."""

    def __init__(self) -> None:
        self._factors: dict[int, Factor] = {}
        self._terms: dict[int, RandomTerm] = {}

    def factor(self, factor: Factor) -> Factor:
        if id(factor) not in self._factors:
            self._factors[id(factor)] = replace(factor, codes=factor.codes[:0].copy())
        return self._factors[id(factor)]

    def term(self, term: RandomTerm) -> RandomTerm:
        if id(term) not in self._terms:
            bare = replace(
                term, groups=self.factor(term.factor), Z=np.empty((0, term.q))
            )
            self._terms[id(term)] = bare
        return self._terms[id(term)]


def _bare_design(design: Design, bare: _Bare) -> Design:
    own = set(design.frame.columns)
    return replace(
        design,
        frame=_no_rows(design.frame),
        endog=_no_rows(design.endog),
        exog=_no_rows(design.exog),
        terms=tuple(map(bare.term, design.terms)),
        term_designs=tuple(
            replace(d, factor=bare.factor(d.factor)) for d in design.term_designs
        ),
        weights=_no_rows(design.weights),
        offset=_no_rows(design.offset),
        arguments={
            name: value if isinstance(value, str) else _no_rows(value)
            for name, value in design.arguments.items()
        },
        rows=_no_rows(design.rows),
        namespace={k: v for k, v in design.namespace.items() if k not in own},
    )


# -- other rows ----------------------------------------------------------------


def with_names(exog: Any, template: LMER) -> Any:
    """Bare columns under the names of a model with as many of them."""
    if isinstance(exog, np.ndarray) and exog.ndim == 2 and template.exog is not None:
        names = list(template.exog_names)
        if exog.shape[1] == len(names):
            return pd.DataFrame(exog, columns=names)
    return exog


def formula_arguments(template: LMER, data: Any) -> dict[str, Any]:
    """Arguments of ``from_formula`` for the model of a template on other data."""
    design = template._design
    if design is None:
        raise ValueError(
            "the model was not built from a formula, so it cannot be evaluated on "
            "other data; pass endog and exog."
        )
    arguments: dict[str, Any] = {
        "formula": design.parsed.text,
        "drop_cols": design.drop_cols,
        "eval_env": design.namespace,
    }
    frame = as_frame(data)
    for name, role in (("weights", WEIGHTS), ("offset", OFFSET)):
        value = design.arguments.get(name)
        if value is not None and not isinstance(value, str) and role in frame.columns:
            value = frame[role].to_numpy()
        arguments[name] = value
    return arguments


def on_other_rows(template: LMER, data: Any) -> LMER | None:
    """The fixed part of a model at rows that cannot tell its coefficients apart.

    Returns
    -------
    LMER or None
        Its `exog` has the template's columns, in the template's coding; it cannot be
        fitted. None if the columns are independent in these rows.
    """
    design = template._design
    if design is None:
        return None
    frame = as_frame(data)
    needed = {c for c in design.frame.columns if c in frame.columns}
    rows = frame[sorted(needed)].notna().all(axis=1).to_numpy()
    X = design_rows(template, frame[rows])
    if np.linalg.matrix_rank(X) == X.shape[1]:
        return None
    other = copy.copy(without_rows(template))
    other.data = copy.copy(other.data)
    index = frame.index[rows]
    other.data.orig_exog = pd.DataFrame(X, index=index, columns=template.exog_names)
    other.data.frame = frame[rows]
    other.exog = other.data.exog = X
    other.nobs = len(X)
    other._why_not = OTHER_ROWS
    return other


__all__ = [
    "OTHER_ROWS",
    "REMOVED",
    "formula_arguments",
    "on_other_rows",
    "with_names",
    "without_rows",
]
