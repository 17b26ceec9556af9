"""Intervals from bootstrap distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import fitted, reference
from scipy import stats

from sm_lmer.inference.boot_ci import (
    accelerations,
    bca_levels,
    boot_ci,
    interpolated,
    jackknife,
)
from sm_lmer.inference.bootstrap import bootstrap


def given():
    """A bootstrap of the replicates that R's boot.ci was given."""
    case = reference("bootstrap")["boot_ci"]
    boot = bootstrap(fitted("dyestuff"), lambda r: r.sigma, nsim=2, rng=1)
    boot = replace(
        boot,
        replicates=pd.DataFrame({"t": case["t"]}),
        estimate=pd.Series({"t": case["t0"]}),
    )
    return boot, case


NAMES = {"norm": "normal", "basic": "basic", "perc": "percent", "stud": "student"}


@pytest.mark.parametrize("number", range(3))
def test_intervals_are_those_of_rs_boot(number):
    boot, case = given()
    expected = reference("bootstrap")["intervals"][number]
    alpha = 1.0 - expected["level"]
    errors = ([case["se0"]], case["se"])
    for kind, name in NAMES.items():
        chosen = errors if kind == "stud" else None
        table = boot_ci(boot, kind, alpha, errors=chosen)
        ends = table.loc["t", ["lower", "upper"]].to_numpy(dtype=float)
        assert_allclose(ends, expected[name], rtol=1e-9)
    t, levels = np.array(case["t"]), np.array([alpha / 2, 1 - alpha / 2])
    a = accelerations(np.array(case["influence"])[:, None])[0]
    adjusted = bca_levels(t, case["t0"], a, levels)
    assert_allclose(interpolated(t, adjusted), expected["bca"], rtol=1e-9)


def test_quantiles_at_order_statistics_and_beyond_the_ends():
    t = np.arange(1.0, 20.0)
    levels = np.array([0.05, 0.5, 0.95, 0.01, 0.99])
    assert_allclose(interpolated(t, levels), [1.0, 10.0, 19.0, 1.0, 19.0])
    between = interpolated(t, np.array([0.125]))
    z = stats.norm.ppf([0.125, 0.10, 0.15])
    assert_allclose(between, 2.0 + (z[0] - z[1]) / (z[2] - z[1]))


def test_bca_of_symmetric_replicates_is_perc():
    t = np.linspace(-1.0, 1.0, 999)
    levels = np.array([0.025, 0.975])
    assert_allclose(bca_levels(t, 1e-9, 0.0, levels), levels, atol=2e-3)
    assert np.isnan(bca_levels(t, 5.0, 0.0, levels)).all()


@pytest.mark.parametrize("name", ["dyestuff", "sleepstudy", "pastes", "penicillin"])
def test_bca_intervals_of_all_parameters(name):
    boot = bootstrap(fitted(name), nsim=200, rng=1)
    table = boot_ci(boot, "bca")
    fixed = boot.estimate.index[0]
    assert table.loc[fixed, "lower"] < boot.estimate[fixed] < table.loc[fixed, "upper"]
    assert np.isfinite(list(table.attrs["acceleration"].values())).all()


def test_jackknife_leaves_out_a_cluster_at_a_time():
    res = fitted("sleepstudy")
    boot = bootstrap(res, nsim=2, rng=1)
    found = jackknife(boot)
    data = res.model._design.frame
    subjects = pd.unique(data["Subject"])
    without = []
    for subject in sorted(subjects)[:3]:
        rest = res.update(data=data[data["Subject"] != subject])
        without.append(np.concatenate([rest.params, rest.varcorr()["sdcor"]]))
    gaps = found[1:3] - found[0]
    expected = -17.0 * (np.array(without)[1:] - without[0])
    assert_allclose(gaps, expected, atol=1e-3 * np.abs(expected).max())
    assert_allclose(found.sum(axis=0), 0.0, atol=1e-6 * np.abs(found).max())


def test_jackknife_of_an_intercept_of_balanced_groups():
    boot = bootstrap(fitted("dyestuff"), nsim=2, rng=1)
    means = fitted("dyestuff").model._design.frame.groupby("Batch", observed=True)
    means = means["Yield"].mean().to_numpy()
    assert_allclose(jackknife(boot)[:, 0], means - means.mean(), atol=1e-6)


def test_studentised_intervals_of_fixed_effects():
    boot = bootstrap(fitted("sleepstudy"), nsim=300, rng=2)
    table = boot_ci(boot, "stud")
    t, se = boot.replicates["Days"], boot.standard_errors["Days"]
    q = interpolated(
        ((t - boot.estimate["Days"]) / se).to_numpy(), np.array([0.975, 0.025])
    )
    expected = boot.estimate["Days"] - q * fitted("sleepstudy").bse["Days"]
    assert_allclose(table.loc["Days", ["lower", "upper"]].to_numpy(float), expected)
    assert table.loc["sigma", ["lower", "upper"]].isna().all()
    without = bootstrap(fitted("sleepstudy"), lambda r: r.sigma, nsim=2, rng=1)
    with pytest.raises(ValueError, match="standard errors"):
        boot_ci(without, "stud")


def test_intervals_follow_monotone_transformations():
    res = fitted("dyestuff")
    plain = boot_ci(bootstrap(res, lambda r: r.sigma, nsim=39, rng=1), "perc", 0.1)
    logged = bootstrap(res, lambda r: np.log(r.sigma), nsim=39, rng=1)
    logged = boot_ci(logged, "perc", 0.1)
    ends = ["lower", "upper"]
    assert_allclose(np.exp(logged.loc["t", ends]), plain.loc["t", ends], rtol=1e-9)


def test_the_method_is_the_function():
    boot = bootstrap(fitted("dyestuff"), nsim=99, rng=1)
    pd.testing.assert_frame_equal(
        boot.conf_int(0.1, "basic"), boot_ci(boot, "basic", 0.1)
    )


def test_replicates_that_failed_do_not_count():
    boot, _ = given()
    some = boot.replicates.copy()
    some.iloc[::5] = np.nan
    fewer = replace(boot, replicates=some)
    kept = replace(boot, replicates=some.dropna().reset_index(drop=True))
    pd.testing.assert_frame_equal(boot_ci(fewer, "basic"), boot_ci(kept, "basic"))


def test_bad_input():
    boot, _ = given()
    with pytest.raises(ValueError, match="unknown type 'percentile'"):
        boot_ci(boot, "percentile")
    with pytest.raises(ValueError, match="between 0 and 1"):
        boot_ci(boot, alpha=95)
