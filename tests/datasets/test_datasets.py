"""The shipped data sets against facts computed by R from its own frames."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sm_lmer import datasets

REFERENCE = Path(__file__).parents[1] / "reference" / "datasets.json"
FACTS = json.loads(REFERENCE.read_text(encoding="utf-8"))
DATA = Path(datasets.__file__).parent / "data"

INTEGERS = {
    "sleepstudy": ["Days"],
    "cake": ["angle", "temp"],
    "insteval": ["y"],
    "hsb": ["Size"],
}
ORDERED = {"cake": ["temperature"], "insteval": ["studage", "lectage"]}


def load(name):
    return getattr(datasets, f"load_{name}")()


def columns_of_type(kind):
    return [
        pytest.param(name, column, facts, id=f"{name}-{column}")
        for name, frame in FACTS.items()
        for column, facts in frame["columns"].items()
        if facts["type"] == kind
    ]


def by_row(values):
    """Sum of row number times value, which changes when rows change places."""
    return float(np.arange(1, len(values) + 1) @ np.asarray(values, dtype=float))


def test_every_set_has_a_public_loader_and_nothing_else_is_public():
    assert set(datasets.__all__) == {f"load_{name}" for name in FACTS}


def test_data_folder_holds_the_exported_files_only():
    schema = json.loads((DATA / "schema.json").read_text(encoding="utf-8"))
    files = {entry["file"] for entry in schema.values()}
    assert {path.name for path in DATA.iterdir()} == files | {"schema.json"}
    assert sum((DATA / file).stat().st_size for file in files) < 1_000_000


@pytest.mark.parametrize("name", FACTS)
def test_frame_has_r_shape_names_and_a_plain_index(name):
    data = load(name)
    assert list(data.columns) == FACTS[name]["names"]
    assert data.index.equals(pd.RangeIndex(FACTS[name]["nrow"]))
    assert not data.isna().to_numpy().any()


@pytest.mark.parametrize(("name", "column", "facts"), columns_of_type("numeric"))
def test_numeric_column_matches_r(name, column, facts):
    x = load(name)[column]
    assert x.dtype == ("int64" if column in INTEGERS.get(name, []) else "float64")
    found = [x.sum(), x.mean(), x.std(ddof=1), by_row(x)]
    expected = [facts["sum"], facts["mean"], facts["sd"], facts["by_row"]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "column", "facts"), columns_of_type("factor"))
def test_factor_has_r_levels_and_codes(name, column, facts):
    x = load(name)[column]
    assert isinstance(x.dtype, pd.CategoricalDtype)
    levels = list(x.cat.categories)
    assert all(type(level) is str for level in levels)
    assert len(levels) == facts["n_levels"]
    if "levels" in facts:
        assert levels == facts["levels"]
    else:
        assert levels[:5] == facts["first"]
        assert levels[-5:] == facts["last"]
    assert by_row(x.cat.codes + 1.0) == facts["by_row"]
    assert x.value_counts().max() == facts["largest_count"]


@pytest.mark.parametrize(("name", "column", "facts"), columns_of_type("factor"))
def test_only_meaningful_orders_are_ordered(name, column, facts):
    expected = column in ORDERED.get(name, [])
    assert load(name)[column].cat.ordered is expected
    assert facts["ordered"] is expected


@pytest.mark.parametrize("name", FACTS)
def test_cells_are_those_of_the_file_to_the_last_bit(name):
    (path,) = DATA.glob(f"{name}.csv*")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    data = load(name)
    for column in data.columns:
        cells = [row[column] for row in rows]
        if isinstance(data[column].dtype, pd.CategoricalDtype):
            assert data[column].tolist() == cells
        else:
            assert data[column].tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize("name", FACTS)
def test_each_call_returns_an_independent_writable_frame(name):
    first, second = load(name), load(name)
    for column in first.columns:
        first.loc[0, column] = first[column].iloc[-1]
    assert not first.equals(second)
    assert second.equals(load(name))


def test_nlme_levels_ascend_by_the_largest_response():
    for name, group, response in [
        ("machines", "Worker", "score"),
        ("oats", "Block", "yield"),
        ("hsb", "School", "MathAch"),
    ]:
        data = load(name)
        largest = data.groupby(group, observed=True)[response].max()
        assert largest.is_monotonic_increasing, name


def test_hsb_school_columns_are_constant_within_schools():
    hsb = load("hsb")
    school_columns = ["MEANSES", "Size", "Sector", "PRACAD", "DISCLIM", "HIMINTY"]
    distinct = hsb.groupby("School", observed=True)[school_columns].nunique()
    assert (distinct == 1).to_numpy().all()
    schools = hsb.drop_duplicates("School")
    assert schools["Sector"].value_counts().to_dict() == {"Public": 90, "Catholic": 70}


def test_hsb_meanses_is_the_school_mean_plus_a_constant():
    hsb = load("hsb")
    means = hsb.groupby("School", observed=True)[["SES", "MEANSES"]].mean()
    difference = means["MEANSES"] - means["SES"]
    np.testing.assert_allclose(difference, 0.006, atol=5.1e-4)


def test_cake_temp_is_temperature_as_a_number():
    cake = load("cake")
    assert cake["temp"].tolist() == cake["temperature"].astype(int).tolist()


def test_pastes_sample_is_batch_and_cask():
    pastes = load("pastes")
    joined = pastes["batch"].astype(str) + ":" + pastes["cask"].astype(str)
    assert pastes["sample"].astype(str).tolist() == joined.tolist()
