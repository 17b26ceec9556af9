"""MixedLM's arguments as an lme4 formula: ``groups``, ``re_formula``, ``vc_formula``.

statsmodels' MixedLM has one grouping factor. Its ``re_formula`` gives columns whose
coefficients vary over the groups with any covariance; each entry of ``vc_formula``
gives columns, made anew within every group, whose coefficients are independent with
one variance. In bars these are ``(x | g)`` and, for columns that are indicators of a
factor, ``(1 | g:a)``. :func:`translate` writes them; what no bars can say it refuses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..compat import statsmodels as compat
from .frames import as_frame, check_index, plain, suggestion
from .grammar import FormulaError, ParsedFormula, parse, variables
from .groups import evaluate_group
from .namespace import evaluation_namespace
from .reader import Reader, plain_text, sole_argument, walk

ARRAY_LABEL = "Group"
"""MixedLM's name of groups that are given as an array."""

REMEDIES = {
    "exog_vc": "write vc_formula= in LMER.from_formula, or give re_terms=",
    "use_sqrt": "leave it out, as LMER always works with Cholesky factors",
    "free": "write diag(x | g), or vc_formula=, for independent coefficients",
    "fe_pen": "LMER has no penalised fits",
    "cov_pen": "LMER has no penalised fits",
    "do_cg": "evaluate model.criterion(theta) for a fit without a search",
    "niter_sa": "leave it out, as it does nothing in MixedLM either",
    **dict.fromkeys(
        ("eps", "maxcor", "ftol", "tol", "maxls"), "use gtol= and maxiter= instead"
    ),
}
"""What to do about arguments of MixedLM that LMER does not take."""

_STATEFUL = {"bs", "cc", "center", "cr", "cs", "hashed", "lag", "poly", "scale"}
_STATEFUL |= {"standardize", "te"}


@dataclass(frozen=True)
class Piece:
    """A factor of a column of a variance component.

    Attributes
    ----------
    text : str
        ``C(cask)`` or ``x``.
    part : int or None
        Which part of the grouping factor holds its level; None for a number.
    """

    text: str
    part: int | None


