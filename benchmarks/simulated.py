"""Simulated data of the sizes and shapes that real ones have."""

from __future__ import annotations

import numpy as np
import pandas as pd


def many_groups() -> pd.DataFrame:
    """500,000 rows of 125,066 uneven groups; ten predictors, two of them text."""
    rng = np.random.default_rng(1)
    n, groups = 500_000, 125_066
    g = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
    x = rng.standard_normal((n, 8))
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(1, 9)])
    frame["region"] = rng.choice(["east", "north", "south", "west"], n)
    frame["kind"] = rng.choice(["a", "b", "c"], n)
    frame["g"] = g
    effects = 0.8 * rng.standard_normal(groups)
    mean = x @ np.linspace(-1.0, 1.0, 8) + 0.5 * (frame["kind"] == "b")
    frame["y"] = mean + effects[g] + rng.standard_normal(n)
    return frame


def slopes() -> pd.DataFrame:
    """200,000 rows of 20,000 groups, each with an intercept and a slope of its own."""
    rng = np.random.default_rng(2)
    n, groups = 200_000, 20_000
    g, x = rng.integers(0, groups, n), rng.standard_normal(n)
    b = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.3], [0.3, 0.5]], groups)
    y = 1.0 + x + b[g, 0] + b[g, 1] * x + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def nested() -> pd.DataFrame:
    """A million rows of 200,000 pupils in 20,000 classes in 2,000 schools."""
    rng = np.random.default_rng(3)
    n, pupils = 1_000_000, 200_000
    pupil = rng.integers(0, pupils, n)
    klass, school = pupil // 10, pupil // 100
    x = rng.standard_normal(n)
    y = 0.5 * x + rng.standard_normal(n)
    for codes, deviation in ((pupil, 1.0), (klass, 0.6), (school, 0.4)):
        y += deviation * rng.standard_normal(codes.max() + 1)[codes]
    return pd.DataFrame(
        {"y": y, "x": x, "pupil": pupil, "klass": klass, "school": school}
    )


def maximal() -> pd.DataFrame:
    """56 subjects by 32 items; three binary conditions, all effects vary."""
    rng = np.random.default_rng(4)
    subjects, items = 56, 32
    subj, item = (m.ravel() for m in np.mgrid[:subjects, :items])
    cell = (subj + item) % 8  # every subject and every item meets all eight conditions
    a, b, c = (((cell >> k) & 1) - 0.5 for k in range(3))
    Z = np.stack([np.ones(len(a)), a, b, c, a * b, a * c, b * c, a * b * c], axis=1)
    y = 2000.0 + Z @ np.array([0.0, 60.0, -300.0, 80.0, 20.0, 20.0, -90.0, 20.0])
    deviations = 100.0 * np.array([3.0, 1.0, 1.5, 1.0, 0.5, 0.5, 0.5, 0.5])
    for codes, levels in ((subj, subjects), (item, items)):
        root = np.linalg.cholesky(0.3 + 0.7 * np.eye(8))
        effects = rng.standard_normal((levels, 8)) @ root.T * deviations
        y += np.einsum("nq,nq->n", Z, effects[codes])
    y += 700.0 * rng.standard_normal(len(y))
    return pd.DataFrame({"y": y, "a": a, "b": b, "c": c, "subj": subj, "item": item})


def grades() -> pd.DataFrame:
    """1,685,394 grades of 54,711 students by 7,915 instructors in 102 departments.

    Instructors grade unequal numbers (gamma weights of shape 0.7) and 95% of their
    courses in one department; sizes are those of Bates's lecture on lme4.
    """
    rng = np.random.default_rng(5)
    n, students, instructors, departments = 1_685_394, 54_711, 7_915, 102
    student = rng.integers(0, students, n)
    weights = rng.gamma(0.7, size=instructors)
    instructor = rng.choice(instructors, n, p=weights / weights.sum())
    home = rng.integers(0, departments, instructors)
    away = rng.integers(0, departments, n)
    department = np.where(rng.random(n) < 0.95, home[instructor], away)
    x = rng.standard_normal(n)
    y = 3.0 + 0.1 * x + 0.8 * rng.standard_normal(n)
    for codes, deviation in ((student, 0.5), (instructor, 0.3), (department, 0.2)):
        y += deviation * rng.standard_normal(codes.max() + 1)[codes]
    return pd.DataFrame(
        {
            "grade": y,
            "x": x,
            "student": student,
            "instructor": instructor,
            "department": department,
        }
    )


def crossed(n: int) -> pd.DataFrame:
    """`n` rows of 500 by 100 crossed levels, to see how time grows with them."""
    rng = np.random.default_rng(6)
    a, b, x = rng.integers(0, 500, n), rng.integers(0, 100, n), rng.standard_normal(n)
    y = x + rng.standard_normal(500)[a] + rng.standard_normal(100)[b]
    return pd.DataFrame({"y": y + rng.standard_normal(n), "x": x, "a": a, "b": b})
