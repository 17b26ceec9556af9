"""Models with one term less, on the rows and with the weights of a fitted model.

They are built from the arrays of the fitted model; only the columns of the term that
changes are evaluated again, as the coding of a factor can depend on its neighbours.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from ..compat import statsmodels as compat
from ..compat.engine_terms import evaluated_terms, written_terms
from ..core.conditioning import constant_column, orthonormal_basis
from ..core.optimize import optimize
from ..core.terms import FloatArray, RandomTerm
from ..formula.design import Design, TermDesign
from ..formula.grammar import ParsedFormula, RandomSpec, parse
from ..formula.reader import plain_text

if TYPE_CHECKING:
    from ..model import LMER

ANGLE = 1e-6
"""Sine of the angle below which a direction of the model lies in the reduced one."""


@dataclass(frozen=True)
class FixedTerm:
    """A term of a formula's columns: its name and the factors that interact in it."""

    name: str
    factors: frozenset[str]

    @property
    def label(self) -> str:
        """The name as tables show it, ``my col`` for ``Q("my col")``."""
        return plain_text(self.name)


@dataclass(frozen=True, eq=False)
class RandomPart:
    """A random term and, for a model from a formula, how it is evaluated."""

    term: RandomTerm
    design: TermDesign | None = None

    @property
    def text(self) -> str:
        """The term in parentheses, as lmerTest shows it."""
        if self.design is None:
            return self.term.text
        text = self.design.spec.text
        return text if self.design.spec.diagonal else f"({text})"

    def same_as(self, other: RandomPart) -> bool:
        """Whether the two give the same model matrix."""
        a, b = self.term, other.term
        return (
            a.columns == b.columns
            and np.array_equal(a.factor.codes, b.factor.codes)
            and np.array_equal(np.asarray(a.Z), np.asarray(b.Z))
        )


