"""Passes over a Dask DataFrame, on the workers of a cluster.

Each partition is looked at where it is, what was found is added up as a tree on the
workers, and only the sum of all comes back. The order of the additions is fixed by the
number of partitions, so that a task that is done again, as its worker was lost, changes
no number.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from .first_pass import Found, Request
from .second_pass import Summing, Sums, empty_sums
from .sources import required

WIDTH = 8
"""Partial results that are added up by one task."""

Job = Callable[[pd.DataFrame], Any]


class DaskPasses:
    """Passes over a Dask DataFrame.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
    rows : int
        A partition is worked on so many rows at a time.
    progress : bool
        Whether to show progress with tqdm; it counts passes here, as the cluster's
        dashboard counts tasks.
    """

    def __init__(self, frame: Any, rows: int, progress: bool) -> None:
        self.frame, self.rows, self.progress = frame, rows, progress
        self.columns = tuple(frame.columns)
        self.names: tuple[str, ...] = ()

    def _reduced(self, job: Any, merge: Callable[[list[Any]], Any], what: str) -> Any:
        """What a function finds in the partitions, merged as a tree on the workers."""
        dask = required("dask", "reading a Dask DataFrame")
        chosen = list(self.names) or list(self.columns[:1])
        job, parts = _shared(dask, job), self.frame[chosen].to_delayed()
        look, join = dask.delayed(_look, pure=True), dask.delayed(merge, pure=True)
        found = [look(job, part, self.rows) for part in parts]
        while len(found) > 1:
            groups = range(0, len(found), WIDTH)
            found = [join(found[k : k + WIDTH]) for k in groups]
        return _computed(found[0], self.progress, what)

    def first(self, request: Request) -> Found:
        """Levels, categories, rows kept."""
        self.names = request.names
        return self._reduced(_Finding(request), _merged, "levels")

    def mapped(self, job: Job, add: Callable[[Any, Any], Any]) -> Any:
        """What a function finds in the partitions, added up."""
        return self._reduced(_Mapping(job, add), _Adding(add), "scales")

    def summed(self, job: Summing, start: Sums) -> Sums:
        """Cross-products."""
        return self._reduced(_Totalling(job), _totalled, "cross-products")

    def each(self, job: Job, names: Sequence[str]) -> Iterator[pd.DataFrame]:
        """What a function makes of each partition, computed where it is."""
        dask = required("dask", "reading a Dask DataFrame")
        chosen = list(dict.fromkeys(names)) or list(self.columns[:1])
        shared = _shared(dask, job)
        for part in self.frame[chosen].to_delayed():
            yield dask.delayed(_apply, pure=True)(shared, part).compute()

    def showing(self, progress: bool) -> DaskPasses:
        """The same, with or without a bar."""
        other = copy.copy(self)
        other.progress = progress
        return other


def _shared(dask: Any, job: Any) -> Any:
    """A function sent to every worker once, not with every task."""
    client: Any = getattr(dask.base.get_scheduler(), "__self__", None)
    if not hasattr(client, "scatter"):  # threads or processes of this machine
        return dask.delayed(job, pure=True)
    return client.scatter(job, broadcast=True, hash=False)


def _computed(found: Any, progress: bool, what: str) -> Any:
    if not progress:
        return found.compute()
    tqdm = required("tqdm.auto", "progress=True").tqdm
    with tqdm(total=1, unit=" pass", desc=what) as shown:
        result = found.compute()
        shown.update()
    return result


def _batches(part: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(part), rows):
        yield part.iloc[start : start + rows]


def _look(job: Any, part: pd.DataFrame, rows: int) -> Any:
    return job.of(_batches(part, rows))


def _apply(job: Job, part: pd.DataFrame) -> pd.DataFrame:
    return job(part)  # type: ignore[no-any-return]


class _Finding:
    """The first pass over a partition."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def of(self, batches: Iterator[pd.DataFrame]) -> Found:
        found = Found()
        for batch in batches:
            found.add(self.request, batch)
        return found


class _Mapping:
    """A function's findings in a partition, added up."""

    def __init__(self, job: Job, add: Callable[[Any, Any], Any]) -> None:
        self.job, self.add = job, add

    def of(self, batches: Iterator[pd.DataFrame]) -> Any:
        total = None
        for batch in batches:
            found = self.job(batch)
            total = found if total is None else self.add(total, found)
        return total


class _Totalling:
    """The second pass over a partition."""

    def __init__(self, job: Summing) -> None:
        self.job = job

    def of(self, batches: Iterator[pd.DataFrame]) -> Sums:
        total = empty_sums(self.job.plan, self.job.blocks)
        for batch in batches:
            total.add(self.job(batch))
        return total


class _Adding:
    """Adds up findings, of which partitions without rows have none."""

    def __init__(self, add: Callable[[Any, Any], Any]) -> None:
        self.add = add

    def __call__(self, found: list[Any]) -> Any:
        total = None
        for one in found:
            if one is not None:
                total = one if total is None else self.add(total, one)
        return total


def _merged(found: list[Found]) -> Found:
    """What several sets of rows hold; what was found in each is left as it is."""
    total = Found()
    for one in found:
        total.merge(copy.deepcopy(one))
    return total


def _totalled(found: list[Sums]) -> Sums:
    """Sums of several sets of rows; each of them is left as it is."""
    total = copy.deepcopy(found[0])
    for one in found[1:]:
        total.add(one)
    return total
