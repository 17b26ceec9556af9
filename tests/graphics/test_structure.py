"""Images of Z', Lambda, A and L, and of nesting and crossing."""

from __future__ import annotations

import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset, reference
from scipy.linalg import cholesky

import sm_lmer.api as sml
from sm_lmer.graphics.matrices import structure
from sm_lmer.inference.design_report import design_report

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from sm_lmer.graphics.structure import plot_design, plot_structure

CASES = range(8)


def quietly(formula, data, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, weights=weights).fit()


def case(number):
    """A case of the reference, and what its model is at lme4's theta."""
    found = reference("structure")["cases"][number]
    inline = reference("structure")["inline"]
    data = (
        pd.DataFrame(inline["crossed"])
        if found["data"] == "crossed"
        else dataset(found["data"])
    )
    res = quietly(found["formula"], data, found.get("weights"))
    at = SimpleNamespace(
        model=res.model,
        theta=np.array(found["theta"], dtype=float),
        _likelihood=res._results._likelihood,
    )
    return found, structure(at)


def dense(entries):
    row, col, value, shape = (
        (entries["row"], entries["col"], entries["value"], entries["shape"])
        if isinstance(entries, dict)
        else (entries.rows, entries.cols, entries.values, entries.shape)
    )
    out = np.zeros(shape)
    out[row, col] = value
    return out


def pattern(found):
    """The factor's pattern as a dense matrix of booleans."""
    columns = found.factor_pattern()
    out = np.eye(len(columns), dtype=bool)
    for j, rows in enumerate(columns):
        out[rows, j] = True
    return out


def drawn(ax):
    """The cells of an image with something in them."""
    return sum(~np.ma.masked_invalid(im.get_array()).mask for im in ax.images) > 0


# The matrices against lme4 -----------------------------------------------------------


@pytest.mark.parametrize("number", CASES)
def test_matrices_are_lme4s(number):
    expected, ours = case(number)
    order = ours.blocks.order
    A = dense(expected["A"])
    A = np.tril(A) + np.tril(A, -1).T
    assert_allclose(dense(ours.A), A[order][:, order], atol=1e-10)
    assert_array_equal(dense(ours.Zt), dense(expected["Zt"])[order])
    Lambda = dense(expected["Lambda"])[order][:, order]
    assert_allclose(dense(ours.Lambda), Lambda, atol=1e-12)
    assert len(ours.Zt.rows) == len(expected["Zt"]["row"])
    assert len(ours.Lambda.rows) == len(expected["Lambda"]["row"])


@pytest.mark.parametrize("number", CASES)
def test_factor_has_as_many_entries_as_lme4s(number):
    expected, ours = case(number)
    found = pattern(ours)
    assert found.sum() == expected["nnz_L_unordered"]
    if number < 6:  # of the others lme4 takes a fill-reducing order
        assert found.sum() == expected["nnz_L"]
    A = dense(ours.A)
    L = cholesky(A, lower=True)
    assert_allclose(L @ L.T, A, atol=1e-10)
    assert 2 * np.log(L.diagonal()).sum() == pytest.approx(expected["logdet_A"])
    assert not (np.abs(L) > 1e-10)[~found].any()


def test_pattern_of_random_designs_is_that_of_a_dense_factor(rng):
    for _ in range(5):
        n = 60
        data = pd.DataFrame(rng.integers(0, 9, (n, 3)), columns=list("abc"))
        data["y"], data["x"] = rng.normal(size=(2, n))
        res = quietly("y ~ x + (x | a) + (1 | b) + (1 | c)", data)
        at = SimpleNamespace(
            model=res.model,
            theta=rng.uniform(0.5, 2.0, 5),
            _likelihood=res._results._likelihood,
        )
        found = structure(at)
        L = cholesky(dense(found.A), lower=True)
        assert_array_equal(np.abs(L) > 1e-13, pattern(found))


def test_fill_of_a_nested_design_is_none():
    _, ours = case(2)
    lower = ours.A.rows >= ours.A.cols
    assert pattern(ours).sum() == lower.sum() == 70


