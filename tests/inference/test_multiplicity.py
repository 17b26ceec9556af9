"""Adjustments for multiplicity against R, exact special cases and one another."""

from __future__ import annotations

import numpy as np
import pytest
from registry import reference
from scipy import stats

from sm_lmer.inference.multiplicity import (
    ADJUSTMENTS,
    Family,
    adjusted_pvalues,
    critical_values,
    named,
    range_quantile,
    range_tail,
)


def family(df, correlation, rank=None, pairwise=False, n_means=0.0):
    df = np.broadcast_to(np.asarray(df, dtype=float), len(correlation))
    rank = np.linalg.matrix_rank(correlation) if rank is None else rank
    return Family(df, n_means, rank, np.asarray(correlation, dtype=float), pairwise)


def pairs_of(sizes):
    """Correlations of all differences of independent means."""
    k = len(sizes)
    C = np.array(
        [np.eye(k)[i] - np.eye(k)[j] for i in range(k) for j in range(i + 1, k)]
    )
    V = C @ np.diag(1.0 / np.asarray(sizes)) @ C.T
    se = np.sqrt(np.diag(V))
    return V / np.outer(se, se)


def test_studentized_range_as_r():
    for case in reference("emmeans")["range"]:
        df = np.array([np.inf if case["df"] < 0 else case["df"]])
        p = range_tail(np.array([case["q"]]), case["k"], df)[0]
        quantile = range_quantile(0.05, case["k"], df)[0]
        # qtukey stops at steps of 1e-4; ptukey loses digits at few degrees of freedom
        assert p == pytest.approx(case["p"], rel=2e-5, abs=1e-6)
        assert quantile == pytest.approx(case["quantile"], abs=1e-4)


@pytest.mark.parametrize("df", [1.0, 2.5, 9.0, 300.0, 1e6, np.inf])
def test_range_of_two_is_a_t_test_far_into_the_tail(df):
    t = np.array([0.01, 1.0, 4.0, 12.0])
    exact = 2.0 * (stats.norm.sf(t) if np.isinf(df) else stats.t.sf(t, df))
    found = range_tail(np.sqrt(2.0) * t, 2, np.full(4, df))
    np.testing.assert_allclose(found, exact, rtol=1e-8)


def test_mvt_of_independent_normal_estimates_is_sidak():
    t = np.array([0.3, 1.5, 2.5, 5.0])
    tests = family(np.inf, np.eye(4))
    mvt = adjusted_pvalues(t, tests, "mvt")
    np.testing.assert_allclose(mvt, adjusted_pvalues(t, tests, "sidak"), rtol=1e-3)
    np.testing.assert_allclose(
        critical_values(0.95, tests, "mvt"),
        critical_values(0.95, tests, "sidak"),
        rtol=1e-4,
    )


@pytest.mark.parametrize(("k", "df"), [(3, 3.0), (3, np.inf), (5, 12.0)])
def test_mvt_of_balanced_pairs_is_tukey(k, df):
    R = pairs_of([4] * k)
    t = np.linspace(0.5, 6.0, len(R))
    tests = family(df, R, pairwise=True, n_means=k)
    mvt = adjusted_pvalues(t, tests, "mvt")
    np.testing.assert_allclose(mvt, adjusted_pvalues(t, tests, "tukey"), rtol=1.5e-3)
    np.testing.assert_allclose(
        critical_values(0.9, tests, "mvt"),
        critical_values(0.9, tests, "tukey"),
        rtol=5e-4,
    )


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
def test_rank_one_and_single_tests(adjust):
    t = np.array([2.0])
    p = adjusted_pvalues(t, family(7.0, np.eye(1)), adjust)
    assert p[0] == pytest.approx(2.0 * stats.t.sf(2.0, 7.0), rel=1e-9)


@pytest.mark.parametrize(
    "adjust", ["none", "tukey", "sidak", "bonferroni", "scheffe", "dunnettx", "mvt"]
)
def test_p_is_alpha_at_the_critical_value(adjust):
    R = pairs_of([3, 5, 9])
    tests = family([6.0, 11.0, 40.0], R, pairwise=True, n_means=3)
    half = critical_values(0.95, tests, adjust)
    p = adjusted_pvalues(half, tests, adjust)
    np.testing.assert_allclose(p, 0.05, rtol=1e-6)


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
def test_no_smaller_than_unadjusted_and_nan_stays(adjust):
    R = pairs_of([3, 5, 9])
    R[2] = R[:, 2] = np.nan
    t = np.array([1.0, -3.0, np.nan])
    tests = family(np.array([9.0, 9.0, np.nan]), R, rank=2, pairwise=True, n_means=3)
    p = adjusted_pvalues(t, tests, adjust)
    assert np.isnan(p[2])
    assert (p[:2] >= 2.0 * stats.t.sf([1.0, 3.0], 9.0) * (1 - 1e-9)).all()
    assert (p[:2] <= 1.0).all()
    half = critical_values(0.95, tests, adjust)
    assert np.isnan(half[2])
    assert (half[:2] >= stats.t.isf(0.025, 9.0) * (1 - 1e-9)).all()


def test_repeatable():
    tests = family(9.0, pairs_of([3, 5, 9]))
    t = np.array([1.0, 2.0, 3.0])
    first, second = (adjusted_pvalues(t, tests, "mvt") for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_unknown_names():
    assert named("BH") == "fdr"
    with pytest.raises(ValueError, match="unknown adjust 'tuckey'; choose one of none"):
        named("tuckey")
