"""Predictions: which random effects they hold, new data, new levels.

Nothing here needs the rows of the model's data, but for predictions at these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..arrays import numbers
from ..checks import rows as count_rows
from ..compat.new_data import evaluate_new
from ..core.terms import FloatArray, IntArray
from ..formula.columns import some
from ..formula.frames import as_frame, as_pandas, one_a_row, suggestion
from ..formula.grammar import RandomSpec, variables
from ..formula.groups import MISSING, UNSEEN
from .re_form import Columns, design_of, random_columns, term_design

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

FIXED = "the fixed part"


@dataclass(frozen=True, eq=False)
class TermRows:
    """A random term at the rows of a prediction.

    Attributes
    ----------
    position : int
        Of the term, among the model's.
    codes : ndarray of int, shape (m,)
        Level of each row; negative where the model has not seen it.
    Z : ndarray, shape (m, q)
        Zero in columns that the prediction leaves out.
    """

    position: int
    codes: IntArray
    Z: FloatArray


@dataclass(frozen=True, eq=False)
class Rows:
    """What a prediction holds, row by row.

    Attributes
    ----------
    X : ndarray, shape (m, p)
        Rows of the fixed part; nan where a value is missing.
    terms : tuple of TermRows
    offset : ndarray, shape (m,)
    complete : ndarray of bool, shape (m,)
        Rows without missing values.
    labels : Index or None
    frame : DataFrame or None
        The new data.
    """

    X: FloatArray
    terms: tuple[TermRows, ...]
    offset: FloatArray
    complete: np.ndarray
    labels: pd.Index | None
    frame: pd.DataFrame | None = None

    def mean(self, results: LMERResults) -> FloatArray:
        """The predicted means, nan for incomplete rows."""
        mean = self.X @ np.asarray(results.params) + self.offset
        for term in self.terms:
            b = results._solution.b[term.position]
            effects = np.einsum("mq,mq->m", term.Z, b[np.maximum(term.codes, 0)])
            mean = mean + np.where(term.codes < 0, 0.0, effects)
        return np.where(self.complete, mean, np.nan)

    def finite(self) -> np.ndarray:
        """Rows that have a variance."""
        arrays = [self.X, *(term.Z for term in self.terms)]
        finite = [np.isfinite(array).all(axis=1) for array in arrays]
        return self.complete & np.all(finite, axis=0)


def predict(
    results: LMERResults,
    exog: Any,
    transform: bool,
    re_form: Any,
    allow_new_levels: bool,
    offset: ArrayLike | None,
) -> Any:
    """See :meth:`sm_lmer.results.LMERResults.predict`."""
    rows = evaluate(results.model, exog, transform, re_form, allow_new_levels, offset)
    mean = rows.mean(results)
    return mean if rows.labels is None else pd.Series(mean, index=rows.labels)


def evaluate(
    model: LMER,
    exog: Any,
    transform: bool,
    re_form: Any,
    allow_new_levels: bool,
    offset: ArrayLike | None,
) -> Rows:
    """The rows of a prediction; see :meth:`sm_lmer.results.LMERResults.predict`.

    Raises
    ------
    ValueError
        If the new data lack a column, or hold levels the model has not seen.
    """
    columns = random_columns(model, re_form)
    if exog is None:
        if offset is not None:
            raise ValueError(
                "offset goes with new data; the model's own rows have theirs already."
            )
        return _own_rows(model, columns)
    bare = isinstance(exog, (np.ndarray, list, tuple))
    if bare or not transform or model._design is None:
        if columns and re_form is not None:
            raise ValueError(
                "columns of the fixed part alone have no groups; for random effects "
                "use a model built from a formula and new data with its columns."
            )
        return _matrix_rows(model, exog, offset)
    return _new_rows(model, _new_frame(model, exog), columns, allow_new_levels, offset)


# -- rows --------------------------------------------------------------------------


def _own_rows(model: LMER, columns: Columns) -> Rows:
    if model._statistics is not None:
        model.require_rows("a prediction at its own rows")
    if getattr(model, "exog", None) is None:
        raise ValueError(
            "the model's data were removed by remove_data(); pass new data as exog."
        )
    n = len(model.exog)
    terms = []
    for k, chosen in columns.items():
        term = model.re_terms[k]
        terms.append(TermRows(k, term.factor.codes, _only(np.asarray(term.Z), chosen)))
    return Rows(
        X=np.asarray(model.exog, dtype=np.float64),
        terms=tuple(terms),
        offset=np.zeros(n) if model.offset is None else model.offset,
        complete=np.ones(n, dtype=bool),
        labels=model.data.row_labels,
    )


def _only(Z: FloatArray, chosen: list[int]) -> FloatArray:
    """Z with zeros in the columns not chosen."""
    if len(chosen) == Z.shape[1]:
        return Z
    out = np.zeros_like(Z)
    out[:, chosen] = Z[:, chosen]
    return out


def _matrix_rows(model: LMER, exog: Any, offset: ArrayLike | None) -> Rows:
    """Rows of the fixed part, as columns of X."""
    names = list(model.exog_names)
    exog = as_pandas(exog)
    if isinstance(exog, Mapping):
        exog = _mapped(exog)
    if isinstance(exog, pd.Series):
        exog = exog.to_frame().T if set(names) <= set(exog.index) else exog.to_frame()
    frame = exog if isinstance(exog, pd.DataFrame) else None
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
    index = pd.RangeIndex(len(X)) if frame is None else frame.index
    return Rows(
        X=X,
        terms=(),
        offset=_offset(offset, index),
        complete=np.asarray(~np.isnan(X).any(axis=1)),
        labels=None if frame is None else frame.index,
        frame=frame,
    )


def _new_rows(
    model: LMER,
    frame: pd.DataFrame,
    columns: Columns,
    allow_new: bool,
    offset: ArrayLike | None,
) -> Rows:
    """Rows of new data in the columns of a model's formula."""
    design = design_of(model)
    needed, groupings = _needed(model, columns), _groupings(model, columns)
    _require({**groupings, **needed}, frame)
    complete = _complete(frame, needed)
    m = len(frame)
    X = np.full((m, len(model.exog_names)), np.nan)
    total = _offset(offset, frame.index)
    terms = [
        TermRows(k, np.full(m, MISSING), np.zeros((m, model.re_terms[k].q)))
        for k in columns
    ]
    if complete.any():
        used = _as_in_model(model, frame[complete], needed, groupings)
        with np.errstate(invalid="ignore", divide="ignore"):
            X[complete] = _fixed_columns(model, used)
            for expression, specification in zip(
                design.offsets, design.offset_specifications, strict=True
            ):
                role = f"offset({expression})"
                added = evaluate_new(specification, used, design.namespace, role)
                total[complete] += np.asarray(added, dtype=np.float64)[:, 0]
            for term in terms:
                codes, Z = _term_values(model, term.position, used, allow_new)
                term.codes[complete] = codes
                term.Z[complete] = _only(Z, columns[term.position])
    return Rows(X, tuple(terms), total, complete, frame.index, frame)


