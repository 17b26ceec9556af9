"""Formula engines of statsmodels 0.14 (patsy) and 0.15 (patsy or formulaic)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import pandas as pd
import patsy
from statsmodels.base.data import PandasData

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


def build_matrices(
    formula: str, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> tuple[pd.DataFrame | None, pd.DataFrame, Any]:
    """Evaluate a formula; missing values are kept.

    Returns
    -------
    left : DataFrame or None
    right : DataFrame
    specification
        What :func:`apply_specification` needs to evaluate `right` on other data.
    """
    if engine() == "patsy":
        environment = patsy.EvalEnvironment([dict(namespace)])
        keep = patsy.NAAction(on_NA="drop", NA_types=[])
        arguments = (formula, frame, environment, keep, "dataframe")
        if "~" in formula:
            left, right = patsy.dmatrices(*arguments)
        else:
            left, right = None, patsy.dmatrix(*arguments)
        return left, right, right.design_info
    manager = FormulaManager()
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
        keep = patsy.NAAction(on_NA="drop", NA_types=[])
        return patsy.dmatrix(
            specification, frame, NA_action=keep, return_type="dataframe"
        )
    import formulaic

    return formulaic.model_matrix(
        specification, frame, context=dict(namespace), na_action="ignore"
    )


def without_terms(specification: Any, drop: list[str]) -> Any:
    """The specification without the terms named in `drop`, where it has them."""
    if isinstance(specification, patsy.DesignInfo):
        names = list(specification.term_names)
    else:
        names = [str(term) for term in specification.terms]
        drop = ["1" if name == "Intercept" else name for name in drop]
    return specification.subset([name for name in names if name not in drop])


class FormulaData(PandasData):
    """Data of a formula model that keep the names the formula took from its caller.

    statsmodels evaluates the formula anew when a model is unpickled, in whatever
    frames are on the stack then; here the names travel with the data.
    """

    namespace: Mapping[str, Any]
    frame: pd.DataFrame
    formula: str

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop(SPEC, None)
        names = dict(self.namespace)
        modules = {k: v.__name__ for k, v in names.items() if isinstance(v, ModuleType)}
        state["namespace"] = {k: v for k, v in names.items() if k not in modules}
        state["modules"] = modules
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        modules = {k: import_module(name) for k, name in state.pop("modules").items()}
        self.__dict__.update(state)
        self.namespace = {**self.namespace, **modules}
        _, _, specification = build_matrices(self.formula, self.frame, self.namespace)
        setattr(self, SPEC, specification)


__all__ = [
    "SPEC",
    "FormulaData",
    "apply_specification",
    "build_matrices",
    "cache_readonly",
    "engine",
    "formula_errors",
    "without_terms",
]
