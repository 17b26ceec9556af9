"""Predictions: which random effects they hold, new data, new levels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..arrays import numbers
from ..checks import rows
from ..compat import statsmodels as compat
from ..formula.frames import as_frame, as_pandas, one_a_row, plain, suggestion
from ..formula.grammar import RandomSpec, parse, variables
from ..formula.groups import MISSING, UNSEEN, level_codes

if TYPE_CHECKING:
    from ..core.terms import FloatArray
    from ..formula.design import Design, TermDesign
    from ..model import LMER
    from ..results import LMERResults

Columns = dict[int, list[int]]
"""Columns of each term, by its position among the model's terms."""


def predict(
    results: LMERResults,
    exog: Any,
    transform: bool,
    re_form: Any,
    allow_new_levels: bool,
    offset: ArrayLike | None,
) -> Any:
    """See :meth:`sm_lmer.results.LMERResults.predict`."""
    model = results.model
    columns = random_columns(model, re_form)
    if exog is None:
        if offset is not None:
            raise ValueError(
                "offset goes with new data; the model's own rows have theirs already."
            )
        return _at_own_rows(results, columns)
    bare = isinstance(exog, (np.ndarray, list, tuple))
    if bare or not transform or model._design is None:
        if columns and re_form is not None:
            raise ValueError(
                "columns of the fixed part alone have no groups; for random effects "
                "use a model built from a formula and new data with its columns."
            )
        return _from_matrix(results, exog, offset)
    frame = _new_frame(model, exog)
    needed, groupings = _needed(model, columns), _groupings(model, columns)
    _require({**groupings, **needed}, frame)
    complete = ~frame[list(needed)].isna().to_numpy().any(axis=1)
    mean = np.full(len(frame), np.nan)
    if complete.any():
        used = _as_in_model(model, frame[complete], needed, groupings)
        mean[complete] = _mean(results, used, columns, allow_new_levels)
    return pd.Series(mean + _offset(offset, frame.index), index=frame.index)


def _offset(offset: ArrayLike | None, index: pd.Index) -> Any:
    if offset is None:
        return 0.0
    return (
        float(np.asarray(offset))
        if np.ndim(offset) == 0
        else one_a_row(offset, index, "offset")
    )


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
    names = None if model._design is None else list(_design(model).frame.columns)
    parsed = parse(f"y ~ {text}", names)
    if not parsed.random:
        raise ValueError(
            f"re_form {re_form!r} has no random term; use a formula such as "
            "'~ (1 | group)', None for all of them, or False for none."
        )
    wanted: Columns = {}
    for spec in parsed.random:
        k, positions = _match(model, spec)
        wanted[k] = sorted(set(wanted.get(k, [])) | set(positions))
    return wanted


def _match(model: LMER, spec: RandomSpec) -> tuple[int, list[int]]:
    """The model's term, and its columns, that a term of ``re_form`` names."""
    asked = _column_names(model, spec)
    for k, term in enumerate(model.re_terms):
        same = set(term.name.split(":")) == set(spec.name.split(":"))
        if same and set(asked) <= set(term.columns):
            return k, [term.columns.index(c) for c in asked]
    terms = ", ".join(term.text for term in model.re_terms)
    raise ValueError(
        f"re_form names ({spec.text}), which the model does not have; its terms "
        f"are {terms}."
    )


def _column_names(model: LMER, spec: RandomSpec) -> list[str]:
    if spec.columns == "1":
        return ["Intercept"]
    if model._design is None:
        intercept, *rest = (part.strip() for part in spec.columns.split("+"))
        return [*(["Intercept"] if intercept == "1" else []), *rest]
    design = _design(model)
    names = variables(spec.columns)
    if not set(names) <= {*design.frame.columns, *design.namespace}:
        return list(names)
    engine = compat.engine_of(design.specification)
    _, Z, _ = compat.build_matrices(
        spec.columns, design.frame, design.namespace, engine
    )
    return [str(c) for c in Z.columns]


