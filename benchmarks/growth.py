"""``python -m benchmarks.growth``: time against the number of rows, at fixed levels.

One evaluation of the criterion with its gradient should not depend on the rows, the
set-up (conditioning and cross-products) should grow in proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import sm_lmer.api as sml

from .simulated import crossed

ROWS = (200_000, 400_000, 800_000, 1_600_000)


def main() -> None:
    """Print a Markdown table, and the slopes on the scale of logarithms."""
    print("| rows | formula | set-up | evaluation and gradient |\n|--:|--:|--:|--:|")
    times = []
    for n in ROWS:
        times.append(_time(n))
        cells = " | ".join(f"{1e3 * seconds:,.1f} ms" for seconds in times[-1])
        print(f"| {n:,} | {cells} |", flush=True)
    slopes = np.polyfit(np.log(ROWS), np.log(times), 1)[0]
    cells = " | ".join(f"{slope:.2f}" for slope in slopes)
    print(f"| slope, log-log | {cells} |")


def _time(n: int) -> tuple[float, float, float]:
    """Seconds of the formula, the set-up, and one evaluation with gradient."""
    data = crossed(n)
    formula, model = _seconds(
        lambda: sml.lmer("y ~ x + (1 | a) + (1 | b)", data), repeat=3
    )
    setup = median(
        _seconds(fresh.likelihood, repeat=1)[0]
        for fresh in (
            sml.lmer("y ~ x + (1 | a) + (1 | b)", data),
            sml.lmer("y ~ x + (1 | a) + (1 | b)", data),
            model,
        )
    )
    theta = np.array([1.0, 0.8])
    evaluation, _ = _seconds(lambda: model.gradient(theta), repeat=15)
    return formula, setup, evaluation


def _seconds(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Median time of a call, and its last result."""
    seconds = []
    for _ in range(repeat):
        start = perf_counter()
        result = call()
        seconds.append(perf_counter() - start)
    return median(seconds), result


if __name__ == "__main__":
    main()
