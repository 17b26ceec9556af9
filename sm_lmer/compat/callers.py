"""Who calls: the user's line for a warning, and statsmodels' functions.

Which of statsmodels' functions reads an attribute of a results object:

``anova_lm`` was written for OLS: it takes mean squares from ``ssr / df_resid``, type 1
sums of squares from ``effects``, the denominator degrees of freedom of type 1 from
``df_resid``, and compares several models by their ``ssr``. ``summary2`` and
``summary_col`` print any ``rsquared`` as one number. They offer no other way in, so the
attributes that LMERResults has for them look at who asks.
"""

from __future__ import annotations

import sys
from types import FrameType

ANOVA = "statsmodels.stats.anova"
SUMMARY2 = "statsmodels.iolib.summary2"
DEPTH = 8
"""Frames between such a function and an attribute of a wrapped object, at most."""


def asking(module: str = ANOVA) -> FrameType | None:
    """The innermost frame of a module that is near on the stack."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(DEPTH):
        if frame is None:
            return None
        inside = frame.f_globals.get("__name__") == module
        if inside and not frame.f_code.co_name.startswith("<"):
            return frame
        frame = frame.f_back
    return None


def users_level() -> int:
    """The ``stacklevel`` by which a warning of the caller points at the user's line."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and _is_ours(frame) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] == "sm_lmer"


def compares_models(frame: FrameType) -> bool:
    """Whether ``anova_lm`` is comparing several models."""
    return frame.f_code.co_name == "anova_lm"


def wants_denominators(frame: FrameType) -> bool:
    """Whether type 1 F statistics are there and wait for their p-values."""
    if frame.f_code.co_name != "anova1_lm_single":
        return False
    table = frame.f_locals["table"]
    return "F" in table and bool(table["F"].any())
