"""Histograms and quantile plots of bootstrap replicates."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from registry import fitted
from scipy import stats

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from sm_lmer.graphics.bootstrap import histogram, normal_quantiles, plot_bootstrap


@pytest.fixture(scope="module")
def boot():
    return fitted("dyestuff").bootstrap(nsim=299, rng=1)


def test_histogram_holds_every_draw(boot):
    ax = plot_bootstrap(boot, "sigma", kind="hist").axes[0]
    values, edges, _ = ax.patches[0].get_data()
    draws = boot.replicates["sigma"]
    assert len(values) == 12  # one for 25 draws
    counts = values * np.diff(edges) * len(draws)
    assert_allclose(counts, np.histogram(draws, edges)[0])
    assert counts.sum() == pytest.approx(299)


def test_lines_are_estimate_and_percentiles(boot):
    ax = plot_bootstrap(boot, "Intercept", kind="hist", alpha=0.2).axes[0]
    found = [line.get_xdata()[0] for line in ax.lines]
    ends = boot.conf_int(0.2).loc["Intercept", ["lower", "upper"]]
    assert_allclose(found, [boot.estimate["Intercept"], *ends])


def test_quantiles_are_rs(boot):
    fig = plot_bootstrap(boot, kind="qq")
    assert len(fig.axes) == 3
    for ax, name in zip(fig.axes, boot.estimate.index, strict=True):
        points, line, estimate = ax.lines
        x, y = points.get_data()
        draws = boot.replicates[name]
        assert_allclose(y, np.sort(draws))
        assert_allclose(x, stats.norm.ppf((np.arange(299) + 0.5) / 299))
        slope = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
        assert slope == pytest.approx(draws.std())
        assert np.mean(line.get_ydata()) == pytest.approx(draws.mean())
        assert estimate.get_ydata()[0] == boot.estimate[name]
        assert ax.get_ylabel() == name
    # R: ppoints(5), ppoints(12)[1:2]
    assert_allclose(
        stats.norm.cdf(normal_quantiles(5))[:2], [0.625 / 5.25, 1.625 / 5.25]
    )
    assert_allclose(stats.norm.cdf(normal_quantiles(12))[:2], [0.5 / 12, 1.5 / 12])


def test_both_stand_side_by_side(boot):
    fig = boot.plot()
    assert [ax.get_xlabel() for ax in fig.axes] == [
        label for name in boot.estimate.index for label in (name, "normal quantile")
    ]
    texts = [t.get_text() for t in fig.legends[0].get_texts()]
    assert texts[1] == "ends of the 95% percentile interval"
    assert fig.get_supxlabel() == "299 replicates (parametric bootstrap)."


def test_failed_replicates_are_left_out_and_said(boot):
    values = boot.replicates.copy()
    values.iloc[:4, 0] = np.nan
    values.iloc[4, 0] = np.inf
    fig = replace(boot, replicates=values).plot("Intercept")
    assert len(fig.axes[1].lines[0].get_xdata()) == 294
    assert "5 failed or are not finite" in fig.get_supxlabel()
    values["sigma"] = np.nan
    with pytest.raises(ValueError, match="'sigma' has no finite replicate"):
        replace(boot, replicates=values).plot()


def test_constant_and_single_draws(boot):
    density, edges = histogram(np.full(50, 3.0))
    assert (density * np.diff(edges)).sum() == pytest.approx(1.0)
    assert edges[0] < 3.0 < edges[-1]
    zero = boot.replicates.assign(sigma=0.0)
    replace(boot, replicates=zero).plot("sigma").canvas.draw()
    one = replace(boot, replicates=boot.replicates.iloc[:1])
    assert len(one.plot("sigma").axes[1].lines) == 2


def test_which(boot):
    assert boot.plot(-1, kind="hist").axes[0].get_xlabel() == "sigma"
    assert len(boot.plot([0, "Intercept"]).axes) == 2
    with pytest.raises(ValueError, match="no statistic 'Days'"):
        boot.plot("Days")
    with pytest.raises(ValueError, match="unknown kind 'box'"):
        boot.plot(kind="box")
    with pytest.raises(ValueError, match="names none"):
        boot.plot([])


def test_own_figure(boot):
    fig = Figure(figsize=(6, 3))
    assert boot.plot("sigma", fig=fig) is fig
    with pytest.raises(ValueError, match="has axes already"):
        boot.plot("sigma", fig=fig)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_names_of_a_users_function(boot):
    res = fitted("dyestuff")
    own = res.bootstrap(lambda r: {"$a_b% $": r.sigma}, nsim=20, rng=2)
    fig = own.plot()
    fig.canvas.draw()
    assert fig.axes[0].get_xlabel() == r"\$a_b% \$"
