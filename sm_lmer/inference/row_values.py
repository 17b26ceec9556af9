"""Values of a variable at the rows that a model uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.terms import Factor, FloatArray
from ..formula.frames import as_pandas, suggestion

if TYPE_CHECKING:
    from ..model import LMER


@dataclass(frozen=True, eq=False)
class RowValues:
    """A variable at the rows of a model: numbers, or a factor.

    Attributes
    ----------
    name : str
    numbers : ndarray, shape (n,), or None
        nan where missing; times are in days since 1970.
    factor : Factor or None
        Instead of numbers; its codes are -1 where missing.
    times : bool
        Whether the numbers are times.
    """

    name: str
    numbers: FloatArray | None
    factor: Factor | None
    times: bool = False

    @property
    def known(self) -> np.ndarray:
        """Rows in which the variable is not missing, shape (n,)."""
        if self.factor is not None:
            return np.asarray(self.factor.codes >= 0)
        return np.isfinite(self.numbers)  # type: ignore[arg-type,return-value]


def row_labels(model: LMER) -> pd.Index:
    """Labels of the rows used: the data's index, or 0, 1, ..."""
    labels = model.data.row_labels
    return pd.RangeIndex(model.nobs) if labels is None else pd.Index(labels)


def row_values(model: LMER, x: Any, name: str | None = None) -> RowValues:
    """Find a variable at the rows that a model uses.

    Parameters
    ----------
    model : LMER
    x : str or array_like
        A column of the data that the formula uses, a column of the fixed part, a
        grouping factor; or the values themselves, at the rows used or at all rows of
        the data. A Series whose index holds the labels of the rows is aligned.
    name : str, optional
        What to call values that have no name.

    Returns
    -------
    RowValues

    Raises
    ------
    ValueError
        For an unknown name, or values of another length.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.row_values import row_values
    >>> data = sml.datasets.load_sleepstudy()
    >>> model = sml.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> row_values(model, "Days").numbers[:3].tolist()
    [0.0, 1.0, 2.0]
    >>> row_values(model, "Subject").factor.n_levels
    18
    """
    model.require_rows("a value at its rows")
    if isinstance(x, str):
        return _named(model, x)
    values = as_pandas(x)
    called = name or str(getattr(values, "name", None) or "x")
    return _typed(called, _aligned(model, values, called))


def _named(model: LMER, name: str) -> RowValues:
    for term in model.re_terms:
        if term.name == name:
            return RowValues(name, None, term.factor)
    design = model._design
    grouping = {part for term in model.re_terms for part in _parts(term.name)}
    if design is not None and name in design.frame.columns:
        levels = design.columns[name].levels if name in design.columns else None
        column = design.frame[name]
        return _typed(name, column, coded=levels is not None or name in grouping)
    names = list(model.exog_names)
    if name in names:
        column = np.asarray(model.exog)[:, names.index(name)]
        return RowValues(name, column.astype(np.float64), None)
    used = names if design is None else list(design.frame.columns)
    raise ValueError(
        f"the model does not use a column {name!r}; {suggestion(name, used)} "
        "A variable that is not in the model is passed itself, as a Series or array."
    )


def _parts(name: str) -> list[str]:
    return name.split(":")


def _aligned(model: LMER, values: Any, called: str) -> Any:
    """Values at the rows used."""
    labels, design = row_labels(model), model._design
    if isinstance(values, pd.Series) and labels.is_unique and values.index.is_unique:
        where = values.index.get_indexer(labels)
        if (where >= 0).all():
            return values.iloc[where]
    if np.ndim(values) != 1:
        raise ValueError(f"{called} has {np.ndim(values)} dimensions; pass one column.")
    if len(values) == model.nobs:
        return values
    if design is not None and len(values) == model.n_data:
        return (
            values.iloc[design.rows]
            if hasattr(values, "iloc")
            else (np.asarray(values)[design.rows])
        )
    raise ValueError(
        f"{called} has {len(values)} values; the model uses {model.nobs} rows: pass "
        "one value a row."
    )


def _typed(name: str, values: Any, coded: bool = False) -> RowValues:
    column = pd.Series(np.asarray(values) if isinstance(values, list) else values)
    if not coded and pd.api.types.is_datetime64_any_dtype(column.dtype):
        days = column.to_numpy().astype("datetime64[ns]").astype(np.float64)
        missing = column.isna().to_numpy()
        return RowValues(name, np.where(missing, np.nan, days / 86400e9), None, True)
    if not coded and _is_number(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        return RowValues(name, numbers, None)
    return RowValues(name, None, Factor.from_labels(_labels(column)))


def _labels(column: pd.Series) -> Any:
    """Values as a factor's labels: numbers as they are, others as categories."""
    if _is_number(column.dtype) or isinstance(column.dtype, pd.CategoricalDtype):
        return column.to_numpy() if column.dtype.kind in "iuf" else column
    return pd.Series(pd.Categorical(column))


def _is_number(dtype: Any) -> bool:
    types = pd.api.types
    return bool(types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype))