def _at_own_rows(results: LMERResults, columns: Columns) -> Any:
    model = results.model
    mean = np.asarray(model.predict(results.params))
    for k, chosen in columns.items():
        term, b = model.re_terms[k], results._solution.b[k]
        Z = np.asarray(term.Z)[:, chosen]
        mean = mean + np.einsum("nq,nq->n", Z, b[term.factor.codes][:, chosen])
    labels = model.data.row_labels
    return mean if labels is None else pd.Series(mean, index=labels)


def _from_matrix(results: LMERResults, exog: Any, offset: ArrayLike | None) -> Any:
    """The marginal mean of rows of the fixed part."""
    names = list(results.model.exog_names)
    exog = as_pandas(exog)
    if isinstance(exog, pd.Series):
        exog = exog.to_frame().T if set(names) <= set(exog.index) else exog.to_frame()
    if isinstance(exog, pd.DataFrame) and set(names) <= set(exog.columns):
        exog = exog[names]
    X = numbers(exog, "exog")
    if X.ndim == 1:
        X = X[:, None] if len(names) == 1 else X[None, :]
    if X.shape[1] != len(names):
        raise ValueError(
            f"exog has {X.shape[1]} columns, but the fixed part has {len(names)} "
            f"({', '.join(map(str, names))})."
        )
    mean = results.model.predict(results.params, X)
    if isinstance(exog, pd.DataFrame):
        return pd.Series(mean + _offset(offset, exog.index), index=exog.index)
    return mean + _offset(offset, pd.RangeIndex(len(X)))


def _design(model: LMER) -> Design:
    """How a model built from a formula came about."""
    assert model._design is not None
    return model._design


def _new_frame(model: LMER, exog: Any) -> pd.DataFrame:
    """New data as a frame."""
    if isinstance(exog, pd.Series):
        is_row = set(exog.index) & set(_design(model).frame.columns)
        return exog.to_frame().T.infer_objects() if is_row else exog.to_frame()
    if isinstance(exog, Mapping):
        scalars = all(np.ndim(v) == 0 for v in exog.values())
        return pd.DataFrame(dict(exog), index=[0] if scalars else None)
    return as_frame(exog)


def _needed(model: LMER, columns: Columns) -> dict[str, str]:
    """Columns the means need, groupings apart, with the role of each."""
    design = _design(model)
    roles = [(design.parsed.fixed, "the fixed part")]
    roles += [(e, "the offset") for e in design.offsets]
    for k in columns:
        spec = _term_design(model, k).spec
        roles.append((spec.columns, f"the random term ({spec.text})"))
    return _in_data(model, roles)


def _groupings(model: LMER, columns: Columns) -> dict[str, str]:
    """Columns of the grouping factors, with the role of each."""
    specs = [_term_design(model, k).spec for k in columns]
    return _in_data(
        model, [(e, f"the grouping of ({s.text})") for s in specs for e in s.factors]
    )


