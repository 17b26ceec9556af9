"""Passes over a source in this process, one batch after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import pandas as pd

from .first_pass import Found, Request
from .second_pass import Summing, Sums
from .sources import Source, required, source_of

Job = Callable[[pd.DataFrame], Any]


class Passes(Protocol):
    """How passes over the data are made.

    Attributes
    ----------
    columns : tuple of str
    """

    columns: tuple[str, ...]

    def first(self, request: Request) -> Found:
        """The first pass."""

    def mapped(self, job: Job, add: Callable[[Any, Any], Any]) -> Any:
        """What a function finds in the batches, added up."""

    def summed(self, job: Summing, start: Sums) -> Sums:
        """The second pass, from sums over no rows."""

    def each(self, job: Job, names: Sequence[str]) -> Iterator[pd.DataFrame]:
        """What a function makes of each batch, in the order of the rows."""

    def showing(self, progress: bool) -> Passes:
        """The same, with or without a bar."""


class LocalPasses:
    """Passes over a source, batch by batch.

    Parameters
    ----------
    data : object
        What :func:`sm_lmer.big.sources.source_of` takes.
    rows : int
        Rows of a batch.
    progress : bool
    """

    def __init__(self, data: Any, rows: int, progress: bool) -> None:
        self.source: Source = source_of(data)
        self.rows, self.progress = rows, progress
        self.columns = self.source.columns
        self.names: tuple[str, ...] = ()

    def _batches(self, names: Sequence[str], what: str) -> Iterator[pd.DataFrame]:
        chosen = list(dict.fromkeys(names)) or list(self.columns[:1])
        with bar(self.progress, self.source, what) as shown:
            for batch in self.source.batches(chosen, self.rows):
                for start in range(0, len(batch), self.rows):
                    part = batch.iloc[start : start + self.rows]
                    yield part
                    if shown is not None:
                        shown.update(len(part))

    def first(self, request: Request) -> Found:
        """Levels, categories, rows kept."""
        self.names = request.names
        found = Found()
        for batch in self._batches(request.names, "levels"):
            found.add(request, batch)
        return found

    def mapped(self, job: Job, add: Callable[[Any, Any], Any]) -> Any:
        """What a function finds in the batches, added up."""
        total = None
        for batch in self._batches(self.names, "scales"):
            found = job(batch)
            total = found if total is None else add(total, found)
        return total

    def summed(self, job: Summing, start: Sums) -> Sums:
        """Cross-products."""
        for batch in self._batches(self.names, "cross-products"):
            start.add(job(batch))
        return start

    def each(self, job: Job, names: Sequence[str]) -> Iterator[pd.DataFrame]:
        """What a function makes of each batch."""
        yield from map(job, self._batches(names, "fitted values"))

    def showing(self, progress: bool) -> LocalPasses:
        """The same, with or without a bar."""
        other = copy.copy(self)
        other.progress = progress
        return other


def bar(progress: bool, source: Source, what: str) -> AbstractContextManager[Any]:
    """A bar that counts rows, or None."""
    if not progress:
        return nullcontext()
    tqdm = required("tqdm.auto", "progress=True").tqdm
    shown: AbstractContextManager[Any] = tqdm(
        total=source.rows, unit=" rows", unit_scale=True, desc=what
    )
    return shown
