"""``python -m benchmarks.krylov``: fits whose trailing matrix no machine factors.

The cases are simulated in the shapes of those that the literature names: test results
of students by teachers (the last slide of Bates's lecture on lme4), with 6% or 20% of
the students moving to another school a year; ratings of films by users, with
power-law popularity; and grades, where an exact fit is at hand to compare with.
"""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import sm_lmer.api as sml

from .machine import describe
from .memory import watched
from .simulated import grades

COVARIATES = "ability + income + absences + distance + C(grade) + C(year) + C(origin)"
BINARY = [f"b{k}" for k in range(1, 9)]


@dataclass(frozen=True)
class Case:
    """Data, model, and the values that they were simulated with."""

    make: Callable[[float], pd.DataFrame]
    formula: str
    truth: dict[str, float]


def doran(thin: float, movers: float) -> pd.DataFrame:
    """5.2 million tests of 1.88 million students by 47,500 teachers in 1,900 schools.

    A student has one teacher a year, of the school attended, and `movers` of them go
    to any other school from one year to the next. Thinned, there are fewer schools.
    """
    rng = np.random.default_rng(7)
    schools, students = max(2, round(1_900 * thin)), round(1_880_000 * thin)
    tests = rng.choice([1, 2, 3, 4, 5], students, p=[0.2, 0.23, 0.24, 0.25, 0.08])
    n = int(tests.sum())
    student = np.repeat(np.arange(students, dtype=np.int32), tests)
    first = np.cumsum(tests) - tests
    year = np.arange(n) - first[student]
    moved = rng.random(n) < movers
    moved[first] = True
    visit = np.flatnonzero(moved)
    attended = rng.integers(0, schools, len(visit), dtype=np.int32)
    school = attended[np.cumsum(moved) - 1]
    teacher = school * 25 + rng.integers(0, 25, n, dtype=np.int32)
    frame = pd.DataFrame({"student": student, "teacher": teacher})
    for name in ("ability", "income", "absences", "distance"):
        frame[name] = rng.standard_normal(n)
    frame["year"] = year.astype(np.int8)
    frame["grade"] = (rng.integers(1, 5, students, dtype=np.int8)[student] + year) % 8
    frame["grade"] = frame["grade"].astype(np.int8)
    frame["origin"] = rng.integers(0, 6, students, dtype=np.int8)[student]
    y = 0.3 * frame["ability"].to_numpy() + 0.1 * year
    for name in BINARY:
        frame[name] = rng.integers(0, 2, n, dtype=np.int8)
        y += 0.05 * frame[name].to_numpy()
    y += rng.standard_normal(students)[student]
    y += 0.4 * rng.standard_normal(schools * 25)[teacher]
    frame["score"] = y + 0.8 * rng.standard_normal(n)
    return frame


def movies(thin: float) -> pd.DataFrame:
    """25 million ratings, 162,000 users by 59,000 items with power-law popularity.

    Users rate 20 items at least. Thinned, there are fewer users and items.
    """
    rng = np.random.default_rng(8)
    n, users, items = (round(k * thin) for k in (25_000_000, 162_000, 59_000))
    activity = 20.0 * (1.0 - rng.random(users)) ** (-1.0 / 1.15)
    activity = np.minimum(activity, 0.3 * items)
    popularity = (np.arange(items) + 30.0) ** -1.3
    cells = np.zeros(0, dtype=np.int64)
    while len(cells) < n:  # nobody rates an item twice
        user = rng.choice(users, n, p=activity / activity.sum())
        cells = np.append(cells, user * items)
        cells[-n:] += rng.choice(items, n, p=popularity / popularity.sum())
        cells = np.unique(cells)
    cells = rng.choice(cells, n, replace=False, shuffle=False)
    user, item = (part.astype(np.int32) for part in np.divmod(cells, items))
    frame = pd.DataFrame({"user": user, "item": item})
    frame["age"] = rng.standard_normal(n)
    y = 3.5 - 0.05 * frame["age"].to_numpy() + 0.45 * rng.standard_normal(users)[user]
    y += 0.6 * rng.standard_normal(items)[item]
    frame["rating"] = y + 0.85 * rng.standard_normal(n)
    return frame


def _grades(thin: float) -> pd.DataFrame:
    frame = grades()
    return frame[frame["student"] < thin * 54_711].reset_index(drop=True)


