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
