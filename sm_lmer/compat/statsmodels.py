"""Formula engines of statsmodels 0.14 (patsy) and 0.15 (patsy or formulaic)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import patsy
from numpy.typing import NDArray
from statsmodels.base.data import PandasData

from . import patsy_matrices
from .pickling import plain, whole

try:
    from statsmodels.tools.decorators import cache_readonly
except ImportError:  # statsmodels 0.15
    from statsmodels.tools._decorators import cache_readonly

try:
    from statsmodels.formula._manager import FormulaManager
except ImportError:  # statsmodels 0.14
    FormulaManager = None

SPEC = "design_info" if FormulaManager is None else "model_spec"
"""Under which name a model's data keep the specification of the fixed part."""


def engine() -> str:
    """The formula engine that statsmodels is set to: "patsy" or "formulaic"."""
    return "patsy" if FormulaManager is None else FormulaManager().engine


def formula_errors() -> tuple[type[Exception], ...]:
    """What the engine raises when it cannot evaluate a formula."""
    if engine() == "patsy":
        return (patsy.PatsyError,)
    import formulaic.errors

    return (
        formulaic.errors.FactorEvaluationError,
        formulaic.errors.FactorEncodingError,
        formulaic.errors.FormulaSyntaxError,
    )


def builtin_names() -> set[str]:
    """Names that the engine defines itself, as ``Sum`` in ``C(f, Sum)``."""
    if engine() == "patsy":
        return set(patsy.builtins.__all__)
    from formulaic.transforms import TRANSFORMS

    return set(TRANSFORMS)


def linear_constraints(
    constraints: Any, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and right-hand sides of a linear hypothesis in any form statsmodels takes.

    Returns
    -------
    L : ndarray, shape (q, p)
    rhs : ndarray, shape (q,)
    """
    if FormulaManager is None:
        found = patsy.DesignInfo(list(names)).linear_constraint(constraints)
        L, rhs = found.coefs, found.constants
    else:
        found = FormulaManager().get_linear_constraints(constraints, list(names))
        L, rhs = found.constraint_matrix, found.constraint_values
    L = np.atleast_2d(np.asarray(L, dtype=np.float64))
    if rhs is None:
        return L, np.zeros(len(L))
    return L, np.asarray(rhs, dtype=np.float64).reshape(-1)


def environment_names(environment: patsy.EvalEnvironment) -> dict[str, Any]:
    """The names of a patsy environment, inner ones over outer ones."""
    return {
        name: value
        for names in reversed(environment._namespaces)
        for name, value in names.items()
    }


def build_matrices(
    formula: str,
    frame: pd.DataFrame,
    namespace: Mapping[str, Any],
    using: str | None = None,
) -> tuple[pd.DataFrame | None, pd.DataFrame, Any]:
    """Evaluate a formula; missing values are kept.

    Parameters
    ----------
    formula : str
    frame : DataFrame
    namespace : dict
    using : {"patsy", "formulaic"}, optional
        The engine, by default that of :func:`engine`.

    Returns
    -------
    left : DataFrame or None
    right : DataFrame
    specification
        What :func:`apply_specification` needs to evaluate `right` on other data.
    """
    if (using or engine()) == "patsy":
        return patsy_matrices.matrices(formula, frame, namespace)
    manager = FormulaManager("formulaic")
    result = manager.get_matrices(
        formula, frame, eval_env=dict(namespace), pandas=True, na_action="ignore"
    )
    left, right = result if isinstance(result, tuple) else (None, result)
    return left, right, manager.spec


def apply_specification(
    specification: Any, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> pd.DataFrame:
    """Evaluate the right-hand side on new data; missing values are kept."""
    if isinstance(specification, patsy.DesignInfo):
        return patsy.dmatrix(
            specification,
            frame,
            NA_action=patsy_matrices.KEEP,
            return_type="dataframe",
        )
    import formulaic

    return formulaic.model_matrix(
        specification, frame, context=dict(namespace), na_action="ignore"
    )


def engine_of(specification: Any) -> str:
    """The engine that made a specification."""
    return "patsy" if isinstance(specification, patsy.DesignInfo) else "formulaic"


def without(
    exog: pd.DataFrame, specification: Any, drop: Collection[str]
) -> tuple[pd.DataFrame, Any]:
    """Leave out columns by their own names or by the names of their terms."""
    drop = {drop} if isinstance(drop, str) else set(drop)
    kept, names = [], []
    for term, columns in term_columns(specification):
        left = [c for c in columns if c not in drop and term not in drop]
        kept += left
        if left:
            names.append(term)
    chosen = [name for name in exog.columns if name in kept]
    return exog[chosen], specification.subset(names)


def term_columns(specification: Any) -> list[tuple[str, list[str]]]:
    """Names of the terms of a specification, each with those of its columns."""
    columns = list(specification.column_names)
    if isinstance(specification, patsy.DesignInfo):
        slices = specification.term_name_slices
        return [(term, columns[part]) for term, part in slices.items()]
    indices = specification.term_indices
    return [(str(term), [columns[i] for i in at]) for term, at in indices.items()]


@dataclass(frozen=True)
class _Module:
    """A module by its name, as modules do not pickle."""

    name: str


def portable(specification: Any) -> Any:
    """A specification as it can be pickled; see :func:`restored`."""
    return plain(specification)


def restored(specification: Any, namespace: Mapping[str, Any]) -> Any:
    """The specification itself; its functions are looked up in the namespace."""
    return whole(specification, namespace)


def portable_names(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Names as they can be pickled; see :func:`restored_names`."""
    return {
        name: _Module(value.__name__) if isinstance(value, ModuleType) else value
        for name, value in namespace.items()
    }


def restored_names(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The names with their modules."""
    return {
        name: import_module(value.name) if isinstance(value, _Module) else value
        for name, value in namespace.items()
    }


class FormulaData(PandasData):
    """Data of a formula model that hold their specification when unpickled.

    statsmodels would evaluate the formula anew, in whatever frames are on the stack
    then; here the model's design brings the names along.
    """

    design: Any

    def _convert_endog_exog(
        self, endog: pd.DataFrame, exog: pd.DataFrame
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The numbers of frames that are known to hold numbers."""
        y = endog.to_numpy(dtype=np.float64).reshape(-1)
        return y, exog.to_numpy(dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != SPEC}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        setattr(self, SPEC, self.design.specification)


__all__ = [
    "SPEC",
    "FormulaData",
    "apply_specification",
    "build_matrices",
    "builtin_names",
    "cache_readonly",
    "engine",
    "engine_of",
    "environment_names",
    "formula_errors",
    "linear_constraints",
    "portable",
    "portable_names",
    "restored",
    "restored_names",
    "term_columns",
    "without",
]
