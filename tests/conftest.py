"""Fixtures over the registry of data sets and fits."""

from __future__ import annotations

import numpy as np
import pytest
import registry


@pytest.fixture(scope="session")
def fits():
    """``fits("sleepstudy_ml")`` is a fit of :data:`registry.MODELS`."""
    return registry.fitted


@pytest.fixture(scope="session")
def data():
    """``data("sleepstudy")`` is a shipped data set (do not change it)."""
    return registry.dataset


@pytest.fixture
def rng():
    return np.random.default_rng(20260)


@pytest.fixture(params=["patsy", "formulaic"])
def formula_engine(request):
    """Runs a test under each formula engine that statsmodels has."""
    if request.param == "patsy":
        yield request.param
        return
    pytest.importorskip("statsmodels.formula._manager")
    pytest.importorskip("formulaic")
    from statsmodels.formula import options

    before = options.formula_engine
    options.formula_engine = request.param
    yield request.param
    options.formula_engine = before
