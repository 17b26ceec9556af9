"""Terms of a formula's right-hand side under both engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import patsy

from .statsmodels import engine_of


@dataclass(frozen=True)
class EngineTerm:
    """A term as the engine reads it.

    Attributes
    ----------
    name : str
        The engine's name of it.
    factors : tuple of str
        Expressions of its factors; none for the intercept.
    positions : tuple of int
        Its columns, where the formula has been evaluated.
    """

    name: str
    factors: tuple[str, ...]
    positions: tuple[int, ...] = ()


def written_terms(formula: str, engine: str) -> list[EngineTerm]:
    """The terms of a formula's right-hand side in the order they are written."""
    if engine == "patsy":
        return [_term(t) for t in patsy.ModelDesc.from_formula(formula).rhs_termlist]
    import formulaic

    parsed = formulaic.Formula(formula, _ordering="none")
    return [_term(t) for t in (parsed.rhs if "~" in formula else parsed)]


def evaluated_terms(specification: Any) -> list[EngineTerm]:
    """The terms of a specification in the order of its columns.

    The engines sort terms by their numeric variables, so this need not be the order
    in which they were written.
    """
    if engine_of(specification) == "patsy":
        slices = specification.term_slices.items()
        return [_term(t, tuple(range(s.start, s.stop))) for t, s in slices]
    return [_term(t, tuple(at)) for t, at in specification.term_indices.items()]


def _term(term: Any, positions: tuple[int, ...] = ()) -> EngineTerm:
    """formulaic has a factor "1" in the intercept."""
    if isinstance(term, patsy.desc.Term):
        return EngineTerm(term.name(), tuple(f.name() for f in term.factors), positions)
    factors = tuple(str(f) for f in term.factors if str(f) != "1")
    return EngineTerm(str(term), factors, positions)
