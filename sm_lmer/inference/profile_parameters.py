"""The parameters that can be profiled: their names, their order, how each is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..components import unique_names
from ..core.restrictions import (
    Estimate,
    HeldCorrelation,
    HeldFixedEffect,
    HeldSD,
    HeldSigma,
    Restriction,
)

if TYPE_CHECKING:
    from ..model import LMER


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter that can be profiled.

    Attributes
    ----------
    name, lme4_name : str
        ``sd Days|Subject`` and ``.sig03``, say.
    position : int
        Among all parameters: those of theta in its order, sigma, the fixed effects.
    kind : {"sd", "cor", "sigma", "fixed"}
    held : type
        The restriction that holds it, with `where` as arguments.
    where : tuple of int
        Term, row and column, or number of the fixed effect.
    """

    name: str
    lme4_name: str
    position: int
    kind: str
    held: Any = field(repr=False)
    where: tuple[int, ...]

    def hold(self, estimate: Estimate) -> Restriction:
        """The deviance with this parameter held."""
        restriction: Restriction = self.held(estimate, *self.where)
        return restriction


def parameters(model: LMER) -> list[Parameter]:
    """All parameters: standard deviations and correlations, sigma, fixed effects.

    The random ones are in the order of theta: of each term its covariance's lower
    triangle by columns, as in lme4.
    """
    fixed = [str(name) for name in model.exog_names]
    out: list[Parameter] = []

    def add(name: str, lme4_name: str, kind: str, held: Any, *where: int) -> None:
        out.append(Parameter(name, lme4_name, len(out), kind, held, where))

    for k, (group, term) in enumerate(
        zip(unique_names(model.re_terms), model.re_terms, strict=True)
    ):
        for r, c in zip(*term.positions(), strict=True):
            lme4_name = f".sig{len(out) + 1:02d}"
            first, second = term.columns[c], term.columns[r]
            if r == c:
                name = deviation_name(first, group, fixed)
                add(name, lme4_name, "sd", HeldSD, k, int(r))
            else:
                name = correlation_name(first, second, group, fixed)
                add(name, lme4_name, "cor", HeldCorrelation, k, int(c), int(r))
    add(sigma_name(fixed), ".sigma", "sigma", HeldSigma)
    for j, name in enumerate(fixed):
        lme4_name = "(Intercept)" if name == "Intercept" else name
        add(name, lme4_name, "fixed", HeldFixedEffect, j)
    return out


def deviation_name(column: str, group: str, fixed: Sequence[str]) -> str:
    """What the standard deviation of a column's random effects is called."""
    return _unlike(f"sd {column}|{group}", fixed)


def correlation_name(one: str, two: str, group: str, fixed: Sequence[str]) -> str:
    """What the correlation of the random effects of two columns is called."""
    return _unlike(f"cor {one},{two}|{group}", fixed)


def sigma_name(fixed: Sequence[str]) -> str:
    """What the residual standard deviation is called."""
    return _unlike("sigma", fixed)


def _unlike(name: str, others: Sequence[str]) -> str:
    """The name, with a dot before it where a fixed effect has it too."""
    return f".{name}" if name in others else name


def choose(known: Sequence[Parameter], which: Any, reml: bool) -> list[Parameter]:
    """The parameters that ``which`` names; see :func:`profile`.

    Raises
    ------
    ValueError
        For an unknown one, and for fixed effects by REML.
    """
    fixed_too = not reml
    if which is None:
        return [p for p in known if fixed_too or p.kind != "fixed"]
    asked = [which] if isinstance(which, (str, int, np.integer)) else list(which)
    found: dict[int, Parameter] = {}
    for one in asked:
        for parameter in _named(known, one):
            found[parameter.position] = parameter
    if reml and any(p.kind == "fixed" for p in found.values()):
        raise ValueError(
            "the REML criterion is no likelihood of the fixed effects, so that they "
            "cannot be profiled with reml=True; use reml=False or which='theta_'."
        )
    return [found[k] for k in sorted(found)]


def _named(known: Sequence[Parameter], one: Any) -> list[Parameter]:
    if isinstance(one, (int, np.integer)) and not isinstance(one, bool):
        if not -len(known) <= one < len(known):
            raise ValueError(
                f"there is no parameter {one}: the model has {len(known)}, "
                "counted from 0."
            )
        return [known[int(one)]]
    exact = [p for p in known if p.name == one]
    exact = exact or [p for p in known if p.lme4_name == one]
    if exact:
        return exact
    if one == "beta_":
        return [p for p in known if p.kind == "fixed"]
    if one == "theta_":
        return [p for p in known if p.kind != "fixed"]
    raise ValueError(
        f"there is no parameter {one!r}; which= takes 'beta_', 'theta_' and "
        f"{', '.join(repr(p.name) for p in known)}."
    )
