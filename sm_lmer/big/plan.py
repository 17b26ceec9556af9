"""What the first pass settles: columns of the design, codes of the levels, scales.

The columns of X and of Z are those of an ordinary design, built on the sample, in which
every category occurs. Any batch is then evaluated by the same specification, so names
and coding are those of a model in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import patsy

from ..checks import infinite
from ..compat import patsy_matrices
from ..compat import statsmodels as compat
from ..compat.new_data import evaluate_new
from ..core.terms import Factor, FloatArray, IntArray, RandomTerm, lme4_order
from ..formula.design import Design, build_design
from ..formula.groups import evaluate_group, factor_codes
from .first_pass import Found, Request, kept_rows
from .scaling import Scaling, scaling_of
from .transforms import memorised

CHANGED = "the source has changed between two passes over it: "


# -- levels ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class IntegerCoder:
    """Codes of integers, by a table or, where their range is wide, by bisection."""

    ids: IntArray
    low: int
    table: IntArray | None

    @classmethod
    def of(cls, ids: IntArray, dense: bool) -> IntegerCoder:
        """Of sorted levels."""
        if not dense or len(ids) == 0:
            return cls(ids, 0, None)
        low = int(ids[0])
        table = np.full(int(ids[-1]) - low + 1, -1, dtype=np.int32)
        table[ids - low] = np.arange(len(ids), dtype=np.int32)
        return cls(ids, low, table)

    def codes(self, groups: pd.Series) -> IntArray:
        """Codes, -1 where a level is not known."""
        values = groups.to_numpy().astype(np.int64, copy=False)
        if self.table is not None:
            at = values - self.low
            inside = (at >= 0) & (at < len(self.table))
            if inside.all():
                return self.table[at]
            return np.where(inside, self.table[np.where(inside, at, 0)], -1)
        at = np.minimum(np.searchsorted(self.ids, values), len(self.ids) - 1)
        return np.where(self.ids[at] == values, at, -1)


@dataclass(frozen=True, eq=False)
class LabelCoder:
    """Codes of labels of any kind; they are looked up once a batch, not once a row."""

    index: pd.Index

    def codes(self, groups: pd.Series) -> IntArray:
        """Codes, -1 where a level is not known."""
        if isinstance(groups.dtype, pd.CategoricalDtype):
            own, labels = groups.cat.codes.to_numpy(), groups.cat.categories
        else:
            factor = factor_codes(groups)
            own, labels = factor.codes, pd.Index(factor.levels, dtype=object)
        found = self.index.get_indexer(pd.Index(labels, dtype=object))
        codes: IntArray = found.astype(np.int32)[own]
        return codes


Coder = IntegerCoder | LabelCoder


def _coders(found: Found) -> tuple[dict[str, Factor], dict[str, Coder], dict[str, Any]]:
    """Factors without rows, their coders, and the codes of the ids, by expression."""
    factors: dict[str, Factor] = {}
    coders: dict[str, Coder] = {}
    ranks: dict[str, Any] = {}
    none = np.zeros(0, dtype=np.int32)
    for expression, levels in found.levels.items():
        labels, ids = levels.finished(found.listed.get(expression))
        factors[expression] = Factor(none, labels)
        dense = getattr(levels, "present", None) is not None
        if hasattr(levels, "wide"):
            coders[expression] = IntegerCoder.of(ids, dense)
            ranks[expression] = coders[expression].codes
        else:
            coders[expression] = LabelCoder(pd.Index(labels, dtype=object))
            rank = np.full(len(levels.index), -1, dtype=np.int64)
            rank[ids] = np.arange(len(ids))
            ranks[expression] = lambda s, rank=rank: rank[s.to_numpy()]
    return factors, coders, ranks


# -- the plan --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of a batch that are used, as a model sees them.

    Attributes
    ----------
    positions : ndarray of int, shape (n,)
        Where they are among the rows of the batch.
    n_batch : int
        Rows of the batch.
    y : ndarray, shape (n,)
        Response less the offset.
    X : ndarray, shape (n, p)
    Zs : tuple of ndarray, shape (n, q)
        One a term; None for an intercept alone.
    codes : dict of ndarray, shape (n,)
        By the expressions of the grouping.
    weights, offset : ndarray, shape (n,), or None
    lost : dict
        Rows left out as something evaluated was not a number, by what it was.
    """

    positions: IntArray
    n_batch: int
    y: FloatArray
    X: FloatArray
    Zs: tuple[FloatArray | None, ...]
    codes: dict[tuple[str, ...], IntArray]
    weights: FloatArray | None
    offset: FloatArray | None
    lost: dict[str, int]


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that one pass over the rows needs to know.

    Attributes
    ----------
    request : Request
    design : Design
        Of the sample; its factors hold all levels and no rows.
    names : tuple of str
        Columns of X.
    response, weights : object or None
        The engine's specifications; None for a column, or no weights.
    coders : dict of Coder
        By grouping expression.
    known : dict of ndarray
        Sorted keys of the combinations of each interaction.
    scaling : Scaling
        Of the columns of X, and the sample's fit of y to them.
    term_scalings : tuple of Scaling
        Of the columns of each random term.
    """

    request: Request
    design: Design
    names: tuple[str, ...]
    response: Any
    weights: Any
    coders: dict[str, Coder]
    known: dict[tuple[str, ...], IntArray]
    scaling: Scaling
    term_scalings: tuple[Scaling, ...]

    def __getstate__(self) -> dict[str, Any]:
        own = {k: compat.portable(getattr(self, k)) for k in ("response", "weights")}
        return {**self.__dict__, **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = state["request"].namespace
        own = {k: compat.restored(state[k], names) for k in ("response", "weights")}
        self.__dict__.update(state, **own)

    def rescaled(self, scaling: Scaling) -> Plan:
        """The plan with another scaling of the fixed part."""
        return replace(self, scaling=scaling)

    def batch(self, batch: pd.DataFrame) -> Batch | None:
        """Evaluate a batch; None if none of its rows is used.

        Raises
        ------
        ValueError
            For a level or category that the first pass has not met.
        """
        if len(batch) == 0:
            return None
        kept = kept_rows(self.request, batch)
        groups = {
            e: evaluate_group(e, kept.frame, self.request.namespace)
            for e in self.request.groups
        }
        frame, positions = kept.frame, kept.positions
        gone = np.any([g.isna().to_numpy() for g in groups.values()], axis=0)
        if gone.any():
            frame, positions = frame[~gone], positions[~gone]
            groups = {e: g[~gone] for e, g in groups.items()}
        if len(frame) == 0:
            return None
        codes = self._codes(groups)
        frame = frame.reset_index(drop=True)
        y, X, Zs, weights, offset = self._evaluate(frame)
        bad = self._not_numbers(y, X, Zs, weights, offset)
        lost = {name: int(where.sum()) for name, where in bad.items()}
        if bad:
            ok = ~np.any(list(bad.values()), axis=0)
            positions, y, X = positions[ok], y[ok], X[ok]
            Zs = tuple(None if Z is None else Z[ok] for Z in Zs)
            codes = {key: c[ok] for key, c in codes.items()}
            weights = None if weights is None else weights[ok]
            offset = None if offset is None else offset[ok]
        if weights is not None and len(weights) and not weights.min() > 0:
            raise ValueError(
                "the weights are zero or negative in some rows; precision weights must "
                "be positive: drop rows of no weight."
            )
        return Batch(positions, len(batch), y, X, Zs, codes, weights, offset, lost)

    def _codes(
        self, groups: Mapping[str, pd.Series]
    ) -> dict[tuple[str, ...], IntArray]:
        """Levels of the rows in every grouping."""
        parts: dict[tuple[str, ...], IntArray] = {}
        for expression, values in groups.items():
            codes = self.coders[expression].codes(values)
            if codes.min(initial=0) < 0:
                label = values[codes < 0].iloc[0]
                raise ValueError(
                    f"{CHANGED}the grouping {expression!r} has a level "
                    f"{str(label)!r} that was not there in the first pass."
                )
            parts[(expression,)] = codes
        for key, known in self.known.items():
            value = np.zeros(len(codes), dtype=np.int64)
            for expression in key:
                levels = self._n_levels(expression)
                value = value * levels + parts[(expression,)]
            at = np.minimum(np.searchsorted(known, value), len(known) - 1)
            if not np.array_equal(known[at], value):
                raise ValueError(
                    f"{CHANGED}the grouping {':'.join(key)!r} has a combination of "
                    "levels that was not there in the first pass."
                )
            parts[key] = at
        return parts

    def _n_levels(self, expression: str) -> int:
        coder = self.coders[expression]
        return len(coder.ids if isinstance(coder, IntegerCoder) else coder.index)

    def _evaluate(
        self, frame: pd.DataFrame
    ) -> tuple[
        FloatArray,
        FloatArray,
        tuple[FloatArray | None, ...],
        FloatArray | None,
        FloatArray | None,
    ]:
        """Response less offset, X, columns of Z, weights and offset of some rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = _Evaluation(frame, self.request.namespace)
            exog = columns.of(self.design.specification, "the fixed part")
            X = _floats(exog[list(self.names)])
            Zs = tuple(
                None
                if d.specification is None
                else _floats(columns.of(d.specification, f"({d.spec.text})"))
                for d in self.design.term_designs
            )
            y = self._numbers(columns, self.request.parsed.response, self.response)
            weights = None
            if self.request.weights is not None:
                weights = self._numbers(columns, self.request.weights, self.weights)
            offsets = [
                _floats(columns.of(specification, "offset()"))[:, 0]
                for specification in self.design.offset_specifications
            ]
        offset = np.sum(offsets, axis=0) if offsets else None
        return y if offset is None else y - offset, X, Zs, weights, offset

    def _numbers(
        self, columns: _Evaluation, expression: str, specification: Any
    ) -> FloatArray:
        if specification is None:
            return columns.frame[expression].to_numpy(dtype=np.float64)
        return _floats(columns.of(specification, expression))[:, 0]

    def _not_numbers(
        self,
        y: FloatArray,
        X: FloatArray,
        Zs: tuple[FloatArray | None, ...],
        weights: FloatArray | None,
        offset: FloatArray | None,
    ) -> dict[str, np.ndarray]:
        """Where something evaluated is nan, by what it is; infinity is refused."""
        arrays = [y, X, *(Z for Z in Zs if Z is not None)]
        arrays += [v for v in (weights, offset) if v is not None]
        if all(np.isfinite(v.sum()) or np.isfinite(v).all() for v in arrays):
            return {}
        named = [(self.request.parsed.response, y)]
        named += [(name, X[:, j]) for j, name in enumerate(self.names)]
        for term, Z in zip(self.design.terms, Zs, strict=True):
            if Z is not None:
                named += [(name, Z[:, j]) for j, name in enumerate(term.columns)]
        if weights is not None:
            named.append(("weights (argument)", weights))
        bad = {}
        for name, values in named:
            if np.isinf(values).any():
                raise infinite(name, int(np.isinf(values).sum()))
            if (where := np.isnan(values)).any():
                bad[name] = where
        return bad