@pytest.mark.parametrize("name", ["pastes", "penicillin", "sleepstudy"])
def test_logdet_is_the_fits(fits, name):
    res = fits(name)._results
    sign, logdet = np.linalg.slogdet(dense(structure(res).A))
    assert sign == 1
    assert logdet == pytest.approx(res.get_me("devcomp")["cmp"]["ldL2"], rel=1e-9)


# Their images ------------------------------------------------------------------------


def test_images_show_the_matrices(fits):
    res = fits("penicillin")
    fig = plot_structure(res)
    found = structure(res)
    zt, lam, a, factor = fig.axes
    assert zt.get_title() == "Z': 30 x 144, 288 entries"
    assert_array_equal(drawn(zt), dense(found.Zt) != 0)
    assert_array_equal(drawn(lam), dense(found.Lambda) != 0)
    assert_array_equal(drawn(a), dense(found.A) != 0)
    assert_array_equal(drawn(factor), pattern(found))
    own, fill = (~np.ma.masked_invalid(im.get_array()).mask for im in factor.images)
    assert_array_equal(own, np.tril(dense(found.A) != 0))
    assert fill.sum() == 15
    assert factor.get_title() == "L\n189 entries, 15 of fill-in"
    assert [t.get_text() for t in fig.legends[0].get_texts()] == [
        "not zero",
        "fill-in of L",
    ]
    labels = [t.get_text() for t in zt.get_yticklabels()]
    assert labels == ["plate (24)", "sample (6)"]
    assert [line.get_ydata()[0] for line in zt.lines] == [24]


def test_shades_are_sizes(fits):
    ax = plot_structure(fits("sleepstudy"), "Zt").axes[0]
    Z = np.abs(dense(structure(fits("sleepstudy")).Zt))
    cells = np.ma.filled(ax.images[0].get_array(), 0.0)
    assert_allclose(np.nan_to_num(cells), Z / 9.0)


def test_zeros_at_a_singular_fit_are_told_apart():
    res = quietly("Yield ~ 1 + (1 | Batch)", dataset("dyestuff2"))
    fig = plot_structure(res, ["Lambda", "L"])
    (zero,) = fig.axes[0].images
    assert (~np.ma.masked_invalid(zero.get_array()).mask).sum() == 6
    assert "zero at these estimates" in [
        t.get_text() for t in fig.legends[0].get_texts()
    ]


def test_weights_are_in_the_title():
    data = dataset("sleepstudy").assign(w=np.linspace(1, 2, 180))
    res = quietly("Reaction ~ Days + (1 | Subject)", data, "w")
    fig = plot_structure(res, "A")
    assert "Λ'Z'WZΛ + I" in fig.axes[0].get_title()


def test_which_is_checked(fits):
    res = fits("dyestuff")
    with pytest.raises(ValueError, match="no matrix 'Z'"):
        plot_structure(res, ["Z"])
    with pytest.raises(ValueError, match="none of"):
        plot_structure(res, [])
    assert len(plot_structure(res, ("L", "Zt")).axes) == 2


