"""Published tables, to the digits that were printed.

Bates, Maechler, Bolker and Walker (2015, J. Stat. Software 67(1)) and Bates's lme4
book for the data sets of lme4; Raudenbush and Bryk's High School and Beyond; West,
Welch and Galecki (Linear Mixed Models, chapter 4) for the classroom data, which may
not be redistributed: SM_LMER_CLASSROOM names a copy.
"""

from __future__ import annotations

import os

import pandas as pd
import pytest
from registry import dataset

import sm_lmer.api as sml


def printed(value, text):
    """The value rounded to the digits of the text is the text."""
    decimals = len(text.partition(".")[2])
    assert f"{value:.{decimals}f}" == text


def all_printed(values, text):
    for value, number in zip(values, text.split(), strict=True):
        printed(value, number)


def sds(res):
    """Standard deviations (and correlations), as VarCorr prints them."""
    return res.varcorr()["sdcor"]


def variances(res):
    return res.varcorr()["vcov"]


def test_dyestuff_by_reml(fits):
    res = fits("dyestuff")
    printed(res.remlcrit, "319.6543")
    all_printed(sds(res), "42.00 49.51")
    all_printed([res.params.iloc[0], res.bse.iloc[0]], "1527.50 19.38")


def test_dyestuff_by_maximum_likelihood(fits):
    res = fits("dyestuff_ml")
    printed(res.deviance, "327.3271")
    printed(res.llf, "-163.6635")
    all_printed([res.aic, res.bic], "333.3271 337.5307")
    all_printed(sds(res), "37.26 49.51")
    all_printed([res.params.iloc[0], res.bse.iloc[0]], "1527.50 17.69")


def test_dyestuff_conditional_modes(fits):
    modes = fits("dyestuff").ranef()["Batch"]
    assert modes.index.to_list() == list("ABCDEF")
    expected = "-17.60685 0.39126 28.56223 -23.08454 56.73319 -44.99529"
    all_printed(modes.iloc[:, 0], expected)


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_dyestuff2():
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff2")).fit(reml=False)
    assert sds(res).iloc[0] == 0.0
    printed(res.deviance, "162.8730")
    printed(res.llf, "-81.4365")
    all_printed([res.aic, res.bic], "168.8730 173.0766")
    printed(res.sigma, "3.6532")
    all_printed([res.params.iloc[0], res.bse.iloc[0]], "5.6656 0.6670")


def test_penicillin(fits):
    res = fits("penicillin")
    printed(res.remlcrit, "330.8606")
    all_printed(sds(res), "0.8467 1.9316 0.5499")
    all_printed([res.params.iloc[0], res.bse.iloc[0]], "22.9722 0.8086")


def test_pastes(fits):
    res = fits("pastes")
    printed(res.remlcrit, "246.9907")
    all_printed(sds(res), "2.9041 1.2874 0.8234")
    all_printed([res.params.iloc[0], res.bse.iloc[0]], "60.0533 0.6769")


def test_sleepstudy(fits):
    res = fits("sleepstudy")
    printed(res.remlcrit, "1743.6")
    all_printed(sds(res), "24.74 5.92 0.07 25.59")
    all_printed(res.params, "251.405 10.467")
    all_printed(res.bse, "6.825 1.546")
    all_printed(res.tvalues, "36.838 6.771")


def test_sleepstudy_by_maximum_likelihood(fits):
    res = fits("sleepstudy_ml")
    all_printed([res.aic, res.bic, res.llf], "1763.9 1783.1 -876.0")
    printed(res.deviance, "1751.9")
    all_printed(sds(res), "23.78 5.72 0.08 25.59")


def test_high_school_and_beyond():
    """Covariances of lme4's default fit, which stops 1.5e-8 short of the optimum's."""
    res = sml.lmer("MathAch ~ MEANSES + (1 | School)", dataset("hsb")).fit()
    vcov = res.cov_params().to_numpy()
    published = [0.0222845612, -0.0002358047, 0.1306518973]
    assert [vcov[0, 0], vcov[0, 1], vcov[1, 1]] == pytest.approx(published, rel=1e-7)


# -- classroom ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def classroom():
    path = os.environ.get("SM_LMER_CLASSROOM")
    if not path:
        pytest.skip(
            "the classroom data of West, Welch and Galecki may not be redistributed; "
            "set SM_LMER_CLASSROOM to the path of classroom.csv to check them"
        )
    return pd.read_csv(path)


def test_classroom_two_levels(classroom):
    res = sml.lmer("mathkind ~ ses + (1 | schoolid)", classroom).fit()
    printed(res.remlcrit, "12038.7")
    all_printed(variances(res), "309 1308")
    assert res.nobs == 1190


def test_classroom_three_levels(classroom):
    formula = "mathgain ~ ses + mathknow + (1 | schoolid/classid)"
    res = sml.lmer(formula, classroom).fit()
    assert res.nobs == 1081
    assert res.model.n_data == 1190
    printed(res.remlcrit, "10684.6")
    all_printed(variances(res), "104.64 92.11 1018.67")


def test_classroom_without_predictors(classroom):
    formula = "mathgain ~ 1 + (1 | classid) + (1 | schoolid)"
    res = sml.lmer(formula, classroom).fit()
    printed(res.remlcrit, "11768.76")
    all_printed(variances(res), "99.23 77.49 1028.23")
    assert res.n_groups == {"classid": 312, "schoolid": 107}
