"""Predictions: which random effects they hold, new data, new levels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..compat import statsmodels as compat
from ..formula.frames import as_frame, plain, suggestion
from ..formula.grammar import ParsedFormula, RandomSpec, parse, variables
from ..formula.groups import MISSING, UNSEEN

if TYPE_CHECKING:
    from ..core.terms import FloatArray
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
        return _at_own_rows(results, columns)
    has_formula = model._design is not None
    if not (transform and has_formula) or isinstance(exog, np.ndarray):
        return _from_matrix(results, exog, offset)
    frame, index = _new_frame(model, exog)
    needed = _needed(model, columns)
    _require(needed, frame)
    rows = frame[list(needed)]
    complete = ~rows.isna().to_numpy().any(axis=1)
    grouping = _grouping_names(model, columns)
    used = frame.loc[:, [c for c in frame.columns if c in needed or c in grouping]]
    kept = used[complete].apply(plain) if complete.any() else used[complete]
    mean = np.full(len(frame), np.nan)
    if complete.any():
        _check_levels(model, kept, needed)
        mean[complete] = _mean(results, kept, columns, allow_new_levels)
    if offset is not None:
        mean = mean + np.asarray(offset, dtype=np.float64)
    return mean if index is None else pd.Series(mean, index=index)


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
    text = str(re_form).strip().removeprefix("~").strip()
    if text in ("0", "NA", "-1"):
        return {}
    names = None if model._design is None else list(model._design.frame.columns)
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
    design = model._design
    _, Z, _ = compat.build_matrices(spec.columns, design.frame, design.namespace)
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
    X = np.asarray(exog, dtype=np.float64)
    p = len(results.params)
    if X.ndim == 1:
        X = X[:, None] if p == 1 else X[None, :]
    if X.shape[1] != p:
        raise ValueError(
            f"exog has {X.shape[1]} columns, but the fixed part has {p} "
            f"({', '.join(results.model.exog_names)})."
        )
    mean = results.model.predict(results.params, X)
    if offset is not None:
        mean = mean + np.asarray(offset, dtype=np.float64)
    index = getattr(exog, "index", None)
    return mean if index is None else pd.Series(mean, index=index)


def _new_frame(model: LMER, exog: Any) -> tuple[pd.DataFrame, Any]:
    """New data as a frame, and the index that the prediction gets."""
    if isinstance(exog, pd.Series):
        known = set(model._design.frame.columns)
        is_row = set(exog.index) & known
        frame = exog.to_frame().T.infer_objects() if is_row else exog.to_frame()
        return frame, frame.index
    if isinstance(exog, Mapping):
        scalars = all(np.ndim(v) == 0 for v in exog.values())
        return pd.DataFrame(dict(exog), index=[0] if scalars else None), None
    frame = as_frame(exog)
    return frame, frame.index if isinstance(exog, pd.DataFrame) else None


def _needed(model: LMER, columns: Columns) -> dict[str, str]:
    """Columns the means need, groupings apart, with the role of each."""
    design = model._design
    parsed: ParsedFormula = design.parsed
    expressions = [(parsed.fixed, "the fixed part")]
    expressions += [(e, "offset()") for e in parsed.offsets]
    for k in columns:
        spec = _term_design(model, k).spec
        expressions.append((spec.columns, f"the random term ({spec.text})"))
    return {
        name: role
        for text, role in expressions
        for name in variables(text)
        if name in design.frame.columns
    }


def _grouping_names(model: LMER, columns: Columns) -> set[str]:
    specs = [_term_design(model, k).spec for k in columns]
    return {n for spec in specs for e in spec.factors for n in variables(e)}


def _require(needed: dict[str, str], frame: pd.DataFrame) -> None:
    for name, role in needed.items():
        if name not in frame.columns:
            raise ValueError(
                f"the new data have no column {name!r}, which {role} needs; "
                f"{suggestion(name, frame.columns)}"
            )


def _check_levels(model: LMER, new: pd.DataFrame, needed: dict[str, str]) -> None:
    """Refuse levels of fixed factors that the model has not seen.

    patsy does so itself; formulaic takes them for the reference level.
    """
    design = model._design
    texts = [design.parsed.fixed, *(d.spec.columns for d in design.term_designs)]
    for name in needed:
        trained = design.frame[name]
        in_c = any(re.search(rf"\bC\(\s*{re.escape(name)}\b", text) for text in texts)
        if trained.dtype.kind in "iufb" and not in_c:
            continue
        known = set(trained.unique())
        unseen = [v for v in pd.unique(new[name]) if v not in known]
        if unseen:
            raise ValueError(
                f"column {name!r} has levels the model has not seen: "
                f"{', '.join(map(repr, unseen[:5]))}; it knows "
                f"{', '.join(map(repr, sorted(known, key=str)[:10]))}."
            )


def _term_design(model: LMER, k: int) -> Any:
    """How the k-th term, in the model's order, is evaluated."""
    term = model.re_terms[k]
    position = next(i for i, t in enumerate(model._design.terms) if t is term)
    return model._design.term_designs[position]


def _mean(
    results: LMERResults, frame: pd.DataFrame, columns: Columns, allow_new: bool
) -> FloatArray:
    model = results.model
    design = model._design
    names = design.namespace
    spec = getattr(model.data, compat.SPEC)
    X = compat.apply_specification(spec, frame, names)
    mean = np.asarray(X[list(model.exog_names)], dtype=np.float64) @ np.asarray(
        results.params
    )
    for expression in design.parsed.offsets:
        _, value, _ = compat.build_matrices(f"0 + I({expression})", frame, names)
        mean = mean + np.asarray(value, dtype=np.float64)[:, 0]
    for k, chosen in columns.items():
        term_design = _term_design(model, k)
        _require(
            {
                n: f"the grouping of ({term_design.spec.text})"
                for e in term_design.spec.factors
                for n in variables(e)
                if n in design.frame.columns
            },
            frame,
        )
        codes = term_design.codes(frame, names)
        _refuse_new_levels(codes, term_design, frame, allow_new)
        Z = term_design.columns(frame, names)[:, chosen]
        b = results._solution.b[k][:, chosen]
        effects = np.einsum("nq,nq->n", Z, b[np.maximum(codes, 0)])
        mean = mean + np.where(codes < 0, 0.0, effects)
    return mean


def _refuse_new_levels(
    codes: np.ndarray, term_design: Any, frame: pd.DataFrame, allow: bool
) -> None:
    if allow or (codes >= 0).all():
        return
    name = term_design.spec.name
    remedy = "allow_new_levels=True predicts them at the population's mean."
    if (codes == MISSING).any():
        count = int((codes == MISSING).sum())
        raise ValueError(
            f"the grouping factor {name!r} is missing in {count} rows of the new data; "
            + remedy
        )
    parts = [frame[n] for e in term_design.spec.factors for n in variables(e)]
    rows = np.flatnonzero(codes == UNSEEN)
    labels = dict.fromkeys(":".join(str(p.iloc[i]) for p in parts) for i in rows)
    shown = ", ".join(list(labels)[:5]) + (", ..." if len(labels) > 5 else "")
    raise ValueError(
        f"the grouping factor {name!r} has levels the model has not seen: {shown}; "
        + remedy
    )