FIXED = " + ".join([COVARIATES, *BINARY])
TEACHERS = Case(
    lambda thin: doran(thin, 0.06),
    f"score ~ {FIXED} + (1 | student) + (1 | teacher)",
    {"student": 1.0, "teacher": 0.4, "Residual": 0.8},
)
CASES = {
    "doran": TEACHERS,
    "movers": Case(lambda thin: doran(thin, 0.20), TEACHERS.formula, TEACHERS.truth),
    "movies": Case(
        movies,
        "rating ~ age + (1 | user) + (1 | item)",
        {"user": 0.45, "item": 0.6, "Residual": 0.85},
    ),
    "grades": Case(
        _grades,
        "grade ~ x + (1 | student) + (1 | instructor) + (1 | department)",
        {"student": 0.5, "instructor": 0.3, "department": 0.2, "Residual": 0.8},
    ),
}


def main() -> None:
    """Print a Markdown table, a row a case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.krylov")
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case")
    parser.add_argument("--thin", type=float, default=1.0, help="share of the levels")
    parser.add_argument("--probes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the probes")
    parser.add_argument("--ml", action="store_true", help="not by REML")
    parser.add_argument("--exact", action="store_true", help="an exact fit beside it")
    given = parser.parse_args()
    print("; ".join(f"{k}: {v}" for k, v in describe().items()), end="\n\n")
    header = ["case", "rows", "columns of S", "form", "formula", "fit", "evaluations"]
    header += ["iterations", "peak GB", "log-likelihood (MC SE)", "SDs (MC SE; truth)"]
    print(f"| {' | '.join(header)} |\n|{'--|' * len(header)}", flush=True)
    for name in given.cases:
        _run(name, given)


def _run(name: str, given: argparse.Namespace) -> None:
    case = CASES[name]
    data = case.make(given.thin)
    gc.collect()
    with watched(os.getpid()) as peak:
        start = perf_counter()
        model = sml.lmer(case.formula, data)
        built = perf_counter()
        solver = sml.Krylov(probes=given.probes, rng=given.seed)
        res = model.fit(reml=not given.ml, solver=solver)
        done = perf_counter()
    frame_gb = data.memory_usage(deep=True).sum() / 1e9
    memory = "" if peak.megabytes is None else f"{peak.megabytes / 1e3 + frame_gb:.1f}"
    likelihood = model.likelihood(solver)
    engine = likelihood.solver
    at = likelihood.evaluate(likelihood.templates(np.asarray(res.theta)), res.reml)
    cells = [name, f"{model.nobs:,}", f"{engine.layout.m:,}"]
    cells += [type(engine.operator).__name__, f"{built - start:.1f} s"]
    cells += [f"{done - built:.1f} s", str(len(res.fit_log))]
    cells += [str(at.factor.iterations), memory]
    cells += [f"{res.llf:.2f} ({res.llf_mcse:.2f})", _deviations(res, case)]
    print(f"| {' | '.join(cells)} |", flush=True)
    if given.exact:
        _compare(model, res, given)


def _deviations(res: Any, case: Case) -> str:
    table = res.varcorr()
    found = dict(zip(table["grp"], table["sdcor"], strict=True))
    errors = dict(zip(res.n_groups, res.theta_mcse, strict=True))
    cells = []
    for group, true in case.truth.items():
        error = f"{res.sigma * errors[group]:.5f}; " if group in errors else ""
        cells.append(f"{group} {found[group]:.5f} ({error}{true})")
    return ", ".join(cells)


def _compare(model: sml.LMER, res: Any, given: argparse.Namespace) -> None:
    """The exact criterion at the same theta, and an exact fit."""
    start = perf_counter()
    value = model.likelihood("auto").value(np.asarray(res.theta), not given.ml)
    error = (-0.5 * value - res.llf) / max(res.llf_mcse, 1e-12)
    exact = model.fit(reml=not given.ml)
    seconds = perf_counter() - start
    away = np.asarray(res.theta) / np.asarray(exact.theta) - 1.0
    in_mcse = (np.asarray(res.theta) - np.asarray(exact.theta)) / res.theta_mcse
    print(
        f"\nExact ({exact.solver}, {seconds:.1f} s): the log-likelihood at the same "
        f"theta is {-0.5 * value:.3f}, {error:+.2f} MC SE away; theta differs by "
        f"{', '.join(f'{100 * a:+.3f}%' for a in away)}, in MC SE "
        f"{', '.join(f'{a:+.2f}' for a in in_mcse)}.\n"
    )


if __name__ == "__main__":
    main()
