"""All kinds of sources give the numbers of the same data in memory."""

import numpy as np
import pandas as pd
import pytest

import sm_lmer.api as sml
from sm_lmer.big import is_source

pa = pytest.importorskip("pyarrow")

FORMULA = "y ~ x + f + (1 | g) + (1 | s)"
N = 900


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(8)
    d = pd.DataFrame(
        {
            "g": rng.integers(-20, 20, N) * 10**8,
            "s": rng.choice(list("abcde"), N),
            "f": rng.choice(["u", "v"], N),
            "x": rng.normal(size=N),
            "unused": "a text",
        }
    )
    d["y"] = d["x"] + rng.normal(size=40)[d["g"] // 10**8 + 20]
    d["y"] += d["s"].map(dict(zip("abcde", [1, 0, -1, 2, -2], strict=True)))
    d["y"] += rng.normal(size=N)
    return d


@pytest.fixture(scope="module")
def expected(frame):
    return sml.lmer(FORMULA, frame).criterion([0.8, 0.5])


def parquet(frame, folder):
    frame.to_parquet(folder / "data.parquet", row_group_size=100)
    return str(folder / "data.parquet")


def several(frame, folder):
    for k in range(3):
        frame.iloc[k * 300 : (k + 1) * 300].to_parquet(folder / f"part{k}.parquet")
    return folder


def partitioned(frame, folder):
    frame.to_parquet(folder / "by", partition_cols=["f"])
    return folder / "by"


def dataset(frame, folder):
    from pyarrow import dataset as ds

    return ds.dataset(several(frame, folder))


def lazy(frame, folder):
    pl = pytest.importorskip("polars")
    return pl.scan_parquet(parquet(frame, folder)).with_columns(pl.col("x") * 1)


def relation(frame, folder):
    duckdb = pytest.importorskip("duckdb")
    return duckdb.sql(f"SELECT * FROM '{parquet(frame, folder)}'")


def factory(frame, folder):
    return lambda: pa.Table.from_pandas(frame).to_reader(max_chunksize=77)


def pandas_factory(frame, folder):
    return lambda: (frame.iloc[k : k + 100] for k in range(0, N, 100))


@pytest.mark.parametrize(
    "kind",
    [
        parquet,
        several,
        partitioned,
        dataset,
        lazy,
        relation,
        factory,
        pandas_factory,
    ],
)
@pytest.mark.parametrize("rows", [130, None])
def test_sources_agree(kind, rows, frame, expected, tmp_path):
    source = kind(frame, tmp_path)
    assert is_source(source)
    model = sml.lmer(FORMULA, source, batch_rows=rows)
    assert list(model.exog_names) == ["Intercept", "f[T.v]", "x"]
    assert model.nobs == N
    assert model.criterion([0.8, 0.5]) == pytest.approx(expected, rel=1e-12)
    res = model.fit()
    if kind is not partitioned:  # which has the rows in another order
        fitted = pd.concat(list(res.stream_fitted(["y"])), ignore_index=True)
        np.testing.assert_array_equal(fitted["y"], frame["y"])


def test_arrow_types(frame, tmp_path):
    table = pa.table(
        {
            "y": pa.array(frame["y"], pa.float32()),
            "x": pa.array([None, *range(1, N)], pa.int16()),
            "f": pa.array(frame["f"]).dictionary_encode(),
            "g": pa.array(frame["g"]).cast(pa.decimal128(22, 0)),
            "s": pa.array(frame["s"], pa.large_string()),
            "b": pa.array([None, *(frame["x"][1:] > 0)]),
        }
    )
    model = sml.lmer("y ~ x + f + b + (1 | g) + (1 | s)", lambda: table.to_batches(100))
    memory = sml.lmer("y ~ x + f + b + (1 | g) + (1 | s)", table.to_pandas())
    assert model.dropped_rows == {"x": 1, "b": 1}
    assert model.exog_names == memory.exog_names
    theta = [0.8, 0.5]
    assert model.criterion(theta) == pytest.approx(memory.criterion(theta), rel=1e-10)


def test_files_of_several_types(frame, tmp_path):
    several(frame, tmp_path)
    frame.iloc[600:].assign(x=1).to_parquet(tmp_path / "part2.parquet")
    changed = frame.assign(x=np.where(np.arange(N) >= 600, 1.0, frame["x"]))
    model = sml.lmer(FORMULA, tmp_path)
    memory = sml.lmer(FORMULA, changed)
    theta = [0.8, 0.5]
    assert model.criterion(theta) == pytest.approx(memory.criterion(theta), rel=1e-12)
    frame.iloc[600:].assign(x="1").to_parquet(tmp_path / "part2.parquet")
    with pytest.raises(ValueError, match=r"column 'x' is text in .*part2\.parquet"):
        sml.lmer(FORMULA, tmp_path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        sml.lmer(FORMULA, tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="holds no files"):
        sml.lmer(FORMULA, tmp_path)
    with pytest.raises(TypeError, match="not str"):
        sml.lmer(FORMULA, "data.csv")


def test_data_in_memory_are_no_source(frame):
    assert not is_source(frame)
    assert not is_source({"y": [1.0]})
    assert not is_source(pa.Table.from_pandas(frame))
