"""The same numbers from the workers of a real Dask cluster of two processes."""

import os
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import sm_lmer.api as sml
from sm_lmer.errors import SingularFitWarning

WHY = "needs dask and distributed: pip install 'sm_lmer[dask]'"
dd = pytest.importorskip("dask.dataframe", reason=WHY)
distributed = pytest.importorskip("distributed", reason=WHY)

cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests

FORMULA = "y ~ center(x) * f + (x | g) + (1 | s)"
THETA = [0.9, 0.2, 0.5, 0.4]

pytestmark = [
    pytest.mark.xdist_group("dask"),
    # of the machinery, not of this package
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:distributed"),
]


def frame(n=6_000):
    rng = np.random.default_rng(1)
    d = pd.DataFrame(
        {
            "g": rng.integers(0, 60, n),
            "s": rng.choice(list("abcdefgh"), n),
            "x": rng.normal(size=n),
            "f": rng.choice(["u", "v", "w"], n),
        }
    )
    d["y"] = d["x"] + rng.normal(size=60)[d["g"]] * (1 + d["x"] / 2)
    d["y"] += d["s"].map(dict(zip("abcdefgh", rng.normal(size=8), strict=True)))
    d["y"] += rng.normal(size=n)
    d.loc[3, "x"] = np.nan
    return d


@pytest.fixture(scope="module")
def client():
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        warnings.simplefilter("ignore")
        yield client


@pytest.fixture(scope="module")
def memory():
    return sml.lmer(FORMULA, frame())


def assert_same(model, memory):
    assert list(model.exog_names) == list(memory.exog_names)
    assert (model.nobs, model.dropped_rows) == (memory.nobs, memory.dropped_rows)
    expected = memory.criterion(THETA)
    assert model.criterion(THETA) == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(
        model.fit().params, memory.fit().params, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("partitions", [1, 5, 20])
def test_numbers_are_those_in_memory(partitions, client, memory):
    assert len(client.scheduler_info()["workers"]) == 2
    source = dd.from_pandas(frame(), npartitions=partitions)
    model = sml.lmer(FORMULA, source, batch_rows=1_000)
    assert_same(model, memory)
    res = model.fit()
    fitted = pd.concat(list(res.stream_fitted(["y"])), ignore_index=True)
    np.testing.assert_array_equal(fitted["y"], frame()["y"])
    used = fitted["fitted"].notna().to_numpy()
    np.testing.assert_allclose(fitted["fitted"][used], memory.fit().fittedvalues)


def between(whole, ends):
    """A function of the partition's number; being local, it is pickled by value."""

    def rows(number):
        return whole.iloc[ends[number] : ends[number + 1]]

    return rows


def test_skewed_and_empty_partitions(client, memory):
    """Nearly all rows in one partition, and one without any."""
    ends = [0, 10, 10, 5_900, 6_000]
    source = dd.from_map(between(frame(), ends), range(4), meta=frame().iloc[:0])
    assert_same(sml.lmer(FORMULA, source), memory)


def deadly(whole, marker):
    """Partitions; the first process to look at the last one dies."""

    def rows(number):
        if number == 3 and marker.exists():
            marker.unlink()
            os._exit(1)
        return whole.iloc[number * 1_500 : (number + 1) * 1_500]

    return rows


@pytest.mark.parametrize("when", ["first pass", "second pass"])
def test_a_worker_that_dies(when, client, memory, tmp_path, monkeypatch):
    marker = tmp_path / "alive"
    rows = deadly(frame(), marker)
    source = dd.from_map(rows, range(4), meta=frame().iloc[:0])
    alive = sml.lmer(FORMULA, source)
    if when == "first pass":
        marker.touch()
    else:
        from sm_lmer.big.dask import DaskPasses

        summed = DaskPasses.summed

        def killing(self, *arguments):
            marker.touch()
            return summed(self, *arguments)

        monkeypatch.setattr(DaskPasses, "summed", killing)
    model = sml.lmer(FORMULA, source)
    assert not marker.exists()
    assert model.criterion(THETA) == alive.criterion(THETA)
    assert_same(model, memory)


def test_errors_on_a_worker_are_those_here(client):
    source = dd.from_map(
        lambda k: frame(100).assign(x=np.inf), range(2), meta=frame().iloc[:0]
    )
    with pytest.raises(ValueError, match="infinite values in column 'x'"):
        sml.lmer(FORMULA, source)


def test_without_a_cluster(memory):
    import dask

    with dask.config.set(scheduler="synchronous"):
        assert_same(sml.lmer(FORMULA, dd.from_pandas(frame(), npartitions=3)), memory)


def test_bootstrap_through_joblib(client):
    joblib = pytest.importorskip("joblib")
    res = sml.lmer("y ~ x + (1 | g)", frame(600).dropna()).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        here = res.bootstrap(nsim=60, rng=1, progress=False)
        with joblib.parallel_config("dask"):
            there = res.bootstrap(nsim=60, rng=1, n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(here.replicates, there.replicates)
