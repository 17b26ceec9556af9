"""Replicates of a bootstrap in a Parquet file, to go on from later."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .simulate import RandomSource, seeds_from
from .statistics import Replicates

KEY = b"sm_lmer bootstrap"

SECONDS = 10.0
"""Time between two writes."""

FLAGS = ("done", "singular", "converged")


class Store:
    """A Parquet file of replicates.

    Parameters
    ----------
    path : Path
    type : str
    estimate : Series
        The statistics of the fit; a file of another fit is refused.
    """

    def __init__(self, path: Path, type: str, estimate: pd.Series) -> None:
        try:
            import pyarrow.parquet as parquet  # type: ignore[import-untyped]
        except ImportError:
            raise ImportError("save= needs the package pyarrow.") from None
        self.path, self.type, self.estimate = path, type, estimate
        self.parquet = parquet
        self.written = time.monotonic()
        self.entropy = 0
        self.table: Any = None
        if path.exists():
            self.table = parquet.read_table(path)
            self._check()

    def _check(self) -> None:
        metadata = self.table.schema.metadata or {}
        if KEY not in metadata:
            raise ValueError(f"{self.path} is not a file of a bootstrap.")
        known = json.loads(metadata[KEY])
        same = known["type"] == self.type and known["names"] == list(
            self.estimate.index
        )
        if not same or not np.allclose(
            known["estimate"], self.estimate.to_numpy(), rtol=1e-6, equal_nan=True
        ):
            raise ValueError(
                f"{self.path} has a bootstrap of type {known['type']!r} of another fit "
                "or other statistics; choose another file."
            )
        self.entropy = int(known["seed"])

    def seed(self, rng: RandomSource) -> int:
        """The seed: that of the file, if there is one.

        Raises
        ------
        ValueError
            If `rng` is another seed.
        """
        if self.table is None:
            self.entropy = seeds_from(rng)
        elif rng is not None and seeds_from(rng) != self.entropy:
            raise ValueError(
                f"{self.path} was drawn from the seed {self.entropy}; pass rng=None "
                "or that seed to go on with it."
            )
        return self.entropy

    def load(self, nsim: int) -> Replicates:
        """Room for nsim replicates, with those of the file."""
        found = Replicates.blank(nsim, len(self.estimate))
        if self.table is None:
            return found
        frame = self.table.slice(0, nsim).to_pandas()
        rows, k = range(len(frame)), len(self.estimate)
        numbers = frame.iloc[:, : 2 * k].to_numpy(dtype=np.float64)
        done, singular, converged = (frame[f].to_numpy(dtype=bool) for f in FLAGS)
        messages = frame["message"].to_numpy(dtype=object)
        values, errors = numbers[:, :k], numbers[:, k:]
        part = Replicates(values, errors, done, singular, converged, messages)
        found.put(rows, part)
        return found

    def write_now_and_then(self, found: Replicates) -> None:
        """Write, if the last time is long ago."""
        if time.monotonic() - self.written > SECONDS:
            self.write(found)

    def write(self, found: Replicates) -> None:
        """Write the replicates; the file is replaced as a whole."""
        import pyarrow

        columns: dict[str, Any] = {}
        for name, values in zip(self.estimate.index, found.values.T, strict=True):
            columns[str(name)] = values
        for name, values in zip(self.estimate.index, found.errors.T, strict=True):
            columns[f"standard error of {name}"] = values
        columns |= {f: getattr(found, f) for f in FLAGS}
        columns["message"] = [str(text) for text in found.messages]
        known = {
            "type": self.type,
            "names": list(self.estimate.index),
            "estimate": [float(v) for v in self.estimate],
            "seed": str(self.entropy),
        }
        table = pyarrow.table(columns).replace_schema_metadata(
            {KEY: json.dumps(known).encode()}
        )
        part = self.path.with_name(self.path.name + ".part")
        self.parquet.write_table(table, part)
        os.replace(part, self.path)
        self.written = time.monotonic()