def _floats(frame: pd.DataFrame) -> FloatArray:
    return np.asarray(frame.to_numpy(), dtype=np.float64)


class _Evaluation:
    """Specifications evaluated on a batch, each once."""

    def __init__(self, frame: pd.DataFrame, namespace: Mapping[str, Any]) -> None:
        self.frame, self.namespace = frame, namespace
        self.found: dict[int, pd.DataFrame] = {}

    def of(self, specification: Any, role: str) -> pd.DataFrame:
        """The columns of a specification."""
        key = id(specification)
        if key not in self.found:
            frame = _with_categories(self.frame, specification)
            self.found[key] = evaluate_new(specification, frame, self.namespace, role)
        return self.found[key]


def _with_categories(frame: pd.DataFrame, specification: Any) -> pd.DataFrame:
    """Columns that patsy takes for factors as categoricals, which it is quick with."""
    if not isinstance(specification, patsy.DesignInfo):
        return frame
    infos = {f.code: info for f, info in specification.factor_infos.items()}
    uses = patsy_matrices._uses(infos)
    coded: dict[str, tuple[Any, ...]] = {}
    for code, info in infos.items():
        own = patsy_matrices._uses([code])
        for name in own.bare | own.coded:
            if info.type == "categorical" and name in frame.columns:
                coded[name] = info.categories
            else:
                coded[name] = ()
    changed = {}
    for name, categories in coded.items():
        if categories and name not in uses.within and frame[name].dtype != bool:
            changed[name] = _categorical(name, frame[name], categories)
    return frame.assign(**changed) if changed else frame


