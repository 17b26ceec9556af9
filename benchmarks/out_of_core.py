"""``python -m benchmarks.out_of_core``: rows in Parquet that memory does not hold.

Rows are generated in batches to a Parquet file, a model with two crossed factors is
fitted out of core, and memory and rows a second are reported. ``--dask`` compares the
passes on one worker process of a Dask cluster with those on two. The file is kept if
``--folder`` is given, and used again.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import sm_lmer.api as sml

from . import machine, memory

FORMULA = "y ~ x + (1 | person) + (1 | place)"
BATCH = 1_000_000
TRUTH = {"Intercept": 2.0, "x": 0.5, "person": 0.8, "place": 0.4, "sigma": 1.0}


def main() -> None:
    """Print Markdown tables."""
    options = _options()
    for name, value in machine.describe().items():
        print(f"- {name}: {value}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        if not options.dask:
            _out_of_core(folder, options)
        else:
            _cluster(folder, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, help="200e6, or 50e6 with --dask")
    parser.add_argument("--persons", type=float, default=1e6)
    parser.add_argument("--places", type=float, default=1e3)
    parser.add_argument(
        "--visited", type=int, default=5, help="places that a person is seen in"
    )
    parser.add_argument("--batch-rows", type=float, default=BATCH)
    parser.add_argument("--folder", help="where the file is kept")
    parser.add_argument("--dask", action="store_true", help="one worker against two")
    parser.add_argument("--progress", action="store_true")
    options = parser.parse_args()
    if options.rows is None:
        options.rows = 50e6 if options.dask else 200e6
    return options


# -- rows ------------------------------------------------------------------------------


def written(folder: Path, options: argparse.Namespace) -> Path:
    """The file of the rows, generated batch by batch if it is not there."""
    import pyarrow.parquet as pq

    n, persons, places = (
        int(options.rows),
        int(options.persons),
        int(options.places),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rows-{n}-{persons}-{places}-{options.visited}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    b_person = rng.normal(scale=TRUTH["person"], size=persons).astype(np.float32)
    b_place = rng.normal(scale=TRUTH["place"], size=places).astype(np.float32)
    home = rng.integers(0, places, persons)
    part = path.with_suffix(".part")
    writer = None
    start = perf_counter()
    for first in range(0, n, BATCH):
        size = min(BATCH, n - first)
        table = _batch(rng, size, home, b_person, b_place, options.visited)
        writer = writer or pq.ParquetWriter(part, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    part.rename(path)
    seconds = perf_counter() - start
    print(f"- file: {path.stat().st_size / 1e9:.2f} GB, written in {seconds:.0f} s")
    return path


def _batch(
    rng: np.random.Generator,
    n: int,
    home: Any,
    b_person: Any,
    b_place: Any,
    visited: int,
) -> Any:
    """Rows of persons, each of them seen in a few places."""
    import pyarrow as pa

    person = rng.integers(0, len(b_person), n, dtype=np.int32)
    step = rng.integers(0, visited, n, dtype=np.int32) ** 2 * 7
    place = ((home[person] + step) % len(b_place)).astype(np.int16)
    x = rng.standard_normal(n, dtype=np.float32)
    y = TRUTH["Intercept"] + TRUTH["x"] * x + b_person[person] + b_place[place]
    y += TRUTH["sigma"] * rng.standard_normal(n, dtype=np.float32)
    y = y.astype(np.float32)
    return pa.table({"y": y, "x": x, "person": person, "place": place})


# -- cases -----------------------------------------------------------------------------


def _out_of_core(folder: Path, options: argparse.Namespace) -> None:
    path = written(folder, options)
    with memory.watched(os.getpid()) as peak:
        start = perf_counter()
        model = sml.lmer(
            FORMULA,
            path,
            batch_rows=int(options.batch_rows),
            progress=options.progress,
        )
        built = perf_counter() - start
        start = perf_counter()
        res = model.fit()
        fitted = perf_counter() - start
    top = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        "\n| rows | two passes | rows a second | fit | memory beyond the start | peak |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    beyond = "" if peak.megabytes is None else f"{peak.megabytes / 1e3:.2f} GB"
    print(
        f"| {model.nobs:,} | {built:.0f} s | {model.nobs / built:,.0f} | "
        f"{fitted:.1f} s ({res.solver}) | {beyond} | {top:.2f} GB |\n"
    )
    _compare(res)


def _compare(res: Any) -> None:
    print("| parameter | truth | estimate |\n|---|--:|--:|")
    sds = dict(res.varcorr()[["grp", "sdcor"]].itertuples(index=False))
    found = {**dict(res.params), **sds, "sigma": res.sigma}
    for name, value in TRUTH.items():
        print(f"| {name} | {value} | {found[name]:.5f} |")


def _cluster(folder: Path, options: argparse.Namespace) -> None:
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    path = written(folder, options)
    print("\n| workers | two passes | rows a second | criterion |\n|--:|--:|--:|--:|")
    seconds, values = [], []
    for workers in (1, 2):
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
            ) as cluster,
            Client(cluster) as client,
        ):
            client.wait_for_workers(workers)
            frame = dd.read_parquet(path, split_row_groups=4)
            start = perf_counter()
            model = sml.lmer(FORMULA, frame, batch_rows=int(options.batch_rows))
            seconds.append(perf_counter() - start)
        values.append(model.criterion([0.8, 0.4]))
        rate = model.nobs / seconds[-1]
        print(f"| {workers} | {seconds[-1]:.1f} s | {rate:,.0f} | {values[-1]!r} |")
    print(f"\n{seconds[0] / seconds[1]:.2f} times faster; criteria differ by ", end="")
    print(f"{abs(values[0] / values[1] - 1):.1e} (relative)")


if __name__ == "__main__":
    main()
