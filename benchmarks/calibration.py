"""Type I error of tests of a fixed effect: ``python -m benchmarks.calibration``.

Data sets without the effect are simulated with few groups of unequal sizes, and each
is tested at 5% with every method for the degrees of freedom and, for the effect of a
group's treatment, with the parametric bootstrap of the likelihood ratio. The bootstrap
stops as soon as its verdict is certain. Writes JSON and, on request, a page and a
picture for the documentation.
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
from sm_lmer.core.optimize import optimize
from sm_lmer.inference.ddf import METHODS
from sm_lmer.inference.hypotheses import each_row

from .report import replace_table

LEVEL = 0.05
GROUPS = (6, 8, 10, 15, 20, 30)
BOOTSTRAP = 99
EFFECTS = {
    "treatment of groups": ("y ~ treated + (1 | g)", "treated"),
    "slope that varies": ("y ~ x + (x | g)", "x"),
}
DOCS = Path(__file__).parents[1] / "docs"


def frame(groups: int) -> pd.DataFrame:
    """Groups of 3 to 8 rows; every other one is treated."""
    rng = np.random.default_rng(groups)
    g = np.repeat(np.arange(groups), 3 + np.arange(groups) % 6)
    return pd.DataFrame({"g": g, "treated": g % 2, "x": rng.normal(size=len(g))})


def responses(data: pd.DataFrame, slopes: bool, count: int, seed: int) -> np.ndarray:
    """Simulated responses without the effect, shape (n, count)."""
    rng = np.random.default_rng(seed)
    n, groups = len(data), int(data["g"].max()) + 1
    y = rng.normal(size=(n, count)) + rng.normal(size=(groups, count))[data["g"]]
    if slopes:
        y += rng.normal(scale=0.5, size=(groups, count))[data["g"]] * data[["x"]].values
    return y


def study(effect: str, groups: int, count: int, seed: int) -> dict[str, Any]:
    """Rejections of a true hypothesis, by method."""
    warnings.simplefilter("ignore", sml.SingularFitWarning)
    formula, name = EFFECTS[effect]
    data = frame(groups)
    Y = responses(data, "x |" in formula, count, seed)
    model = sml.lmer(formula, data.assign(y=Y[:, 0]))
    row = np.eye(2)[1:]
    rejected = dict.fromkeys(METHODS, 0)
    for y in Y.T:
        res = model.with_response(y).fit()
        for method in METHODS:
            test = each_row(np.asarray(res.params), row, res.inference(method))
            rejected[method] += bool(test.pvalue[0] < LEVEL)
    if name == "treated":
        null = sml.lmer("y ~ 1 + (1 | g)", data.assign(y=Y[:, 0]))
        rejected["bootstrap"] = bootstrap_rejections(model, null, Y, seed)
    return {"effect": effect, "groups": groups, "count": count, "rejected": rejected}


def bootstrap_rejections(
    model: sml.LMER, null: sml.LMER, Y: np.ndarray, seed: int
) -> int:
    """How often (1 + exceedances) / (1 + 99) is below the level."""
    rng = np.random.default_rng(seed)
    allowed = int(LEVEL * (BOOTSTRAP + 1)) - 1
    rejections = 0
    for y in Y.T:
        observed, small = likelihood_ratio(model, null, y)
        above = 0
        for _ in range(BOOTSTRAP):
            drawn = np.asarray(small.model.predict(small.params))
            (term,) = small.model.re_terms
            u = rng.normal(size=term.factor.n_levels)
            noise = small.theta[0] * u[term.factor.codes] + rng.normal(size=len(y))
            reference, _ = likelihood_ratio(model, null, drawn + small.sigma * noise)
            above += reference >= observed
            if above > allowed:
                break
        rejections += above <= allowed
    return rejections


def likelihood_ratio(
    model: sml.LMER, null: sml.LMER, y: np.ndarray
) -> tuple[float, Any]:
    """Twice the difference of the log-likelihoods, and the fit of the null model."""
    small = null.with_response(y).fit(reml=False)
    full = optimize(model.likelihood().with_response(y), reml=False)
    return -2.0 * small.llf - full.value, small


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="benchmarks.calibration", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="data sets a setting")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="write the rejections here")
    parser.add_argument("--write-docs", action="store_true", help="page and picture")
    options = parser.parse_args(argv)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    began = time.perf_counter()
    settings = [(e, g) for e in EFFECTS for g in options.groups]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        waiting = [
            pool.submit(study, effect, groups, options.count, 1000 + k)
            for k, (effect, groups) in enumerate(settings)
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
    """Type I errors in percent as a Markdown table."""
    methods = [*METHODS, "bootstrap"]
    lines = [
        "| effect | groups | " + " | ".join(methods) + " |",
        "|---|---|" + "---|" * len(methods),
    ]
    for case in found:
        shares = [
            f"{100 * case['rejected'][m] / case['count']:.1f}"
            if m in case["rejected"]
            else ""
            for m in methods
        ]
        lines.append(f"| {case['effect']} | {case['groups']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def write_docs(found: Sequence[dict[str, Any]], count: int, seconds: float) -> None:
    """The page docs/calibration.md and its picture."""
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / count)
    said = (
        f"{count:,} data sets a row; the standard error of a share near 5 is "
        f"{error:.1f}. The study took {seconds / 60:.0f} minutes."
    )
    replace_table(DOCS / "calibration.md", f"{table(found)}\n\n{said}")
    picture(found, error)


def picture(found: Sequence[dict[str, Any]], error: float) -> None:
    """Type I error against the number of groups, a panel an effect."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(EFFECTS), sharey=True)
    markers = dict(zip([*METHODS, "bootstrap"], "osD^vP", strict=True))
    colours = ["#0072B2", "#D55E00", "#56B4E9", "#009E73", "#E69F00", "#000000"]
    for panel, effect in zip(panels, EFFECTS, strict=True):
        cases = [case for case in found if case["effect"] == effect]
        panel.axhspan(5 - 2 * error, 5 + 2 * error, color="0.9")
        panel.axhline(5, color="0.5", linewidth=0.8)
        for (method, marker), colour in zip(markers.items(), colours, strict=True):
            if method not in cases[0]["rejected"]:
                continue
            x = [case["groups"] for case in cases]
            y = [100 * case["rejected"][method] / case["count"] for case in cases]
            panel.plot(x, y, marker=marker, color=colour, label=method, markersize=5)
        panel.set(title=effect, xlabel="groups")
    panels[0].set_ylabel("type I error at 5% (%)")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "calibration.png", dpi=130)


if __name__ == "__main__":
    raise SystemExit(main())