def _categorical(name: str, column: pd.Series, levels: tuple[Any, ...]) -> pd.Series:
    codes, labels = pd.factorize(column)
    at = pd.Index(levels, dtype=object).get_indexer(pd.Index(labels, dtype=object))
    if (at < 0).any():
        label = list(labels)[int(np.argmin(at))]
        raise ValueError(
            f"{CHANGED}column {name!r} has a category {str(label)!r} that was not "
            "there in the first pass."
        )
    return pd.Series(pd.Categorical.from_codes(at[codes], categories=list(levels)))


# -- from the first pass to the plan ---------------------------------------------------


def make_plan(
    request: Request,
    found: Found,
    drop_cols: Collection[str] | None,
    batches: Any,
) -> Plan:
    """Settle the design by what the first pass has found.

    Parameters
    ----------
    request : Request
    found : Found
    drop_cols : collection of str, optional
    batches : callable
        Makes a function of the batches and adds up what it returns; it is called for
        ``center()``, ``standardize()`` and ``scale()`` only.
    """
    pilot = found.pilot()
    design = build_design(
        request.parsed.text,
        pilot,
        weights=request.weights,
        offset=request.offset,
        missing="drop",
        drop_cols=drop_cols,
        namespace=request.namespace,
    )
    frame = design.frame
    response = _specification(request.parsed.response, frame, request)
    weights = _specification(request.weights, frame, request)
    parts = [design.specification, *(d.specification for d in design.term_designs)]
    parts += [*design.offset_specifications, response, weights]
    memorised([p for p in parts if p is not None], request, batches)
    factors, coders, ranks = _coders(found)
    known: dict[tuple[str, ...], IntArray] = {}
    for key in request.interactions:
        factors[":".join(key)], known[key] = _interaction(key, factors, ranks, found)
    design = _with_factors(design, factors)
    names = tuple(map(str, design.exog.columns))
    none = Scaling.none(0)
    plan = Plan(request, design, names, response, weights, coders, known, none, ())
    return _scaled(plan, frame)


