"""Pictures of profiles: what they draw is the profile's own numbers."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from registry import dataset, fitted
from scipy import stats

import sm_lmer.api as sml

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from sm_lmer.graphics.profiles import (
    LEVELS,
    interval_ends,
    pair_curves,
    plot_density,
    plot_pairs,
    plot_zeta,
    wrapped,
    zeta_curve,
)


@pytest.fixture(scope="module")
def dye():
    return fitted("dyestuff").profile()


@pytest.fixture(scope="module")
def at_zero():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return fitted("dyestuff2").profile()


def lines(ax):
    return [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in ax.lines]


def segments(ax):
    return [s for c in ax.collections for s in c.get_segments()]


# zeta --------------------------------------------------------------------------------


def test_zeta_goes_through_the_points_of_the_profile(dye):
    fig = plot_zeta(dye)
    frame = dye.to_frame()
    assert [ax.get_xlabel() for ax in fig.axes] == dye.names
    for ax, name in zip(fig.axes, dye.names, strict=True):
        own = frame[frame["parameter"] == name]
        curve = lines(ax)[0]
        at = np.searchsorted(curve[:, 0], own["value"])
        assert_allclose(curve[at, 0], own["value"], rtol=1e-14)
        assert_allclose(curve[at, 1], own["zeta"])
        assert np.isfinite(curve).all()
        inner = curve[5:-5]
        assert_allclose(inner[:, 1], dye.zeta(name, inner[:, 0]), atol=1e-12)


def test_ticks_are_the_ends_of_intervals(dye):
    fig = plot_zeta(dye, levels=[0.95, 0.5])
    expected = np.vstack([dye.conf_int(0.5), dye.conf_int(0.05)])
    for k, ax in enumerate(fig.axes):
        found = np.array(segments(ax))
        ends = expected[[k, k + 3]].ravel()
        assert_allclose(found[:, :, 0], np.column_stack([ends, ends]))
        z = stats.norm.ppf([0.75, 0.975])
        heights = np.array([-z[0], z[0], -z[1], z[1]])
        assert_allclose(found[:, 0, 1], 0.0)
        assert_allclose(found[:, 1, 1], heights, atol=2e-3)
    assert fig.get_supxlabel() == "Vertical lines: the 50 and 95% intervals."


def test_absolute_has_bars(dye):
    ax = plot_zeta(dye, "sigma", absolute=True, levels=[0.9]).axes[0]
    assert (lines(ax)[0][:, 1] >= 0).all()
    assert ax.get_ylabel() == "|ζ|"
    bar = segments(ax)[-1]
    low, high = dye.conf_int(0.1).loc["sigma"]
    assert_allclose(bar[:, 0], [low, high])
    assert_allclose(bar[:, 1], stats.norm.ppf(0.95))


def test_end_at_a_bound_is_no_quantile(at_zero):
    ends = interval_ends(at_zero, at_zero.names, [0.95])
    low = ends[(ends["parameter"] == "sd Intercept|Batch") & (ends["side"] == -1)]
    assert low["value"].item() == 0.0
    assert low["zeta"].item() == pytest.approx(0.0, abs=1e-6)
    plot_zeta(at_zero).canvas.draw()


def test_curve_is_monotone(at_zero, dye):
    for profile in (at_zero, dye):
        for name in profile.names:
            curve = zeta_curve(profile, name)
            assert (np.diff(curve["value"]) > 0).all()
            assert (np.diff(curve["zeta"]) > -1e-6).all()


# Densities ---------------------------------------------------------------------------


def test_density_is_the_profiles(dye):
    fig = plot_density(dye)
    frame = dye.density()
    for ax, name in zip(fig.axes, dye.names, strict=True):
        own = frame[frame["parameter"] == name]
        curve, estimate = lines(ax)
        assert_allclose(curve, own[["value", "density"]])
        assert_allclose(estimate[:, 0], dye.estimates[name])
        assert ax.get_ylim()[0] == 0.0


# Pairs -------------------------------------------------------------------------------


def test_pairs_are_the_profiles(dye):
    fig = plot_pairs(dye, levels=[0.5, 0.8])
    axes = np.array(fig.axes).reshape(3, 3)
    across, down = dye.names[0], dye.names[2]
    for level, curve in zip([0.5, 0.8], lines(axes[2, 0]), strict=False):
        assert_allclose(curve, dye.contour(across, down, level))
    for level, curve in zip([0.5, 0.8], lines(axes[0, 2]), strict=False):
        found = dye.contour(across, down, level)
        assert_allclose(curve[:, 0], dye.zeta(down, found[down]))
        assert_allclose(curve[:, 1], dye.zeta(across, found[across]))
    traces = dye.pairs(across, down)
    held = traces[traces["along"] == across]
    assert_allclose(lines(axes[2, 0])[2], held[[across, down]])
    names = [axes[k, k].texts[0].get_text().replace("\n", "") for k in range(3)]
    assert names == ["sd Intercept|Batch", "sigma", "Intercept"]


def test_regions_touch_the_lines_of_the_radius(dye):
    names = dye.names[1:]
    curves = pair_curves(dye, *names, [0.8])
    radius = np.sqrt(stats.chi2.ppf(0.8, 2))
    region = curves[curves["curve"] == "region"]
    for name in names:
        assert region[f"zeta {name}"].abs().max() == pytest.approx(radius, rel=5e-3)


def test_limits_are_shared(dye):
    axes = np.array(plot_pairs(dye).axes).reshape(3, 3)
    assert axes[1, 0].get_xlim() == axes[2, 0].get_xlim()
    assert axes[2, 0].get_ylim() == axes[2, 1].get_ylim()
    assert axes[2, 1].get_xlim() == axes[1, 0].get_ylim()
    assert len({ax.get_xlim() for ax in (axes[0, 1], axes[0, 2], axes[1, 2])}) == 1


def test_regions_cut_by_a_bound_are_said(at_zero):
    fig = plot_pairs(at_zero, levels=[0.5])
    assert "are left out" in fig.get_supxlabel()
    axes = np.array(fig.axes).reshape(3, 3)
    assert len(axes[1, 0].lines) == 2
    assert len(axes[2, 1].lines) == 3


# Arguments ---------------------------------------------------------------------------


def test_which(dye):
    def shown(which):
        return [ax.get_xlabel() for ax in plot_density(dye, which).axes]

    assert shown(".sigma") == shown("sigma") == shown(1) == ["sigma"]
    assert shown("beta_") == ["Intercept"]
    assert shown(["Intercept", "sigma"]) == ["sigma", "Intercept"]
    with pytest.raises(ValueError, match="no parameter 'Days'"):
        plot_zeta(dye, "Days")
    with pytest.raises(ValueError, match="takes 2 to 8 parameters, not 1"):
        plot_pairs(dye, "sigma")
    for bad in ([], [1.0], [0.5, 95]):
        with pytest.raises(ValueError, match="levels are between 0 and 1"):
            plot_zeta(dye, levels=bad)


def test_profile_of_some_parameters_by_reml():
    some = fitted("dyestuff").profile("theta_", reml=True)
    assert len(plot_zeta(some).axes) == 2
    assert len(plot_pairs(some).axes) == 4


def test_methods_and_own_figure(dye):
    fig = Figure(figsize=(7, 3))
    assert dye.plot_zeta(fig=fig) is fig
    with pytest.raises(ValueError, match="has axes already"):
        dye.plot_density(fig=fig)
    assert len(dye.plot_density(which=["sigma"]).axes) == 1
    assert len(dye.plot_pairs(levels=[0.5]).axes) == 9
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_long_and_odd_names():
    assert wrapped("cor Intercept,Days|Subject", 14) == "cor Intercept,\nDays|Subject"
    assert wrapped("a$b" * 5, 8).replace("\n", "") == r"a\$b" * 5
    assert max(map(len, wrapped("x" * 40, 12).split("\n"))) == 12
    data = dataset("dyestuff").rename(columns={"Batch": "lot $1 and $2 " + "y" * 20})
    name = data.columns[0] if data.columns[0].startswith("lot") else data.columns[1]
    profile = sml.lmer(f'Yield ~ 1 + (1 | Q("{name}"))', data).fit().profile("theta_")
    plot_zeta(profile, levels=LEVELS[:1]).canvas.draw()
