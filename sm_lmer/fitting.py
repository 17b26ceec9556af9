"""The search for an optimum as users ask for it: several methods, a trace."""

from __future__ import annotations

from collections.abc import Sequence

from .core.likelihood import Likelihood
from .core.optimize import METHODS, LogEntry, Optimum, optimize
from .core.terms import FloatArray


def find_optimum(
    likelihood: Likelihood,
    reml: bool,
    start: FloatArray | None,
    method: str | Sequence[str] | None,
    restarts: int,
    maxiter: int,
    gtol: float | None,
    disp: bool,
) -> tuple[Optimum, str]:
    """The optimum of the first of several methods that converges, and its name.

    See :meth:`sm_lmer.LMER.fit` for the parameters; `start` is in inner coordinates.
    """
    show = _Printer(likelihood) if disp else None
    names = methods_named(method)
    for name in names:
        optimum = optimize(
            likelihood,
            reml,
            start=start,
            method=name,
            restarts=restarts,
            maxiter=maxiter,
            gtol=gtol,
            show=show,
        )
        if optimum.converged:
            break
    return optimum, name


class _Printer:
    """Prints the trace of a fit."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    def __call__(self, entry: LogEntry) -> None:
        theta, _ = entry.point.to_user(self.likelihood)
        values = " ".join(f"{t: .6g}" for t in theta)
        print(f"{entry.number:4d}  {entry.value:.8f}  theta = {values}")


def methods_named(method: str | Sequence[str] | None) -> list[str]:
    """Names of the methods to try in turn.

    Raises
    ------
    ValueError
        If one of them is unknown.
    """
    given = [method] if isinstance(method, str) else list(method or ["bfgs"])
    names = [str(name).lower() for name in given]
    for name in names:
        if name not in METHODS:
            raise ValueError(
                f"unknown method {name!r}; choose one of {', '.join(METHODS)}."
            )
    return names