def test_large_models_are_binned(fits):
    res = fits("insteval")
    start = time.perf_counter()
    fig = plot_structure(res)
    assert time.perf_counter() - start < 10.0
    assert max(im.get_array().shape[0] for ax in fig.axes for im in ax.images) <= 150
    assert "several entries" in fig.get_supxlabel()
    found = structure(res)
    factor = fig.axes[3]
    entries = sum(map(len, found.factor_pattern())) + found.A.shape[0]
    assert factor.get_title().startswith(f"L\n{entries:,} entries")
    sizes = np.bincount(np.arange(4114) * 150 // 4114)
    shares = sum(
        np.nan_to_num(np.ma.filled(im.get_array(), 0.0)) for im in factor.images
    )
    assert (shares * np.outer(sizes, sizes)).sum() == pytest.approx(entries)


# Nesting and crossing ----------------------------------------------------------------


def test_design_of_pairs_against_pandas(fits):
    data = dataset("insteval")
    small = data[data["s"].isin(data["s"].cat.categories[:40])]
    mod = sml.lmer("y ~ 1 + (1 | s) + (1 | dept)", small)
    ax = plot_design(mod).axes[0]
    shown = np.nan_to_num(np.ma.filled(ax.images[0].get_array(), np.nan))
    rows = [t.get_text() for t in ax.get_yticklabels()]
    cols = [t.get_text() for t in ax.get_xticklabels()]
    table = pd.crosstab(small["dept"].astype(str), small["s"].astype(str))
    assert_array_equal(shown, table.loc[rows, cols])
    assert ax.get_xlabel() == "s"
    assert ax.get_ylabel() == "dept"


def test_nested_factor_is_a_staircase(fits):
    ax = plot_design(fits("pastes")).axes[0]
    cells = np.nan_to_num(np.ma.filled(ax.images[0].get_array(), np.nan))
    assert_array_equal(cells, np.kron(np.eye(10), [[2, 2, 2]]))
    assert ax.get_title().splitlines() == [
        "nested in batch",
        "30 of 300 combinations",
        "2 rows each",
    ]
    assert {t.get_text() for t in ax.texts} == {"2"}


def test_disconnected_parts_stand_apart():
    a = np.tile([0, 1, 2, 3], 6)
    b = np.where(a % 2, np.repeat([0, 1], 12), np.repeat([2, 3], 12))
    terms = [sml.RandomTerm(a, name="a"), sml.RandomTerm(b, name="b")]
    y = np.random.default_rng(1).normal(size=24)
    mod = sml.LMER(y, np.ones((24, 1)), re_terms=terms)
    ax = plot_design(mod).axes[0]
    assert "2 separate parts" in ax.get_title()
    cells = np.nan_to_num(np.ma.filled(ax.images[0].get_array(), np.nan))
    assert_array_equal(cells > 0, np.kron(np.eye(2), np.ones((2, 2))))
    assert cells.sum() == 24


def test_a_panel_a_pair(fits):
    fig = plot_design(fits("insteval"))
    report = design_report(fits("insteval"))
    assert len(fig.axes) == len(report.pairs) == 3
    for ax, (_, row) in zip(fig.axes, report.pairs.iterrows(), strict=True):
        assert row["relation"] in ax.get_title()
        assert f"{row['cells']:,} of {row['possible']:,}" in ax.get_title()
        assert np.nansum(np.ma.filled(ax.images[0].get_array(), 0)) == 73421
    assert "several combinations" in fig.get_supxlabel()


def test_a_single_factor_has_bars(fits):
    data = dataset("sleepstudy").iloc[7:]
    mod = sml.lmer("Reaction ~ 1 + (1 | Subject)", data)
    ax = plot_design(mod).axes[0]
    sizes = data["Subject"].value_counts(sort=False)
    assert [p.get_height() for p in ax.patches] == [3] + [10] * 17
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names == [str(level) for level in sizes.index]
    mod = sml.lmer("y ~ 1 + (1 | s)", dataset("insteval"))
    ax = plot_design(mod).axes[0]
    assert sum(p.get_height() for p in ax.patches) == 2972
    assert ax.get_xlabel() == "rows of a level of s"


def test_odd_names_are_shown_as_they_are():
    data = dataset("penicillin").rename(columns={"plate": "a$b$ long" + "g" * 40})
    name = data.columns[data.columns.str.startswith("a$")][0]
    mod = sml.lmer(f'diameter ~ 1 + (1 | Q("{name}")) + (1 | sample)', data)
    fig = plot_design(mod)
    fig.canvas.draw()
    assert fig.axes[0].get_xlabel().startswith(r"a\$b\$ long")
    plot_structure(mod.fit()).canvas.draw()


def test_own_figure_and_no_pyplot(fits):
    fig = Figure()
    assert plot_design(fits("pastes"), fig=fig) is fig
    with pytest.raises(ValueError, match="has axes already"):
        plot_structure(fits("pastes"), fig=fig)
    assert (
        "matplotlib.pyplot" not in sys.modules
        or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
