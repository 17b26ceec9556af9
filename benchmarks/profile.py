"""``python -m benchmarks.profile CASE``: where the time of one fit goes."""

from __future__ import annotations

import argparse
import cProfile
import pstats
from itertools import pairwise
from statistics import median
from time import perf_counter

import sm_lmer.api as sml

from .cases import Case, select
from .peers import quiet

PARTS = ("formula", "set-up", "evaluations", "results")


def time_parts(case: Case) -> tuple[dict[str, float], int]:
    """Seconds of the parts of one fit, and its number of evaluations.

    The formula ends in a model; set-up makes the sums over rows that the criterion
    needs; evaluations are those of the optimiser; results are the rest of ``fit()``.
    """
    data = case.load()
    times = [perf_counter()]
    model = sml.lmer(case.formula, data)
    times.append(perf_counter())
    model.likelihood()
    times.append(perf_counter())
    results = model.fit()
    times.append(perf_counter())
    formula, setup, fit = (b - a for a, b in pairwise(times))
    search = results._optimum.seconds
    seconds = (formula, setup, search, fit - search)
    return dict(zip(PARTS, seconds, strict=True)), results._optimum.evaluations


def print_parts(case: Case, repeat: int) -> None:
    """Print the median of each part, after one fit that is not timed."""
    time_parts(case)
    runs = [time_parts(case) for _ in range(repeat)]
    medians = {part: median(seconds[part] for seconds, _ in runs) for part in PARTS}
    total, evaluations = sum(medians.values()), runs[0][1]
    print(f"{case.name}: {case.formula}")
    for part, seconds in medians.items():
        note = ""
        if part == "evaluations":
            note = f"  {evaluations} of {1e3 * seconds / evaluations:.2f} ms"
        print(f"  {part:12} {1e3 * seconds:10.2f} ms {seconds / total:6.0%}{note}")
    print(f"  {'total':12} {1e3 * total:10.2f} ms")


def print_functions(case: Case, count: int) -> None:
    """Print the functions that take most of the time themselves, by cProfile."""
    data = case.load()
    with cProfile.Profile() as profile:
        sml.lmer(case.formula, data).fit()
    pstats.Stats(profile).sort_stats("tottime").print_stats(count)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=__doc__
    )
    parser.add_argument("cases", type=select, help="as for python -m benchmarks")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--functions", type=int, metavar="N", help="also list the N costliest functions"
    )
    arguments = parser.parse_args()
    with quiet():
        for case in arguments.cases:
            print_parts(case, arguments.repeat)
            if arguments.functions:
                print_functions(case, arguments.functions)


if __name__ == "__main__":
    main()