def _in_data(model: LMER, roles: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for expression, role in roles:
        for name in variables(expression):
            if name in _design(model).frame.columns:
                found.setdefault(name, role)
    return found


def _require(needed: dict[str, str], frame: pd.DataFrame) -> None:
    for name, role in needed.items():
        if name not in frame.columns:
            raise ValueError(
                f"the new data have no column {name!r}, which {role} needs; "
                f"{suggestion(name, frame.columns)}"
            )


def _as_in_model(
    model: LMER, new: pd.DataFrame, needed: dict[str, str], groupings: dict[str, str]
) -> pd.DataFrame:
    """New columns with the types and levels of those the model was built on.

    Both engines need this: patsy refuses categories in another order, and formulaic
    takes a level it has not seen for the reference.
    """
    design = _design(model)
    texts = [design.parsed.fixed, *(d.spec.columns for d in design.term_designs)]
    columns = {name: new[name] for name in groupings}
    for name in needed:
        trained = design.frame[name]
        in_c = any(re.search(rf"\bC\(\s*{re.escape(name)}\b", text) for text in texts)
        if trained.dtype.kind in "iufb" and not in_c:
            columns[name] = _as_numbers(name, plain(new[name]), trained.dtype.kind)
        elif trained.dtype.kind in "mM":
            columns[name] = new[name]
        else:
            columns[name] = _as_levels(name, new[name], trained)
    return pd.DataFrame(columns, index=new.index)


def _as_numbers(name: str, new: pd.Series, kind: str) -> pd.Series:
    if isinstance(new.dtype, pd.CategoricalDtype):
        new = plain(new.astype(object))
    if new.dtype.kind not in "iufb" or (kind == "b" and not new.isin([0, 1]).all()):
        expected = "true or false" if kind == "b" else "numeric"
        raise ValueError(
            f"column {name!r} of the new data is not {expected}, as it was in the "
            "model's data; convert it."
        )
    return new.astype(bool if kind == "b" else np.float64)


def _as_levels(name: str, new: pd.Series, trained: pd.Series) -> pd.Series:
    categorical = isinstance(trained.dtype, pd.CategoricalDtype)
    known = trained.cat.categories if categorical else pd.unique(trained)
    levels = np.asarray(known, dtype=object)
    codes = level_codes(levels, new)
    if (codes < 0).any():
        unseen = dict.fromkeys(new[codes < 0])
        raise ValueError(
            f"column {name!r} has levels the model has not seen: "
            f"{_some(unseen, 5)}; it knows {_some(sorted(levels, key=str), 10)}."
        )
    if categorical:
        values = pd.Categorical.from_codes(codes, dtype=trained.dtype)
        return pd.Series(values, index=new.index)
    return pd.Series(levels[codes], index=new.index).astype(trained.dtype)


def _some(labels: Iterable[Any], most: int) -> str:
    shown = list(map(str, labels))
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def _term_design(model: LMER, k: int) -> TermDesign:
    """How the k-th term, in the model's order, is evaluated."""
    term = model.re_terms[k]
    position = next(i for i, t in enumerate(_design(model).terms) if t is term)
    return _design(model).term_designs[position]


def _mean(
    results: LMERResults, frame: pd.DataFrame, columns: Columns, allow_new: bool
) -> FloatArray:
    model = results.model
    design = _design(model)
    with np.errstate(invalid="ignore", divide="ignore"):
        X = compat.apply_specification(design.specification, frame, design.namespace)
        mean = numbers(X[list(model.exog_names)], "exog") @ np.asarray(results.params)
        for expression in design.offsets:
            mean = mean + _offset_column(model, expression, frame)
        for k, chosen in columns.items():
            term_design = _term_design(model, k)
            codes = term_design.codes(frame, design.namespace)
            if not allow_new:
                _refuse_new_levels(codes, term_design, frame)
            Z = term_design.columns(frame, design.namespace)[:, chosen]
            b = results._solution.b[k][:, chosen]
            effects = np.einsum("nq,nq->n", Z, b[np.maximum(codes, 0)])
            mean = mean + np.where(codes < 0, 0.0, effects)
    return mean


def _offset_column(model: LMER, expression: str, frame: pd.DataFrame) -> FloatArray:
    """An expression of the offset on new data, its functions as on the model's."""
    design = _design(model)
    engine = compat.engine_of(design.specification)
    _, _, specification = compat.build_matrices(
        f"0 + I({expression})", design.frame, design.namespace, engine
    )
    value = compat.apply_specification(specification, frame, design.namespace)
    return np.asarray(value, dtype=np.float64)[:, 0]


def _refuse_new_levels(
    codes: np.ndarray, term_design: TermDesign, frame: pd.DataFrame
) -> None:
    if (codes >= 0).all():
        return
    name = term_design.spec.name
    remedy = "allow_new_levels=True predicts them at the population's mean."
    if (codes == MISSING).any():
        count = rows(int((codes == MISSING).sum()))
        raise ValueError(
            f"the grouping factor {name!r} is missing in {count} of the new data; "
            + remedy
        )
    names = [n for e in term_design.spec.factors for n in variables(e)]
    parts = [frame[n] for n in names if n in frame.columns]
    unseen = np.flatnonzero(codes == UNSEEN)
    labels = dict.fromkeys(":".join(str(p.iloc[i]) for p in parts) for i in unseen)
    raise ValueError(
        f"the grouping factor {name!r} has levels the model has not seen: "
        f"{_some(labels, 5)}; " + remedy
    )
