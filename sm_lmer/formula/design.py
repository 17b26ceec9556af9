"""From a parsed formula and data to the arrays and names of a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.tools.sm_exceptions import MissingDataError

from ..checks import all_present, infinite
from ..checks import rows as count_rows
from ..compat import statsmodels as compat
from ..core.terms import Factor, FloatArray, RandomTerm
from .columns import ColumnKind, column_kinds
from .frames import as_frame, column_names, one_a_row, suggestion, take_columns
from .grammar import ParsedFormula, RandomSpec, parse, variables
from .groups import evaluate_group, factor_codes, new_codes
from .namespace import evaluation_namespace
from .rows import (
    OFFSET,
    WEIGHTS,
    Rows,
    complete_rows,
    rows_without,
    subset_positions,
)

__all__ = ["OFFSET", "WEIGHTS", "Design", "TermDesign", "build_design"]


@dataclass(frozen=True, eq=False)
class TermDesign:
    """How a random term's columns and groups are evaluated on new data.

    Attributes
    ----------
    spec : RandomSpec
    specification : object or None
        The engine's specification of the columns; None for an intercept alone.
    factor : Factor
        The groups of the data the model was built on.
    """

    spec: RandomSpec
    specification: Any
    factor: Factor

    def columns(self, frame: pd.DataFrame, namespace: Mapping[str, Any]) -> FloatArray:
        """Columns of Z on new data, shape (n, q); rows with missing values are nan."""
        if self.specification is None:
            return np.ones((len(frame), 1))
        Z = compat.apply_specification(self.specification, frame, namespace)
        return np.asarray(Z, dtype=np.float64)

    def codes(self, frame: pd.DataFrame, namespace: Mapping[str, Any]) -> np.ndarray:
        """Level of each row, -1 for a level the model has not seen, -2 for missing."""
        groups = [evaluate_group(e, frame, namespace) for e in self.spec.factors]
        return new_codes(self.factor, groups)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "specification": compat.portable(self.specification),
        }


@dataclass(frozen=True, eq=False)
class Design:
    """A model's arrays, and what is needed to evaluate its formula again.

    Attributes
    ----------
    parsed : ParsedFormula
    frame : DataFrame
        The columns the formula uses, in the rows the model uses.
    endog, exog : DataFrame
    specification : object
        The engine's specification of the fixed part.
    terms : tuple of RandomTerm
    term_designs : tuple of TermDesign
    weights, offset : ndarray or None
    arguments : dict
        What was given as ``weights`` and ``offset`` beside the formula: an
        expression, or the numbers of the rows used.
    drop_cols : collection of str or None
        Columns and terms left out of the fixed part.
    rows : ndarray of int
        Positions in the data of the rows used.
    dropped : dict
        Number of rows with missing values, by column.
    n_data : int
        Rows of the data before `subset` and missing values.
    namespace : dict
        Names of the caller that the formula uses.
    columns : dict of ColumnKind
        Kinds of the columns of `frame`, for new data; they need none of its rows.
    offset_specifications : tuple
        The engine's specification of each of :attr:`offsets`.
    """

    parsed: ParsedFormula
    frame: pd.DataFrame
    endog: pd.DataFrame
    exog: pd.DataFrame
    specification: Any
    terms: tuple[RandomTerm, ...]
    term_designs: tuple[TermDesign, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    arguments: dict[str, FloatArray | str]
    drop_cols: Collection[str] | None
    rows: np.ndarray
    dropped: dict[str, int]
    n_data: int
    namespace: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, ColumnKind] = field(default_factory=dict)
    offset_specifications: tuple[Any, ...] = ()

    @property
    def offsets(self) -> tuple[str, ...]:
        """All expressions of the offset, the argument's too."""
        argument = self.arguments.get("offset")
        given = (argument,) if isinstance(argument, str) else ()
        return (*self.parsed.offsets, *given)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "endog": None,
            "exog": None,
            "specification": compat.portable(self.specification),
            "namespace": compat.portable_names(self.namespace),
            "offset_specifications": tuple(
                map(compat.portable, self.offset_specifications)
            ),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = compat.restored_names(state["namespace"])

        def whole(specification: Any) -> Any:
            return compat.restored(specification, names)

        self.__dict__.update(state)
        terms = tuple(
            replace(term, specification=whole(term.specification))
            for term in self.term_designs
        )
        self.__dict__.update(
            namespace=names,
            specification=whole(self.specification),
            term_designs=terms,
            offset_specifications=tuple(map(whole, self.offset_specifications)),
        )


