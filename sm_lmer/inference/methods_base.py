"""What the groups of methods of LMERResults share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..results import LMERResults


class MethodsOfResults:
    """Base of classes whose methods are those of LMERResults."""

    @property
    def _fit(self) -> LMERResults:
        """The results object that these are the methods of."""
        return self  # type: ignore[return-value]
