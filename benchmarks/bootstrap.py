"""``python -m benchmarks.bootstrap``: time bootstraps beside bootMer and mixedlm.

Each package refits the same model to simulated responses; R and mixedlm, if they are
installed, with fewer replicates, and the time is that of a replicate. lme4's refit()
is what bootMer uses.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

import sm_lmer.api as sml
from sm_lmer.core.refitting import Refitter
from sm_lmer.inference.bootstrap import bootstrap
from sm_lmer.inference.simulate import simulated_responses

SCHOOLS = (
    "2030 2990 3999 4325 4931 5761 5838 7101 8150 8188 8193 8800 9104 9158 9198 9508"
)

R_SCRIPT = """
suppressPackageStartupMessages(library(lme4))
a <- commandArgs(TRUE)
d <- read.csv(a[2], stringsAsFactors = TRUE)
d[[a[3]]] <- factor(d[[a[3]]])
m <- suppressMessages(suppressWarnings(lmer(as.formula(a[1]), d)))
s <- function(x) c(fixef(x), as.data.frame(VarCorr(x))$sdcor)
n <- as.integer(a[4])
t <- system.time(suppressMessages(suppressWarnings(bootMer(m, s, nsim = n, seed = 1))))
cat(t[["elapsed"]] / n)
"""


def hsb_sample() -> pd.DataFrame:
    """Sixteen schools of High School & Beyond."""
    data = sml.datasets.load_hsb()
    data = data[data["School"].astype(str).isin(SCHOOLS.split())].copy()
    data["School"] = data["School"].astype(str)
    data["catholic"] = (data["Sector"] == "Catholic").astype(float)
    means = data.groupby("School")["SES"].transform("mean")
    return data.assign(ses_cmc=data["SES"] - means)


MODELS = {
    "sleepstudy": (
        sml.datasets.load_sleepstudy,
        "Reaction ~ Days + (Days | Subject)",
        "Subject",
    ),
    "penicillin": (
        sml.datasets.load_penicillin,
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "plate",
    ),
    "hsb_sample": (
        hsb_sample,
        "MathAch ~ MEANSES + catholic * ses_cmc + (ses_cmc | School)",
        "School",
    ),
}


def ours(formula: str, data: pd.DataFrame, nsim: int, n_jobs: int) -> float:
    """Seconds of a replicate of a residual bootstrap of all parameters."""
    res = sml.lmer(formula, data).fit()
    if n_jobs > 1:  # start the workers
        bootstrap(res, nsim=256, type="residual", rng=1, n_jobs=n_jobs)
    start = perf_counter()
    bootstrap(res, nsim=nsim, type="residual", rng=1, n_jobs=n_jobs)
    return (perf_counter() - start) / nsim


def boot_mer(formula: str, data: pd.DataFrame, group: str, nsim: int) -> float:
    """Seconds of a replicate of bootMer, parametric; nan without R."""
    if shutil.which("Rscript") is None:
        return np.nan
    with tempfile.TemporaryDirectory() as directory:
        path, script = Path(directory) / "data.csv", Path(directory) / "boot.R"
        data.to_csv(path, index=False)
        script.write_text(R_SCRIPT)
        command = ["Rscript", "--vanilla", str(script), formula, str(path), group]
        done = subprocess.run(
            [*command, str(nsim)],
            capture_output=True,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    return float(done.stdout) if done.returncode == 0 else np.nan


def mixedlm(formula: str, data: pd.DataFrame, nsim: int) -> float:
    """Seconds of a replicate of mixedlm's parametric bootstrap; nan without it."""
    try:
        from mixedlm import bootMer, lmer
    except ImportError:
        return np.nan
    fit = lmer(formula, data)
    start = perf_counter()
    bootMer(fit, nsim=nsim, seed=1)
    return (perf_counter() - start) / nsim


def large(nsim: int) -> float:
    """Seconds of a refit of InstEval."""
    res = sml.lmer(
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)", sml.datasets.load_insteval()
    ).fit()
    results = res._results
    Y = simulated_responses(results, nsim, 1)
    refitter = Refitter(results._likelihood(), results.theta, results.reml)
    start = perf_counter()
    refitter.refit(Y)
    return (perf_counter() - start) / nsim


def main() -> None:
    """Print a table of milliseconds a replicate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nsim", type=int, default=1999, help="replicates of ours")
    parser.add_argument("--others", type=int, default=100, help="of the others")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="time InstEval too")
    arguments = parser.parse_args()
    rows = {}
    for name, (load, formula, group) in MODELS.items():
        data = load()
        rows[name] = {
            "sm_lmer": ours(formula, data, arguments.nsim, 1),
            f"sm_lmer, {arguments.jobs} jobs": ours(
                formula, data, arguments.nsim, arguments.jobs
            ),
            "bootMer": boot_mer(formula, data, group, arguments.others),
            "mixedlm": mixedlm(formula, data, arguments.others),
        }
    table = 1000.0 * pd.DataFrame(rows).T
    for other in ("bootMer", "mixedlm"):
        table[f"{other} / sm_lmer"] = table[other] / table["sm_lmer"]
    print(table.round(2).to_string())
    if arguments.large:
        print(f"InstEval: {1000.0 * large(10):.0f} ms a refit")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