def build_design(
    formula: str,
    data: Any,
    *,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    subset: ArrayLike | None = None,
    missing: str = "drop",
    drop_cols: Collection[str] | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> Design:
    """Evaluate a formula with random terms on data.

    Rows with a missing value in any role are dropped together (or refused), and
    counted. See :meth:`sm_lmer.LMER.from_formula` for the parameters.
    """
    if missing not in ("drop", "raise", "none"):
        raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}.")
    frame = as_frame(data)
    if len(frame) == 0:
        raise ValueError("the data have no rows.")
    parsed = parse(formula, tuple(c for c in frame.columns if isinstance(c, str)))
    if not parsed.random:
        raise ValueError(
            f"the formula {formula!r} has no random-effects term such as (1 | group); "
            "for a model without one use statsmodels.formula.api.ols."
        )
    scope = evaluation_namespace(namespace)
    extra = {WEIGHTS: weights, OFFSET: offset}
    used, scope = _columns_in_use(parsed, frame, scope, extra)
    positions = None if subset is None else subset_positions(frame.index, subset)
    names = variables(parsed.response)
    response = names[0] if len(names) == 1 else None
    rows = complete_rows(used, frame.index, positions, missing, response)
    for attempt in range(2):
        design = _evaluate(parsed, rows, scope, extra, len(frame), drop_cols)
        bad = _rows_with_nan(design)
        if not bad:
            return design
        if missing != "drop" or attempt:
            name, where = next(iter(bad.items()))
            raise MissingDataError(
                f"{name} is not a number in {count_rows(int(where.sum()))}, although "
                "its variables are not missing there; check the function applied to "
                "them."
            )
        rows = rows_without(rows, bad)
    raise AssertionError("unreachable")


def _columns_in_use(
    parsed: ParsedFormula,
    frame: pd.DataFrame,
    scope: dict[str, Any],
    extra: dict[str, Any],
) -> tuple[dict[str, pd.Series], dict[str, Any]]:
    """All columns of all roles, and the caller's names the formula uses besides."""
    known = column_names(frame)
    builtins = compat.builtin_names()
    roles: dict[str, str] = {}
    for expression, role in _roles(parsed, extra):
        for name in variables(expression):
            if name in known or name in scope or name not in builtins:
                roles.setdefault(name, role)
    try:
        used, others = take_columns(frame, roles, scope)
    except KeyError as error:
        name = error.args[0]
        raise ValueError(
            f"unknown column {name!r} in {roles[name]}; "
            f"{suggestion(name, frame.columns)}"
        ) from None
    for role, value in extra.items():
        if value is not None and not isinstance(value, str):
            numbers = one_a_row(value, frame.index, role)
            used[role] = pd.Series(numbers, index=frame.index)
    texts = [parsed.text, *(v for v in extra.values() if isinstance(v, str))]
    words = set(re.findall(r"[^\W\d]\w*", " ".join(texts)))
    return used, {k: v for k, v in scope.items() if k in others or k in words}


