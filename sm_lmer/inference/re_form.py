"""Which random effects a prediction holds: the formulas of ``re_form``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compat.engine_terms import evaluated_terms, written_terms
from ..compat.statsmodels import engine_of
from ..core.terms import lme4_order
from ..formula.grammar import RandomSpec, parse, variables

if TYPE_CHECKING:
    from ..formula.design import Design, TermDesign
    from ..model import LMER

Columns = dict[int, list[int]]
"""Columns of each term, by its position among the model's terms."""

Factors = frozenset[str]
"""Expressions of the factors of a term; none for the intercept."""


def design_of(model: LMER) -> Design:
    """How a model built from a formula came about."""
    assert model._design is not None
    return model._design


def term_design(model: LMER, k: int) -> TermDesign:
    """How the k-th term, in the model's order, is evaluated."""
    designs = design_of(model).term_designs  # they have the terms' factors
    return designs[lme4_order(designs)[k]]  # type: ignore[arg-type]


def random_columns(model: LMER, re_form: Any) -> Columns:
    """Which columns of which terms a ``re_form`` asks for.

    Raises
    ------
    ValueError
        If it asks for a term that the model does not have.
    """
    if re_form is None or re_form is True:
        return {k: list(range(t.q)) for k, t in enumerate(model.re_terms)}
    if re_form is False or (isinstance(re_form, float) and np.isnan(re_form)):
        return {}
    if not isinstance(re_form, str):
        raise TypeError(
            f"re_form is None, False or a formula such as '~ (1 | group)', not "
            f"{re_form!r}."
        )
    text = re_form.strip().removeprefix("~").strip()
    if text in ("0", "NA", "-1"):
        return {}
    names = None if model._design is None else list(design_of(model).columns)
    parsed = parse(f"y ~ {text}", names)
    if not parsed.random:
        raise ValueError(
            f"re_form {re_form!r} has no random term; use a formula such as "
            "'~ (1 | group)', None for all of them, or False for none."
        )
    wanted: Columns = {}
    for spec in parsed.random:
        for k, positions in _match(model, spec).items():
            wanted[k] = sorted(set(wanted.get(k, [])) | set(positions))
    return wanted


def _match(model: LMER, spec: RandomSpec) -> Columns:
    """The model's columns, by term, that a term of ``re_form`` names."""
    candidates = {
        k: _available(model, k)
        for k, term in enumerate(model.re_terms)
        if set(term.name.split(":")) == set(spec.name.split(":"))
    }
    asked = _asked(model, spec)
    found: Columns = {}
    for part in asked:
        k = next((k for k, has in candidates.items() if part in has), None)
        if k is None or not _same_coding(model, part, asked, candidates[k]):
            terms = ", ".join(term.text for term in model.re_terms)
            raise ValueError(
                f"re_form names ({spec.text}), which the model does not have; its "
                f"terms are {terms}."
            )
        found.setdefault(k, []).extend(candidates[k][part])
    return found


def _available(model: LMER, k: int) -> dict[Factors, list[int]]:
    """Positions of the columns of a random term by what they are columns of."""
    how = None if model._design is None else term_design(model, k).specification
    if how is not None:
        return {frozenset(t.factors): list(t.positions) for t in evaluated_terms(how)}
    names = model.re_terms[k].columns
    return {frozenset({n} - {"Intercept"}): [j] for j, n in enumerate(names)}


def _asked(model: LMER, spec: RandomSpec) -> list[Factors]:
    """What a term of ``re_form`` has columns of."""
    if model._design is not None:
        engine = engine_of(design_of(model).specification)
        return [frozenset(t.factors) for t in written_terms(spec.columns, engine)]
    intercept, *rest = (part.strip() for part in spec.columns.split("+"))
    constant: list[Factors] = [frozenset()] if intercept == "1" else []
    return [*constant, *(frozenset({name}) for name in rest)]


def _same_coding(
    model: LMER, part: Factors, asked: list[Factors], has: dict[Factors, list[int]]
) -> bool:
    """Whether a factor has the same dummies among the columns asked for.

    It has, if all the terms are there on which it leaves out a level.
    """
    if model._design is None:
        return True
    labels = {factor for factor in part if _is_factor(model, factor)}
    margins = [term for term in has if term < part and part - term <= labels]
    return all(term in asked for term in margins)


def _is_factor(model: LMER, expression: str) -> bool:
    kinds = design_of(model).columns
    used = [kinds[name] for name in variables(expression) if name in kinds]
    return any(kind.levels is not None or kind.dtype.kind == "b" for kind in used)
