"""What the report on a design counts, and what it calls nested and crossed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from registry import dataset

import sm_lmer.api as sml
from sm_lmer.inference.design_report import DesignReport, design_report


def model(formula, data):
    return sml.lmer(formula, data)


def of_arrays(**factors):
    n = len(next(iter(factors.values())))
    y = np.random.default_rng(3).normal(size=n)
    terms = [sml.RandomTerm(np.asarray(g), name=name) for name, g in factors.items()]
    return sml.LMER(y, np.ones((n, 1)), re_terms=terms)


# Shipped data ------------------------------------------------------------------------


def test_pastes_is_nested():
    report = design_report(model("strength ~ 1 + (1 | batch/cask)", dataset("pastes")))
    assert isinstance(report, DesignReport)
    row = report.pairs.iloc[0]
    assert (row["first"], row["relation"], row["second"]) == (
        "cask:batch",
        "nested in",
        "batch",
    )
    assert (row["cells"], row["possible"], row["components"]) == (30, 300, 10)
    assert (row["levels_min"], row["levels_max"]) == (3, 3)
    assert report.factors["possible"].isna().tolist() == [False, True]
    assert report.factors.loc["cask:batch", "possible"] == 30
    assert report.clusters == 10
    assert "cask:batch is nested in batch: 3 levels of cask:batch in each" in str(
        report
    )


def test_reused_labels_look_crossed():
    report = design_report(
        model("strength ~ 1 + (1 | batch) + (1 | cask)", dataset("pastes"))
    )
    assert report.pairs["relation"].tolist() == ["fully crossed"]
    assert report.clusters == 1
    assert "fully crossed: 30 of 30 combinations occur, 2 rows each" in str(report)
    assert "no independent clusters" in str(report)


def test_insteval_against_pandas():
    data = dataset("insteval")
    report = design_report(model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data))
    sizes = data.groupby("s", observed=True).size()
    row = report.factors.loc["s"]
    assert row["levels"] == sizes.size == 2972
    assert (row["rows_min"], row["rows_max"]) == (sizes.min(), sizes.max())
    assert row["rows_median"] == sizes.median()
    assert row["singletons"] == (sizes == 1).sum()
    pair = report.pairs.set_index(["first", "second"]).loc[("s", "dept")]
    cells = data.groupby(["s", "dept"], observed=True).size()
    assert (pair["cells"], pair["rows_max"]) == (len(cells), cells.max())
    assert (
        pair["levels_min"]
        == cells.reset_index().groupby("dept", observed=True)["s"].size().min()
    )
    assert report.pairs["relation"].tolist() == [
        "partially crossed",
        "partially crossed",
        "nested in",
    ]
    assert "5 with one row only" in str(report)


def test_crossed_within_a_third_factor_is_no_fault():
    data = dataset("insteval")
    text = str(
        design_report(model("y ~ 1 + (1 | d) + (1 | dept:service) + (1 | dept)", data))
    )
    assert "they cross within levels of dept" in text
    assert "disconnected" not in text


# Made-up designs ---------------------------------------------------------------------


def test_disconnected():
    a = np.repeat([0, 0, 1, 1, 2, 2, 3, 3], 3)
    b = np.repeat([0, 1, 0, 1, 2, 3, 2, 3], 3)
    report = design_report(of_arrays(a=a, b=b))
    row = report.pairs.iloc[0]
    assert (row["relation"], row["components"]) == ("partially crossed", 2)
    assert report.clusters == 2
    text = str(report)
    assert "the design is disconnected: it falls into 2 parts" in text
    assert "2 independent clusters" in text


def test_same_groups_by_other_names():
    a = np.repeat(np.arange(6), 4)
    for b in (a, np.array(list("zyxwvu"))[a]):
        report = design_report(of_arrays(a=a, b=b))
        assert list(report.factors.index) == ["a", "b"]
        assert report.pairs["relation"].tolist() == ["same groups"]
        assert "drop one of them" in str(report)


def test_several_terms_of_a_factor_are_one():
    report = design_report(
        model("Reaction ~ Days + (Days || Subject)", dataset("sleepstudy"))
    )
    assert list(report.factors.index) == ["Subject"]
    assert report.pairs.empty
    assert list(report.pairs.columns)[:3] == ["first", "second", "relation"]
    assert report.clusters == 18


def test_frozen_and_takes_results_and_array_models(fits):
    res = fits("penicillin")
    data = dataset("penicillin")
    report = design_report(res)
    again = design_report(of_arrays(plate=data["plate"], sample=data["sample"]))
    pd.testing.assert_frame_equal(report.pairs, again.pairs)
    pd.testing.assert_frame_equal(report.factors, again.factors)
    assert str(report) == str(again) == repr(report)
    with pytest.raises(FrozenInstanceError):
        report.clusters = 3


def test_no_rows():
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff")).fit()
    res.remove_data()
    with pytest.raises(ValueError, match="report on its design"):
        design_report(res)


def relation(a, b):
    """Nested, crossed or what, by definition."""
    cells = set(zip(a, b, strict=True))
    in_b = all(len({y for x, y in cells if x == u}) == 1 for u in set(a))
    in_a = all(len({x for x, y in cells if y == v}) == 1 for v in set(b))
    if in_a and in_b:
        return "same groups"
    if in_a or in_b:
        return "nested in"
    full = len(cells) == len(set(a)) * len(set(b))
    return "fully crossed" if full else "partially crossed"


def components(*factors):
    """Sets of rows that share levels, by merging row after row."""
    label = list(range(len(factors[0])))
    for factor in factors:
        for i, j in combinations(range(len(factor)), 2):
            if factor[i] == factor[j] and label[i] != label[j]:
                old, new = label[j], label[i]
                label = [new if one == old else one for one in label]
    return len(set(label))


def test_relations_by_definition(rng):
    seen = set()
    for k in range(40):
        levels = rng.integers(2, 5, 2)
        rows = rng.integers(0, levels, (rng.integers(8, 20), 2))
        if k % 4 == 0:
            rows[:, 1] = rows[:, 0] // 2
        if k % 4 == 1:
            rows = np.array([*np.ndindex(3, 2), *np.ndindex(3, 2)])
        rows = np.vstack([rows, [[0, 0], [0, 0], [2, 1], [2, 1]]])
        a, b = rows.T.tolist()
        report = design_report(of_arrays(a=a, b=b))
        row = report.pairs.iloc[0]
        seen.add(row["relation"])
        assert row["relation"] == relation(a, b)
        assert row["cells"] == len(set(map(tuple, rows)))
        assert row["components"] == report.clusters == components(a, b)
        order = rng.permutation(len(rows))
        again = design_report(of_arrays(a=rows[order, 0], b=rows[order, 1]))
        assert str(again) == str(report)
    assert {"nested in", "fully crossed", "partially crossed"} <= seen
