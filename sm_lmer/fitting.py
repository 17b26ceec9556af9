"""The search for an optimum as users ask for it: several methods, a trace."""

from __future__ import annotations

from collections.abc import Sequence

from .core.fitted import Solution
from .core.likelihood import Likelihood
from .core.optimize import METHODS, LogEntry, Optimum, estimate
from .core.terms import FloatArray
from .inference.ddf import named
from .linalg.krylov import INVERTED_UP_TO, KrylovSolver


def find_optimum(
    likelihood: Likelihood,
    reml: bool,
    start: FloatArray | None,
    method: str | Sequence[str] | None,
    restarts: int,
    maxiter: int,
    gtol: float | None,
    disp: bool,
) -> tuple[Optimum, Solution, str]:
    """The optimum of the first of several methods that converges, and its name.

    With it come the estimates there.

    See :meth:`sm_lmer.LMER.fit` for the parameters; `start` is in inner coordinates.
    """
    show = _Printer(likelihood) if disp else None
    names = methods_named(method)
    for name in names:
        optimum, solution = estimate(
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
    return optimum, solution, name


def check_ddf(likelihood: Likelihood, ddf: str) -> None:
    """Refuse, before a search, degrees of freedom that the solver cannot give.

    Raises
    ------
    NotImplementedError
        For Kenward and Roger's with the Krylov solver.
    """
    solver = likelihood.solver
    if named(ddf) != "kenward-roger" or not isinstance(solver, KrylovSolver):
        return
    if solver.layout.m > INVERTED_UP_TO:
        raise NotImplementedError(
            "ddf='kenward-roger' needs entries of an inverse with "
            f"{solver.layout.m:,} columns, which solver='krylov' does not form; use "
            "ddf='satterthwaite', 'residual' or 'normal'."
        )


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
