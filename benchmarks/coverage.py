"""Coverage of 95% intervals: ``python -m benchmarks.coverage``.

Data with a varying slope are simulated, with normal or skewed random effects and
errors, and fitted; of each kind of interval it is counted how often it covers the true
value.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sm_lmer.api as sml

from .report import replace_table

ROWS = 6
TRUTH = {"x": 0.5, "sd Intercept|g": 1.0, "sd x|g": 0.5, "sigma": 1.0}
METHODS = ("wald", "profile", "parametric", "residual")
ERRORS = ("normal", "skewed")
GROUPS = (10, 30)
REPLICATES = 199
DOCS = Path(__file__).parents[1] / "docs"


def draws(rng: np.random.Generator, errors: str, size: tuple[int, ...]) -> np.ndarray:
    """Independent draws of mean 0 and variance 1; the skewed ones are exponential."""
    if errors == "normal":
        return rng.normal(size=size)
    return rng.exponential(size=size) - 1.0


def covered(errors: str, groups: int, count: int, seed: int) -> dict[str, Any]:
    """How often each interval of each parameter covers the truth."""
    warnings.simplefilter("ignore", sml.SingularFitWarning)
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), ROWS)
    data = pd.DataFrame(
        {"g": g, "x": rng.normal(size=len(g)), "y": rng.normal(size=len(g))}
    )
    model = sml.lmer("y ~ x + (x | g)", data)
    x = data["x"].to_numpy()
    hits = {method: dict.fromkeys(TRUTH, 0) for method in METHODS}
    for k in range(count):
        u = draws(rng, errors, (groups, 2))
        y = 1.0 + TRUTH["x"] * x + u[g, 0] + TRUTH["sd x|g"] * u[g, 1] * x
        res = model.with_response(y + draws(rng, errors, (len(g),))).fit()
        for method in METHODS:
            ends = intervals(res, method, seed + k)
            for name, truth in TRUTH.items():
                low, high = ends.loc[name]
                hits[method][name] += bool(low <= truth <= high)
    return {"errors": errors, "groups": groups, "count": count, "hits": hits}


def intervals(res: Any, method: str, seed: int) -> pd.DataFrame:
    """Intervals of all parameters; Wald's of a vanished variance are missing."""
    if method in ("wald", "profile"):
        fixed = pd.DataFrame(res.conf_int(method=method).to_numpy(), res.params.index)
        random = res.conf_int_re(method=method)
        random.columns = [0, 1]
        return pd.concat([fixed, random])
    boot = res.bootstrap(nsim=REPLICATES, type=method, rng=seed)
    return sml.boot_ci(boot, "perc")[["lower", "upper"]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="benchmarks.coverage", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="data sets a setting")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="write the counts here")
    parser.add_argument("--write-docs", action="store_true", help="the page's table")
    options = parser.parse_args(argv)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    began = time.perf_counter()
    settings = [(e, g) for e in ERRORS for g in GROUPS]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        waiting = [
            pool.submit(covered, errors, groups, options.count, 7000 + k)
            for k, (errors, groups) in enumerate(settings)
        ]
        found = [future.result() for future in waiting]
    seconds = time.perf_counter() - began
    print(table(found))
    print(f"\n{options.count} data sets a setting, {seconds:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.write_docs:
        write_docs(found, options.count, seconds)
    return 0


def table(found: Sequence[dict[str, Any]]) -> str:
    """Coverage in percent as a Markdown table."""
    lines = [
        "| errors | groups | parameter | " + " | ".join(METHODS) + " |",
        "|---|---|---|" + "---|" * len(METHODS),
    ]
    for case in found:
        for name in TRUTH:
            shares = [
                f"{100 * case['hits'][m][name] / case['count']:.1f}" for m in METHODS
            ]
            shown = name.replace("|", "\\|")
            row = [case["errors"], str(case["groups"]), shown, *shares]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def write_docs(found: Sequence[dict[str, Any]], count: int, seconds: float) -> None:
    """The table of docs/coverage.md."""
    error = 100 * np.sqrt(0.95 * 0.05 / count)
    said = (
        f"{count} data sets a setting; the standard error of a share near 95 is "
        f"{error:.1f}. The study took {seconds / 60:.0f} minutes."
    )
    replace_table(DOCS / "coverage.md", f"\n{table(found)}\n\n{said}\n")


if __name__ == "__main__":
    raise SystemExit(main())