@dataclass(frozen=True)
class Component:
    """One entry of ``vc_formula``.

    Attributes
    ----------
    name : str
    bars : str
        The random term.
    term : int
        Its position among the model's ``re_terms``.
    pieces : tuple of Piece
        What a column's name is made of.
    names : tuple of str
        Names of the columns themselves, if these are numbers that are never nonzero
        in the same row; the last part of the grouping factor tells which it is.
    """

    name: str
    bars: str
    term: int
    pieces: tuple[Piece, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class MixedLMRoles:
    """What MixedLM would call the terms of a model.

    Attributes
    ----------
    label : str
        Name of the groups: the column's, or "Group" for an array.
    only : tuple
        The label of the only group; empty if there are several.
    random : int or None
        Position among ``re_terms`` of what ``re_formula`` gives.
    components : tuple of Component
        By name, as MixedLM orders them.
    """

    label: str
    only: tuple[Any, ...]
    random: int | None
    components: tuple[Component, ...]

    def placed(self, order: Sequence[int]) -> MixedLMRoles:
        """The roles for terms that are put in another order."""
        at = {old: new for new, old in enumerate(order)}
        components = tuple(replace(c, term=at[c.term]) for c in self.components)
        random = None if self.random is None else at[self.random]
        return replace(self, random=random, components=components)


@dataclass(frozen=True)
class _Data:
    """The data, the group in them and the names of the caller."""

    frame: pd.DataFrame
    group: str
    scope: Mapping[str, Any]
    crossed: bool

    @property
    def columns(self) -> list[str]:
        return [c for c in self.frame.columns if isinstance(c, str)]

    @property
    def expression(self) -> str:
        return self.group if self.group.isidentifier() else f"`{self.group}`"


def translate(
    formula: str,
    data: Any,
    groups: ArrayLike | str | None,
    re_formula: str | None,
    vc_formula: Mapping[str, str] | None,
    namespace: Mapping[str, Any],
) -> tuple[str, pd.DataFrame, MixedLMRoles]:
    """Write MixedLM's arguments as an lme4 formula.

    Parameters
    ----------
    formula : str
        The response and the fixed part.
    data : DataFrame
    groups : array_like or str
        The group of each row, or the name of its column.
    re_formula : str, optional
        Columns of unstructured covariance; a random intercept by default if there is
        no `vc_formula`, else none.
    vc_formula : mapping of str, optional
        Columns of each variance component.
    namespace : dict
        Names of the caller.

    Returns
    -------
    formula : str
    data : DataFrame
        With a column of the groups, if they were an array.
    roles : MixedLMRoles

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> pastes = sml.datasets.load_pastes()
    >>> vc = {"cask": "0 + C(cask)"}
    >>> text, _, roles = translate("strength ~ 1", pastes, "batch", "1", vc, {})
    >>> text
    'strength ~ 1 + (1 | batch) + (1 | batch:cask)'
    >>> roles.components[0].name
    'cask'
    """
    frame = as_frame(data)
    if groups is None:
        raise ValueError(
            "re_formula and vc_formula need groups=, the name of a column or an array; "
            "or write the random terms in the formula, as y ~ x + (x | g)."
        )
    frame, name, label = _with_groups(frame, groups)
    values = pd.unique(frame[name].dropna())
    if len(values) == 0:
        raise ValueError("groups is missing in all rows.")
    scope = {**evaluation_namespace(namespace), "I": _identity}
    known = _Data(frame, name, scope, crossed=len(values) == 1)
    if parse(formula, known.columns).random:
        raise ValueError(
            f"the formula {formula!r} has random terms already; leave out groups=, "
            "re_formula= and vc_formula=, or write the terms they stand for as bars."
        )
    bars = []
    if columns := _random_columns(re_formula, vc_formula, known):
        bars.append(f"({columns} | {known.expression})")
    components = _components(vc_formula, known, first=len(bars))
    if not bars and not components:
        raise ValueError(
            f"re_formula={re_formula!r} leaves the model without a random effect; "
            "use statsmodels.formula.api.ols."
        )
    bars += [component.bars for component in components]
    random = 0 if columns else None
    only = tuple(values) if known.crossed else ()
    roles = MixedLMRoles(label, only, random, components)
    return f"{formula.strip()} + {' + '.join(bars)}", frame, roles


def unknown_arguments(function: str, names: Iterable[str]) -> str:
    """The sentence on arguments that a function does not take.

    Examples
    --------
    >>> unknown_arguments("LMER.fit", ["niter_sa"])
    'LMER.fit got unknown arguments: niter_sa (leave it out, as it does nothing in \
MixedLM either).'
    """
    shown = [f"{n} ({REMEDIES[n]})" if n in REMEDIES else n for n in sorted(names)]
    return f"{function} got unknown arguments: {', '.join(shown)}."


def _identity(values: Any) -> Any:
    return values


# The groups --------------------------------------------------------------------------


def _with_groups(
    frame: pd.DataFrame, groups: ArrayLike | str
) -> tuple[pd.DataFrame, str, str]:
    """The data with the groups in them, their column, and what MixedLM calls it."""
    if isinstance(groups, str):
        if groups not in frame.columns:
            raise ValueError(
                f"unknown column {groups!r} in groups; "
                f"{suggestion(groups, frame.columns)}"
            )
        return frame, groups, groups
    check_index(groups, frame.index, "groups")
    if np.shape(groups) != (len(frame),):
        raise ValueError(
            f"groups has shape {np.shape(groups)}, but the data have {len(frame)} "
            "rows; give one label a row, of all rows before subset."
        )
    column = _as_series(groups).set_axis(frame.index)
    name = column.name
    if isinstance(name, str) and name in frame.columns and column.equals(frame[name]):
        return frame, name, ARRAY_LABEL
    if not isinstance(name, str) or name in frame.columns:
        name = ARRAY_LABEL
    while name in frame.columns:
        name += "_"
    return frame.assign(**{name: column}), name, ARRAY_LABEL


def _as_series(groups: Any) -> pd.Series:
    own = (np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)
    if hasattr(groups, "to_numpy") and not isinstance(groups, own):  # polars, Arrow
        return pd.Series(groups.to_numpy())
    return pd.Series(groups)


# re_formula --------------------------------------------------------------------------


def _random_columns(
    re_formula: str | None, vc_formula: Mapping[str, str] | None, known: _Data
) -> str:
    """What stands before the bar for ``re_formula``; empty for nothing."""
    if re_formula is None:
        return "" if vc_formula else "1"
    text = _right_side(re_formula, "re_formula")
    parsed = _read(text, "re_formula", "y ~ {}", known)
    if parsed.random:
        raise ValueError(
            f"re_formula={re_formula!r} has bars; write the random terms in the "
            "formula, and leave out groups= and re_formula=."
        )
    return "" if parsed.fixed == "0" else text


def _right_side(formula: Any, role: str) -> str:
    if not isinstance(formula, str):
        raise TypeError(f"{role} is a string, not {type(formula).__name__}.")
    return formula.strip().removeprefix("~").strip()


def _read(text: str, role: str, template: str, known: _Data) -> ParsedFormula:
    try:
        return parse(template.format(text), known.columns)
    except FormulaError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{role}={text!r} cannot be read: {reason}") from None


# vc_formula --------------------------------------------------------------------------


def _components(
    vc_formula: Mapping[str, str] | None, known: _Data, first: int
) -> tuple[Component, ...]:
    if vc_formula is None:
        return ()
    if not isinstance(vc_formula, Mapping):
        raise TypeError(
            "vc_formula is a mapping of formulas by name, as "
            f"{{'a': '0 + C(a)'}}, not {type(vc_formula).__name__}."
        )
    return tuple(
        _component(name, vc_formula[name], known, first + k)
        for k, name in enumerate(sorted(vc_formula))
    )


def _component(name: str, formula: str, known: _Data, at: int) -> Component:
    role = f"vc_formula[{name!r}]"
    text = _right_side(formula, role)
    specs = _read(text, role, "y ~ ({} || g)", known).random
    terms = [_atoms(spec.columns.removeprefix("0 + ")) for spec in specs]
    for atom in {atom for term in terms for atom in term}:
        _check_row_by_row(atom, role, known)
    if len(terms) == 1:
        return _single(name, terms[0], known, at)
    if not _are_disjoint(terms, known):
        remedy = "give each column a component of its own"
        if any(_categories(atom, known) for term in terms for atom in term):
            remedy = "write '0 + C(a)' for the levels of a factor, without an intercept"
        raise ValueError(
            f"{role}={text!r} has several columns that share one variance, which bars "
            f"cannot say; {remedy}."
        )
    return _disjoint(name, terms, known, at)


def _atoms(term: str) -> list[str]:
    """The variables that interact in a term; none for the intercept."""
    nodes = walk(Reader(term, None).right_side())
    return [node.text for node in nodes if node.op == "atom"]


def _single(name: str, atoms: list[str], known: _Data, at: int) -> Component:
    """A component of one term: the levels of factors, perhaps times numbers."""
    expressions = {atom: _categories(atom, known) for atom in atoms}
    numbers = [atom for atom in atoms if expressions[atom] is None]
    factors = {plain_text(e): e for e in expressions.values() if e is not None}
    if not (known.crossed and factors):
        factors = {known.group: known.expression} | factors
        factors[known.group] = known.expression
    parts = list(factors)
    pieces = tuple(
        Piece(plain_text(atom), None if e is None else parts.index(plain_text(e)))
        for atom, e in expressions.items()
    )
    columns = f"0 + {':'.join(numbers)}" if numbers else "1"
    return Component(name, f"({columns} | {':'.join(factors.values())})", at, pieces)


def _disjoint(name: str, terms: list[list[str]], known: _Data, at: int) -> Component:
    """Columns of numbers of which at most one is not zero in any row."""
    products = ["*".join(f"({atom})" for atom in term) for term in terms]
    which = ", ".join(f"{product} != 0" for product in products)
    columns = f"0 + I({' + '.join(products)})"
    bars = f"({columns} | {known.expression}:np.argmax([{which}], axis=0))"
    names = tuple(":".join(map(plain_text, term)) for term in terms)
    return Component(name, bars, at, (), names)


def _are_disjoint(terms: list[list[str]], known: _Data) -> bool:
    """Whether the terms are columns of numbers that never meet in a row."""
    met = np.zeros(len(known.frame), dtype=bool)
    for term in terms:
        if not term or any(_categories(atom, known) for atom in term):
            return False
        present = np.ones(len(known.frame), dtype=bool)
        for atom in term:
            values = _evaluated(atom, known)
            if values is None:
                return False
            present &= np.nan_to_num(values.to_numpy(np.float64, na_value=0.0)) != 0
        if (met & present).any():
            return False
        met |= present
    return True


def _evaluated(atom: str, known: _Data) -> pd.Series | None:
    """The values of an expression, None if a variable of it is unknown."""
    names = variables(atom)
    if any(n not in known.frame.columns and n not in known.scope for n in names):
        return None
    return evaluate_group(atom, known.frame, known.scope)


def _categories(atom: str, known: _Data) -> str | None:
    """The grouping expression of a categorical variable, None for numbers.

    As the engines have it, all but numbers are categories; for patsy so are booleans.
    """
    match ast.parse(atom, mode="eval").body:
        case ast.Call(func=ast.Name(id="C"), args=[variable, *_]):
            return _grouping(ast.get_source_segment(atom, variable) or atom)
    values = _evaluated(atom, known)
    if values is None:
        return None
    dtype = plain(values.dropna()).dtype
    if pd.api.types.is_bool_dtype(dtype):
        return _grouping(atom) if compat.engine() == "patsy" else None
    return None if pd.api.types.is_numeric_dtype(dtype) else _grouping(atom)


def _grouping(expression: str) -> str:
    """The expression as one that can stand right of a bar: a name or a call."""
    expression = sole_argument(expression, "I") or expression
    body = ast.parse(expression, mode="eval").body
    alone = isinstance(body, (ast.Name, ast.Call))
    return expression if alone else f"np.asarray({expression})"


def _check_row_by_row(atom: str, role: str, known: _Data) -> None:
    """Refuse what has another meaning within the groups than in all data."""
    for node in ast.walk(ast.parse(atom, mode="eval")):
        match node:
            case ast.Call(func=ast.Name(id="C"), args=args, keywords=keywords):
                _check_coding(atom, role, [*args[1:], *(k.value for k in keywords)])
            case ast.Call(func=ast.Name(id=name)) if name in _STATEFUL:
                _refuse_within(atom, role)
    expression = _categories(atom, known) or atom
    if expression.isidentifier():
        return
    whole = _evaluated(expression, known)
    if whole is None:
        return
    groups = known.frame[known.group]
    rows = (groups == groups.dropna().iloc[0]).to_numpy(dtype=bool, na_value=False)
    within = evaluate_group(expression, known.frame[rows], known.scope)
    if not within.equals(whole[rows]):
        _refuse_within(atom, role)


def _check_coding(atom: str, role: str, codings: list[ast.expr]) -> None:
    for coding in codings:
        if not ast.unparse(coding).startswith("Treatment"):
            raise ValueError(
                f"{role} codes {atom}, but bars have the levels themselves; leave the "
                "contrasts out."
            )


def _refuse_within(atom: str, role: str) -> None:
    raise ValueError(
        f"{role} has {atom}, which MixedLM evaluates within each group and bars in all "
        "data; compute it as a column first."
    )