def _offset(offset: ArrayLike | None, index: pd.Index) -> FloatArray:
    if offset is None or np.ndim(offset) == 0:
        return np.full(len(index), 0.0 if offset is None else float(np.asarray(offset)))
    return one_a_row(offset, index, "offset").copy()


def _fixed_columns(model: LMER, used: pd.DataFrame) -> FloatArray:
    design = design_of(model)
    X = evaluate_new(design.specification, used, design.namespace, FIXED)
    return numbers(X[list(model.exog_names)], "exog")


def _term_values(
    model: LMER, k: int, used: pd.DataFrame, allow_new: bool
) -> tuple[IntArray, FloatArray]:
    """Levels and columns of Z of a random term on new data."""
    names, term = design_of(model).namespace, term_design(model, k)
    codes = term.codes(used, names)
    if not allow_new:
        _refuse_new_levels(codes, term.spec, used)
    if term.specification is None:
        return codes, np.ones((len(used), 1))
    role = f"the random term ({term.spec.text})"
    Z = evaluate_new(term.specification, used, names, role)
    return codes, np.asarray(Z, dtype=np.float64)


def design_rows(model: LMER, frame: pd.DataFrame) -> FloatArray:
    """Rows of X, in the model's own coding, at new values of its variables.

    Parameters
    ----------
    model : LMER
    frame : DataFrame
        For a model built from a formula the variables of its fixed part, otherwise
        the columns of its `exog`. Others do no harm.

    Returns
    -------
    ndarray, shape (m, p)
        The kept columns, in the order of ``model.exog_names``; rows with missing
        values are nan. Offsets are no part of it.

    Raises
    ------
    ValueError
        For a missing column, a column of another kind than in the model's data, or
        a level the model has not seen.

    Examples
    --------
    >>> import pandas as pd, sm_lmer.api as sml
    >>> from sm_lmer.inference.prediction import design_rows
    >>> data = sml.datasets.load_machines()
    >>> model = sml.lmer("score ~ Machine + (1 | Worker)", data)
    >>> design_rows(model, pd.DataFrame({"Machine": ["A", "C"]}))
    array([[1., 0., 0.],
           [1., 0., 1.]])
    """
    names = list(model.exog_names)
    if model._design is None:
        _require(dict.fromkeys(names, FIXED), frame)
        return numbers(frame[names], "exog")
    needed = _in_data(model, [(design_of(model).parsed.fixed, FIXED)])
    _require(needed, frame)
    complete = _complete(frame, needed)
    X = np.full((len(frame), len(names)), np.nan)
    if complete.any():
        used = _as_in_model(model, frame[complete], needed, {})
        with np.errstate(invalid="ignore", divide="ignore"):
            X[complete] = _fixed_columns(model, used)
    return X


