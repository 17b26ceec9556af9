"""What to leave out of a fit, and what stands in the way of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.deletion import Units, levels_left
from ..core.terms import Factor
from ..formula.frames import as_pandas, suggestion
from ..formula.groups import factor_codes
from .leverage import row_labels
from .robust import _labelled

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults


def chosen_units(
    results: LMERResults, group: Any
) -> tuple[Factor, str | None, pd.Index]:
    """What is left out: a factor, its name and its labels."""
    model = results.model
    if group is None:
        labels = row_labels(results)
        return Factor(np.arange(model.nobs), np.empty(0, object)), None, labels
    if isinstance(group, str):
        factor, name = _named(model, group), group
    else:
        name = str(getattr(group, "name", None) or "group")
        factor = _labelled(model, as_pandas(group))
    missing = int((factor.codes < 0).sum())
    if missing:
        raise ValueError(
            f"group {name!r} is missing in {missing} of the {model.nobs} rows used; "
            "give every row a label, or leave these rows out of the model."
        )
    return factor, name, pd.Index(list(factor.levels), name=name)


def _named(model: LMER, name: str) -> Factor:
    for term in model.re_terms:
        if term.name == name:
            return term.factor
    columns: list[Any] = []
    if model._design is not None:
        columns = list(model._design.frame.columns)
        if name in columns:
            return factor_codes(model._design.frame[name])
    columns += [t.name for t in model.re_terms if t.name not in columns]
    raise ValueError(
        f"group {name!r} is neither a grouping factor nor a column that the model "
        f"uses; pass the column itself, or {suggestion(name, columns)}"
    )


def reasons(model: LMER, units: Units) -> np.ndarray:
    """Why the model cannot be fitted without a unit; empty where it may."""
    why = np.full(units.count, "", dtype=object)
    left = model.nobs - np.bincount(units.codes, minlength=units.count)
    why[left <= model.k_fe] = "it leaves no more rows than fixed effects"
    why[left == 0] = "it is the only level"
    for term in model.re_terms:
        levels = levels_left(term.factor.codes, term.factor.n_levels, units)
        few = (why == "") & (levels < 2)
        why[few] = f"it leaves {term.name} with one level"
        many = (why == "") & (levels >= left) & (term.q == 1)
        why[many] = f"it leaves one row a level of {term.name}"
    return why


def notes_of(
    model: LMER, labels: pd.Index, why: np.ndarray, converged: np.ndarray
) -> tuple[str, ...]:
    """What is wrong without which units, in words."""
    reasons: dict[str, list[str]] = {}
    for label, reason in zip(labels[why != ""], why[why != ""], strict=True):
        if isinstance(reason, tuple):
            lost = ", ".join(str(model.exog_names[j]) for j in reason)
            reason = f"without it {lost} cannot be estimated"
        reasons.setdefault(reason, []).append(str(label))
    if not converged.all():
        stopped = [str(label) for label in labels[~converged]]
        reasons["the search without it stopped short of the optimum"] = stopped
    return tuple(
        f"{_listed(names)}: {reason}"
        + ("." if reason.startswith("the search") else ", so its measures are nan.")
        for reason, names in reasons.items()
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
