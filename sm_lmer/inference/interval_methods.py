"""Profiles, simulation and bootstrap as methods of LMERResults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import ArrayLike

from .methods_base import MethodsOfResults

if TYPE_CHECKING:
    from pathlib import Path

    from ..results import LMERResults
    from .bootstrap import Bootstrap
    from .profile import Profile
    from .simulate import RandomSource


class IntervalMethods(MethodsOfResults):
    """Intervals of all parameters, and what simulation says of them."""

    def profile(
        self,
        which: str | int | Iterable[str | int] | None = None,
        *,
        reml: bool = False,
        alphamax: float = 0.01,
        points: int = 8,
    ) -> Profile:
        """Profile the likelihood; see :func:`sm_lmer.inference.profile.profile`."""
        from .profile import profile

        return profile(self._fit, which, reml=reml, alphamax=alphamax, points=points)

    def conf_int_re(
        self,
        alpha: float = 0.05,
        method: str = "profile",
        *,
        reml: bool = False,
        nsim: int = 999,
        rng: RandomSource = None,
    ) -> pd.DataFrame:
        """Intervals of standard deviations, correlations and sigma.

        Parameters
        ----------
        alpha : float
            One less the level.
        method : {"profile", "wald", "boot"}
            Of the profile likelihood; from the curvature on the scale of logarithms
            and Fisher's z; or percentiles of a parametric bootstrap.
        reml : bool
            Whether the REML criterion is profiled instead of the deviance.
        nsim, rng : optional
            Replicates and random numbers of the bootstrap.

        Returns
        -------
        DataFrame
            Columns lower and upper.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_dyestuff()
        >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
        >>> print(res.conf_int_re().round(2).to_string(index_names=False))
                            lower  upper
        sd Intercept|Batch  12.20  84.06
        sigma               38.23  67.66
        """
        from .profile_intervals import conf_int_re

        if method != "boot":
            return conf_int_re(self._fit, alpha, method, reml=reml)
        names = conf_int_re(self._fit, alpha, "wald").index
        return self._bootstrap_ends(alpha, nsim, rng).loc[names]

    def _bootstrap_ends(
        self, alpha: float, nsim: int, rng: RandomSource
    ) -> pd.DataFrame:
        """Percentile intervals of all parameters by a parametric bootstrap."""
        from .boot_ci import boot_ci

        found = boot_ci(self.bootstrap(nsim=nsim, rng=rng), "perc", alpha)
        return found[["lower", "upper"]]

    def simulate(
        self,
        nsim: int = 1,
        use_u: bool = False,
        re_form: Any = False,
        exog: Any = None,
        params: Mapping[str, ArrayLike] | None = None,
        rng: RandomSource = None,
        *,
        offset: ArrayLike | None = None,
        weights: ArrayLike | str | None = None,
    ) -> Any:
        """Draw responses; see :func:`sm_lmer.inference.simulate.simulate`."""
        from .simulate import simulate

        return simulate(
            self._fit,
            nsim,
            use_u,
            re_form,
            exog,
            params,
            rng,
            offset=offset,
            weights=weights,
        )

    def bootstrap(
        self,
        func: Callable[[LMERResults], Any] | None = None,
        nsim: int = 999,
        type: str = "parametric",
        rng: RandomSource = None,
        n_jobs: int = 1,
        progress: bool = False,
        save: str | Path | None = None,
    ) -> Bootstrap:
        """Bootstrap the fit; see :func:`sm_lmer.inference.bootstrap.bootstrap`."""
        from .bootstrap import bootstrap

        return bootstrap(self._fit, func, nsim, type, rng, n_jobs, progress, save)

    def simulated_intervals(
        self, exog: Any = None, nsim: int = 1000, alpha: float = 0.05, **options: Any
    ) -> pd.DataFrame:
        """Prediction intervals by simulation.

        See :func:`sm_lmer.inference.simulated_intervals.simulated_intervals`.
        """
        from .simulated_intervals import simulated_intervals

        return simulated_intervals(self._fit, exog, nsim, alpha, **options)