@dataclass(frozen=True, eq=False)
class Reduction:
    """The random terms of a model with one thing less."""

    label: str
    parts: tuple[RandomPart, ...]

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters that are left, sigma apart."""
        return sum(part.term.n_theta for part in self.parts)


# Random terms -------------------------------------------------------------------------


def random_parts(model: LMER) -> list[RandomPart]:
    """The random terms in the formula's order, ``a/b`` as lme4 expands it."""
    if model._design is None:
        return [RandomPart(term) for term in model.re_terms]
    pairs = zip(model._design.terms, model._design.term_designs, strict=True)
    if "/" not in model._design.parsed.text:
        return [RandomPart(term, design) for term, design in pairs]
    runs: list[list[RandomPart]] = []
    for term, design in pairs:
        part = RandomPart(term, design)
        if runs and _nested_in(design.spec, runs[-1][-1]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return [part for run in runs for part in reversed(run)]


def _nested_in(spec: RandomSpec, outer: RandomPart) -> bool:
    """Whether the term is the next finer one of an expanded ``a/b``."""
    assert outer.design is not None
    before = outer.design.spec
    return spec.columns == before.columns and spec.factors[1:] == before.factors


def random_reductions(model: LMER, reduce_terms: bool = True) -> list[Reduction]:
    """Every model with one random term, or one variable of one, less.

    The rules are lmerTest's: ``(x | g)`` loses x, ``(0 + f | g)`` becomes ``(1 | g)``,
    ``(1 | g)`` goes. Without `reduce_terms` whole terms go.
    """
    parts = random_parts(model)
    found = []
    for k, part in enumerate(parts):
        others = parts[:k] + parts[k + 1 :]
        for label, smaller in _smaller(model, part) if reduce_terms else _gone(part):
            left = list(others)
            if smaller is not None and not any(smaller.same_as(o) for o in others):
                left.append(smaller)
            found.append(Reduction(label, tuple(left)))
    return found


def _gone(part: RandomPart) -> list[tuple[str, RandomPart | None]]:
    return [(part.text, None)]


def _smaller(model: LMER, part: RandomPart) -> list[tuple[str, RandomPart | None]]:
    """The term without one of its variables, for each that marginality lets go."""
    if part.design is None:
        return _fewer_columns(part)
    specification = part.design.specification
    columns = part.design.spec.columns
    every = [] if specification is None else engine_terms(specification, columns)
    terms = [t for t in every if t.factors]
    if not terms:
        return _gone(part)
    out: list[tuple[str, RandomPart | None]] = []
    for term in marginal(terms):
        kept = [t.name for t in terms if t is not term]
        intercept = len(every) > len(terms) or not kept
        columns = " + ".join(["1" if intercept else "0", *kept]) if kept else "1"
        out.append((f"{term.label} in {part.text}", _of_columns(model, part, columns)))
    return out


def _of_columns(model: LMER, part: RandomPart, columns: str) -> RandomPart:
    """The term on the same factor with the columns of another formula."""
    design = model._design
    assert design is not None
    assert part.design is not None
    old, factor = part.design.spec, part.term.factor
    spec = replace(
        _parsed_term(design, f"({columns} | {':'.join(old.factors)})"),
        factors=old.factors,
        name=old.name,
    )
    if columns == "1":
        term = RandomTerm(factor, None, old.name, ("Intercept",))
        return RandomPart(term, TermDesign(spec, None, factor))
    if old.diagonal:
        spec = replace(spec, diagonal=True, text=f"diag({spec.text})")
    engine = compat.engine_of(part.design.specification)
    _, Z, specification = compat.build_matrices(
        columns, design.frame, design.namespace, engine
    )
    term = RandomTerm(factor, Z, old.name, diagonal=old.diagonal)
    return RandomPart(term, TermDesign(spec, specification, factor))


def _parsed_term(design: Design, text: str) -> RandomSpec:
    return parse(f"y ~ {text}", [str(c) for c in design.frame.columns]).random[0]


def _fewer_columns(part: RandomPart) -> list[tuple[str, RandomPart | None]]:
    """The same for a term of plain columns, each a variable of its own."""
    term, Z = part.term, np.asarray(part.term.Z)
    constant = constant_column(Z)
    if term.q == 1 and constant == 0:
        return _gone(part)
    out: list[tuple[str, RandomPart | None]] = []
    for j, name in enumerate(term.columns):
        if j == constant:
            continue
        kept = [i for i in range(term.q) if i != j]
        smaller = RandomTerm(term.factor, None, term.name, ("Intercept",))
        if kept:
            columns = [term.columns[i] for i in kept]
            smaller = RandomTerm(
                term.factor, Z[:, kept], term.name, columns, term.diagonal
            )
        out.append((f"{name} in {part.text}", RandomPart(smaller)))
    return out


# Fixed terms --------------------------------------------------------------------------


def engine_terms(specification: Any, text: str) -> list[FixedTerm]:
    """The terms of an evaluated formula in R's order: by degree, then as written.

    The intercept has no factors. The engines themselves sort terms by their numeric
    variables.
    """
    engine = compat.engine_of(specification)
    written = [frozenset(term.factors) for term in written_terms(text, engine)]
    terms = [
        FixedTerm(":".join(term.factors), frozenset(term.factors))
        for term in evaluated_terms(specification)
    ]
    return sorted(terms, key=lambda t: (len(t.factors), written.index(t.factors)))


def marginal(terms: Sequence[FixedTerm]) -> list[FixedTerm]:
    """The terms that no other term contains (R's ``drop.scope``)."""
    return [t for t in terms if not any(t.factors < o.factors for o in terms)]


def fixed_terms(model: LMER) -> list[FixedTerm]:
    """The terms of the fixed part, the intercept apart.

    A model from arrays has a term a column.
    """
    if model._design is not None:
        return [t for t in _design_terms(model._design) if t.factors]
    constant = constant_column(np.asarray(model.exog))
    names = [str(name) for name in model.exog_names]
    return [FixedTerm(n, frozenset([n])) for j, n in enumerate(names) if j != constant]


def _design_terms(design: Design) -> list[FixedTerm]:
    return engine_terms(design.specification, design.parsed.fixed)


@dataclass(frozen=True, eq=False)
class FixedPart:
    """Columns of a fixed part, all independent, and how they are evaluated."""

    exog: pd.DataFrame
    specification: Any = None
    text: str = ""


def fixed_part(model: LMER) -> FixedPart:
    """The fixed part of the model itself."""
    exog = pd.DataFrame(
        np.asarray(model.exog),
        columns=list(model.exog_names),
        index=model.data.row_labels,
    )
    if model._design is None:
        return FixedPart(exog)
    return FixedPart(exog, model._design.specification, model._design.parsed.fixed)


def fixed_part_without(model: LMER, term: FixedTerm) -> FixedPart:
    """The fixed part without one term, coded anew as the formula without it is."""
    design = model._design
    if design is None:
        return FixedPart(fixed_part(model).exog.drop(columns=[term.name]))
    every = _design_terms(design)
    names = [t.name for t in every if t.factors and t.factors != term.factors]
    intercept = "1" if any(not t.factors for t in every) else "0"
    text = " + ".join([intercept, *names])
    _, exog, specification = compat.build_matrices(
        text, design.frame, design.namespace, compat.engine_of(design.specification)
    )
    if design.drop_cols:
        exog, specification = compat.without(exog, specification, design.drop_cols)
    X = np.asarray(exog, dtype=np.float64)
    kept = orthonormal_basis(X, None).kept
    written = text.removeprefix("1 + ")
    return FixedPart(exog.iloc[:, kept], specification, written)


def contrast(model: LMER, reduced: FixedPart) -> FloatArray:
    """Rows L such that ``L beta = 0`` says that the mean is in the reduced fixed part.

    Shape (df, p). It does not depend on how factors are coded.
    """
    basis = model._basis
    Q0 = orthonormal_basis(np.asarray(reduced.exog, dtype=np.float64), None).Q
    outside = basis.Q - Q0 @ (Q0.T @ basis.Q)
    _, sines, directions = np.linalg.svd(outside, full_matrices=False)
    rows: FloatArray = directions[sines > ANGLE] @ np.linalg.inv(basis.C)
    return rows


# Models -------------------------------------------------------------------------------


def rebuilt(
    model: LMER,
    fixed: FixedPart | None = None,
    parts: Sequence[RandomPart] | None = None,
) -> LMER:
    """The model with another fixed part or other random terms, on the same rows."""
    fixed = fixed_part(model) if fixed is None else fixed
    parts = random_parts(model) if parts is None else parts
    endog = pd.Series(
        np.asarray(model.endog), index=fixed.exog.index, name=model.endog_names
    )
    arrays: dict[str, Any] = {"weights": model.weights, "offset": model.offset}
    terms = tuple(part.term for part in parts)
    if model._design is None:
        return type(model)(endog, fixed.exog, re_terms=terms, **arrays)
    designs = tuple(part.design for part in parts if part.design is not None)
    parsed = replace(
        model._design.parsed,
        fixed=fixed.text,
        random=tuple(design.spec for design in designs),
    )
    design = replace(
        model._design,
        parsed=replace(parsed, text=written(parsed)),
        endog=endog.to_frame(),
        exog=fixed.exog,
        specification=fixed.specification,
        terms=terms,
        term_designs=designs,
    )
    other = type(model)(
        design.endog,
        design.exog,
        re_terms=terms,
        design=design,
        formula=parsed.fixed_formula,
        **{compat.SPEC: fixed.specification},
        **arrays,
    )
    other.formula = parsed.fixed_formula
    return other


def written(parsed: ParsedFormula) -> str:
    """The formula as text that can be read again."""
    terms = [parsed.fixed, *(f"offset({e})" for e in parsed.offsets)]
    for spec in parsed.random:
        columns = spec.columns.removeprefix("1 + ")
        inside = f"({columns} | {':'.join(spec.factors)})"
        terms.append(f"diag{inside}" if spec.diagonal else inside)
    return _unquoted(f"{parsed.response} ~ {' + '.join(terms)}")


def _unquoted(text: str) -> str:
    """The text with ``Q("a b")`` as the formula language has it, in backticks."""

    def name(match: re.Match[str]) -> str:
        inside = match[1]
        return inside if inside.isidentifier() else f"`{inside}`"

    return re.sub(r"""\bQ\(["']([^"'`]*)["']\)""", name, text)


def description(model: LMER) -> str:
    """The model as text: its formula, or the names of its arrays."""
    if model.lmer_formula is not None:
        return model.lmer_formula
    terms = " + ".join(term.text for term in model.re_terms)
    return f"{fixed_description(model)} + {terms}"


def fixed_description(model: LMER) -> str:
    """Response and fixed part of the model as text."""
    if model._design is not None:
        return _unquoted(model._design.parsed.fixed_formula)
    columns = [str(name) for name in model.exog_names] or ["0"]
    return f"{model.endog_names} ~ {' + '.join(columns)}"


def lowest_criterion(model: LMER, reml: bool, called: str) -> float:
    """The REML criterion or deviance at the estimates of a model.

    Warns
    -----
    ConvergenceWarning
        If the search stopped short of an optimum; it is `called` so.
    """
    optimum = optimize(model.likelihood(), reml)
    if not optimum.converged:
        warnings.warn(
            f"the model without {called}: {optimum.message}",
            ConvergenceWarning,
            stacklevel=4,
        )
    return optimum.value