def _specification(
    expression: str | None, frame: pd.DataFrame, request: Request
) -> Any:
    """The engine's specification of an expression, None if it is a column's name."""
    if expression is None or expression in frame.columns:
        return None
    _, _, specification = compat.build_matrices(
        f"0 + I({expression})", frame, dict(request.namespace)
    )
    return specification


def _interaction(
    key: tuple[str, ...],
    factors: Mapping[str, Factor],
    ranks: Mapping[str, Any],
    found: Found,
) -> tuple[Factor, IntArray]:
    """The factor of the combinations that occur, and their keys."""
    ids = found.crossings[key].found()
    parts = [
        Factor(np.asarray(ranks[e](pd.Series(ids[:, j])), np.int64), factors[e].levels)
        for j, e in enumerate(key)
    ]
    factor = Factor.interaction(parts)
    assert factor.combinations is not None
    keys = np.zeros(factor.n_levels, dtype=np.int64)
    for j, part in enumerate(parts):
        keys = keys * part.n_levels + factor.combinations[:, j]
    return replace(factor, codes=np.zeros(0, dtype=np.int32)), keys


@dataclass(frozen=True)
class _Counted:
    """What :func:`lme4_order` looks at."""

    factor: Factor


def _with_factors(design: Design, factors: Mapping[str, Factor]) -> Design:
    """The design with all levels of the factors, in lme4's order, and no rows."""
    terms, term_designs = [], []
    counts = [factors[":".join(d.spec.factors)] for d in design.term_designs]
    order = lme4_order([_Counted(factor) for factor in counts])  # type: ignore[misc]
    for k in order:
        term, how = design.terms[k], design.term_designs[k]
        factor = factors[":".join(how.spec.factors)]
        empty = np.zeros((0, term.q))
        terms.append(RandomTerm(factor, empty, term.name, term.columns, term.diagonal))
        term_designs.append(replace(how, factor=factor))
    return replace(
        design,
        frame=design.frame.iloc[:0],
        terms=tuple(terms),
        term_designs=tuple(term_designs),
        rows=design.rows[:0],
        weights=None,
        offset=None,
    )


def _scaled(plan: Plan, frame: pd.DataFrame) -> Plan:
    """The plan with scales by the rows of the sample."""
    y, X, Zs, _, _ = plan._evaluate(frame.reset_index(drop=True))
    ok = np.isfinite(y) & np.isfinite(X).all(axis=1)
    constant = bool(plan.names) and plan.names[0] == "Intercept"
    scaling = scaling_of(X[ok], constant).with_response(X[ok], y[ok])
    terms = []
    for term, Z in zip(plan.design.terms, Zs, strict=True):
        if Z is None:
            terms.append(Scaling.none(1))
            continue
        Z = Z[np.isfinite(Z).all(axis=1)]
        if term.diagonal or term.q == 1:
            terms.append(scaling_of(Z, False, mixed=False))
        else:
            terms.append(scaling_of(Z, term.columns[0] == "Intercept"))
    return replace(plan, scaling=scaling, term_scalings=tuple(terms))