def _roles(parsed: ParsedFormula, extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every expression with the words an error message uses for it."""
    roles = [(parsed.response, "the response"), (parsed.fixed, "the fixed part")]
    for spec in parsed.random:
        roles.append((spec.columns, f"the random term ({spec.text})"))
        roles += [(e, f"the grouping of ({spec.text})") for e in spec.factors]
    roles += [(expression, "offset()") for expression in parsed.offsets]
    for role, value in extra.items():
        if isinstance(value, str):
            roles.append((value, role))
    return roles


def _evaluate(
    parsed: ParsedFormula,
    rows: Rows,
    scope: dict[str, Any],
    extra: Mapping[str, Any],
    n_data: int,
    drop_cols: Collection[str] | None,
) -> Design:
    frame = rows.frame
    with np.errstate(invalid="ignore", divide="ignore"):
        endog, exog, specification = _fixed_part(parsed, frame, scope)
        # an expression that is a name stands for the column
        factors = {k: v for k, v in rows.factors.items() if k.isidentifier()}
        known = {_explicit(parsed.fixed): (exog, specification)}
        built = [_term(spec, frame, scope, factors, known) for spec in parsed.random]
        evaluated = [_expression(e, frame, scope, "offset()") for e in parsed.offsets]
        if isinstance(extra[OFFSET], str):
            evaluated.append(_expression(extra[OFFSET], frame, scope, OFFSET))
        offsets = [values for values, _ in evaluated]
        if OFFSET in frame.columns:
            offsets.append(frame[OFFSET].to_numpy(dtype=np.float64))
        weights = _weights(extra[WEIGHTS], frame, scope)
    if drop_cols:
        exog, specification = compat.without(exog, specification, drop_cols)
    return Design(
        parsed=parsed,
        frame=frame,
        endog=endog,
        exog=exog,
        specification=specification,
        terms=tuple(term for term, _ in built),
        term_designs=tuple(design for _, design in built),
        weights=weights,
        offset=np.sum(offsets, axis=0) if offsets else None,
        arguments={
            name: value if isinstance(value, str) else frame[role].to_numpy()
            for name, role in (("weights", WEIGHTS), ("offset", OFFSET))
            if (value := extra[role]) is not None
        },
        drop_cols=drop_cols,
        rows=rows.positions,
        dropped=rows.dropped,
        n_data=n_data,
        namespace=scope,
        columns=_kinds(parsed, rows.columns, extra[OFFSET]),
        offset_specifications=tuple(specification for _, specification in evaluated),
    )


def _kinds(
    parsed: ParsedFormula, columns: Mapping[str, pd.Series], offset: Any
) -> dict[str, ColumnKind]:
    """Kinds of the columns, with the levels of those that predictions evaluate."""
    texts = [parsed.fixed, *(spec.columns for spec in parsed.random), *parsed.offsets]
    texts += [offset] if isinstance(offset, str) else []
    used = [name for text in texts for name in variables(text)]
    return column_kinds(columns, used, texts)


def _fixed_part(
    parsed: ParsedFormula, frame: pd.DataFrame, scope: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    endog, exog, specification = _engine(
        parsed.fixed_formula, frame, scope, "the fixed part"
    )
    assert endog is not None
    if endog.shape[1] != 1:
        raise ValueError(
            f"the response {parsed.response!r} has {endog.shape[1]} columns; "
            "it must be one numeric column."
        )
    return endog, exog, specification


def _engine(
    formula: str, frame: pd.DataFrame, scope: Mapping[str, Any], role: str
) -> tuple[pd.DataFrame | None, pd.DataFrame, Any]:
    try:
        return compat.build_matrices(formula, frame, scope)
    except compat.formula_errors() as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(f"{role} ({formula}) cannot be evaluated: {reason}") from error


def _explicit(fixed: str) -> str:
    """The fixed part with its intercept spelled out, as random terms have it."""
    return fixed if fixed.startswith(("0 +", "1")) else f"1 + {fixed}"


def _term(
    spec: RandomSpec,
    frame: pd.DataFrame,
    scope: Mapping[str, Any],
    factors: dict[str, Factor],
    known: dict[str, tuple[pd.DataFrame, Any]],
) -> tuple[RandomTerm, TermDesign]:
    """Evaluate one random term; factors and columns met before are taken again."""
    for expression in spec.factors:
        if expression not in factors:
            factors[expression] = factor_codes(evaluate_group(expression, frame, scope))
    key = ":".join(spec.factors)
    if key not in factors:
        factors[key] = _interaction([factors[e] for e in spec.factors])
    factor = factors[key]
    if spec.columns == "1":
        term = RandomTerm(factor, None, spec.name, ("Intercept",))
        specification = None
    else:
        if spec.columns not in known:
            _, Z, specification = _engine(
                spec.columns, frame, scope, f"the random term ({spec.text})"
            )
            known[spec.columns] = Z, specification
        Z, specification = known[spec.columns]
        term = RandomTerm(factor, Z, spec.name, diagonal=spec.diagonal)
    return term, TermDesign(spec, specification, factor)


def _interaction(parts: list[Factor]) -> Factor:
    factor = Factor.interaction(parts)
    missing = np.any([part.codes < 0 for part in parts], axis=0)
    return replace(factor, codes=np.where(missing, -1, factor.codes))


def _weights(
    value: Any, frame: pd.DataFrame, scope: Mapping[str, Any]
) -> FloatArray | None:
    """Weights, from the argument's own column or from its expression."""
    if isinstance(value, str):
        return _expression(value, frame, scope, WEIGHTS)[0]
    return None if value is None else frame[WEIGHTS].to_numpy(dtype=np.float64)


def _expression(
    expression: str, frame: pd.DataFrame, scope: Mapping[str, Any], role: str
) -> tuple[FloatArray, Any]:
    """A numeric column by its expression, with the engine's specification of it."""
    _, right, specification = _engine(_as_column(expression), frame, scope, role)
    if right.shape[1] != 1:
        raise ValueError(f"{role} {expression!r} must be one numeric column.")
    return right.to_numpy(dtype=np.float64)[:, 0], specification


def _as_column(expression: str) -> str:
    """The formula of an expression by itself."""
    return f"0 + I({expression})"


def _rows_with_nan(design: Design) -> dict[str, np.ndarray]:
    """Evaluated columns that are not numbers somewhere; infinite ones are refused."""
    extras = [v for v in (design.weights, design.offset) if v is not None]
    evaluated = [design.endog.to_numpy(), design.exog.to_numpy(), *extras]
    if all_present(evaluated, design.terms):
        return {}
    named = [(str(name), design.endog[name]) for name in design.endog.columns]
    named += [(str(name), design.exog[name]) for name in design.exog.columns]
    for term in design.terms:
        Z = np.asarray(term.Z)
        named += [(name, Z[:, j]) for j, name in enumerate(term.columns or ())]
        missing = np.where(term.factor.codes < 0, np.nan, 0.0)
        named.append((f"the grouping {term.name}", missing))
    named += [
        (role, value)
        for role, value in ((WEIGHTS, design.weights), (OFFSET, design.offset))
        if value is not None
    ]
    bad = {}
    for name, column in named:
        values = np.asarray(column, dtype=np.float64)
        if np.isinf(values).any():
            raise infinite(name, int(np.isinf(values).sum()))
        where = np.isnan(values)
        if where.any():
            bad[name] = where
    return bad