# -- new data ----------------------------------------------------------------------


def _new_frame(model: LMER, exog: Any) -> pd.DataFrame:
    """New data as a frame."""
    if isinstance(exog, pd.Series):
        is_row = set(exog.index) & set(design_of(model).columns)
        return exog.to_frame().T.infer_objects() if is_row else exog.to_frame()
    return _mapped(exog) if isinstance(exog, Mapping) else as_frame(exog)


def _mapped(exog: Mapping[str, Any]) -> pd.DataFrame:
    scalars = all(np.ndim(v) == 0 for v in exog.values())
    return pd.DataFrame(dict(exog), index=[0] if scalars else None)


def _needed(model: LMER, columns: Columns) -> dict[str, str]:
    """Columns the means need, groupings apart, with the role of each."""
    design = design_of(model)
    roles = [(design.parsed.fixed, FIXED)]
    roles += [(e, "the offset") for e in design.offsets]
    for k in columns:
        spec = term_design(model, k).spec
        roles.append((spec.columns, f"the random term ({spec.text})"))
    return _in_data(model, roles)


def _groupings(model: LMER, columns: Columns) -> dict[str, str]:
    """Columns of the grouping factors, with the role of each."""
    specs = [term_design(model, k).spec for k in columns]
    return _in_data(
        model, [(e, f"the grouping of ({s.text})") for s in specs for e in s.factors]
    )


def _in_data(model: LMER, roles: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for expression, role in roles:
        for name in variables(expression):
            if name in design_of(model).columns:
                found.setdefault(name, role)
    return found


def _require(needed: Mapping[str, str], frame: pd.DataFrame) -> None:
    for name, role in needed.items():
        if name not in frame.columns:
            raise ValueError(
                f"the new data have no column {name!r}, which {role} needs; "
                f"{suggestion(name, frame.columns)}"
            )


def _complete(frame: pd.DataFrame, needed: Mapping[str, str]) -> np.ndarray:
    """Rows without missing values in the columns needed."""
    missing: np.ndarray = frame[list(needed)].isna().to_numpy().any(axis=1)
    return ~missing


def _as_in_model(
    model: LMER, new: pd.DataFrame, needed: dict[str, str], groupings: dict[str, str]
) -> pd.DataFrame:
    """New columns with the types and levels of those the model was built on."""
    kinds = design_of(model).columns
    columns = {name: new[name] for name in groupings}
    for name in needed:
        columns[name] = kinds[name].convert(name, new[name])
    return pd.DataFrame(columns, index=new.index)


def _refuse_new_levels(
    codes: np.ndarray, spec: RandomSpec, frame: pd.DataFrame
) -> None:
    if (codes >= 0).all():
        return
    name = spec.name
    remedy = "allow_new_levels=True predicts them at the population's mean."
    if (codes == MISSING).any():
        count = count_rows(int((codes == MISSING).sum()))
        raise ValueError(
            f"the grouping factor {name!r} is missing in {count} of the new data; "
            + remedy
        )
    names = [n for e in spec.factors for n in variables(e)]
    parts = [frame[n] for n in names if n in frame.columns]
    unseen = np.flatnonzero(codes == UNSEEN)
    labels = dict.fromkeys(":".join(str(p.iloc[i]) for p in parts) for i in unseen)
    raise ValueError(
        f"the grouping factor {name!r} has levels the model has not seen: "
        f"{some(labels, 5)}; " + remedy
    )
