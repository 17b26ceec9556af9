"""Plots as methods of LMERResults; the work is done in the modules beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..inference.methods_base import MethodsOfResults

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..core.terms import FloatArray
    from ..inference.design_report import DesignReport
    from ..inference.effects import Effects
    from ..inference.health import HealthReport
    from ..inference.influence import Influence
    from ..inference.simulated_residuals import SimulatedResiduals


class PlotMethods(MethodsOfResults):
    """Plots, diagnostics and influence of a fit."""

    # -- random effects --------------------------------------------------------

    def plot_caterpillar(self, group: str | None = None, **options: Any) -> Figure:
        """Conditional modes with intervals, sorted.

        See :func:`sm_lmer.graphics.random_effects.plot_caterpillar`.
        """
        from .random_effects import plot_caterpillar

        return plot_caterpillar(self._fit, group, **options)

    def plot_ranef_qq(self, group: str | None = None, **options: Any) -> Figure:
        """Conditional modes with intervals against normal quantiles.

        See :func:`sm_lmer.graphics.random_effects.plot_ranef_qq`.
        """
        from .random_effects import plot_ranef_qq

        return plot_ranef_qq(self._fit, group, **options)

    def plot_ranef_pairs(self, group: str | None = None, **options: Any) -> Figure:
        """Random effects against each other, with the estimated ellipse.

        See :func:`sm_lmer.graphics.random_effects.plot_ranef_pairs`.
        """
        from .random_effects import plot_ranef_pairs

        return plot_ranef_pairs(self._fit, group, **options)

    def plot_shrinkage(self, group: str | None = None, **options: Any) -> Figure:
        """How far partial pooling moves each group from its own regression.

        See :func:`sm_lmer.graphics.pooling.plot_shrinkage`.
        """
        from .pooling import plot_shrinkage

        return plot_shrinkage(self._fit, group, **options)

    def plot_trellis(
        self, x: str | None = None, group: str | None = None, **options: Any
    ) -> Figure:
        """A panel a group: its data, its own line, the model's, the population's.

        See :func:`sm_lmer.graphics.pooling.plot_trellis`.
        """
        from .pooling import plot_trellis

        return plot_trellis(self._fit, x, group, **options)

    # -- residuals and fit -----------------------------------------------------

    def plot_diagnostics(self, **options: Any) -> Figure:
        """The six standard plots of a fit on one figure.

        See :func:`sm_lmer.graphics.diagnostics.plot_diagnostics`.
        """
        from .diagnostics import plot_diagnostics

        return plot_diagnostics(self._fit, **options)

    def plot_resid(self, x: Any = None, **options: Any) -> Figure:
        """Residuals against fitted values or a covariate, with a smooth.

        See :func:`sm_lmer.graphics.residuals.plot_resid`.
        """
        from .residuals import plot_resid

        return plot_resid(self._fit, x, **options)

    def plot_scale_location(self, **options: Any) -> Figure:
        """Root absolute residuals against fitted values, with a smooth.

        See :func:`sm_lmer.graphics.residuals.plot_scale_location`.
        """
        from .residuals import plot_scale_location

        return plot_scale_location(self._fit, **options)

    def plot_resid_qq(self, **options: Any) -> Figure:
        """Residuals against normal quantiles.

        See :func:`sm_lmer.graphics.residuals.plot_resid_qq`.
        """
        from .residuals import plot_resid_qq

        return plot_resid_qq(self._fit, **options)

    def plot_resid_groups(self, group: str | None = None, **options: Any) -> Figure:
        """Residuals of each group as boxes.

        See :func:`sm_lmer.graphics.residuals.plot_resid_groups`.
        """
        from .residuals import plot_resid_groups

        return plot_resid_groups(self._fit, group, **options)

    def plot_observed(self, **options: Any) -> Figure:
        """Observed response against fitted values.

        See :func:`sm_lmer.graphics.residuals.plot_observed`.
        """
        from .residuals import plot_observed

        return plot_observed(self._fit, **options)

    def plot_predictive(self, **options: Any) -> Figure:
        """Density of the response over those of simulated ones.

        See :func:`sm_lmer.graphics.simulated_residuals.plot_predictive`.
        """
        from .simulated_residuals import plot_predictive

        return plot_predictive(self._fit, **options)

    def simulated_residuals(self, **options: Any) -> SimulatedResiduals:
        """Ranks of the responses among simulated ones, with tests.

        See :func:`sm_lmer.inference.simulated_residuals.simulated_residuals`.
        """
        from ..inference.simulated_residuals import simulated_residuals

        return simulated_residuals(self._fit, **options)

    # -- effects ---------------------------------------------------------------

    def effect(self, term: str, **options: Any) -> Effects:
        """The model's predictions over a grid of a term's variables.

        See :func:`sm_lmer.inference.effects.effects`.
        """
        from ..inference.effects import effects

        return effects(self._fit, term, **options)

    def plot_effects(self, term: str, **options: Any) -> Figure:
        """Draw the model's predictions over a grid of a term's variables.

        See :func:`sm_lmer.graphics.effects.plot_effects`.
        """
        from .effects import plot_effects

        return plot_effects(self._fit, term, **options)

    def plot_coefficients(self, **options: Any) -> Figure:
        """Fixed effects with intervals, on request standardised.

        See :func:`sm_lmer.graphics.coefficients.plot_coefficients`.
        """
        from .coefficients import plot_coefficients

        return plot_coefficients(self._fit, **options)

    # -- structure -------------------------------------------------------------

    def plot_structure(
        self, which: Any = ("Zt", "Lambda", "A", "L"), **options: Any
    ) -> Figure:
        """Images of Z', Lambda, A and L.

        See :func:`sm_lmer.graphics.structure.plot_structure`.
        """
        from .structure import plot_structure

        return plot_structure(self._fit, which, **options)

    def plot_design(self, **options: Any) -> Figure:
        """Which grouping factors are nested in or crossed with which.

        See :func:`sm_lmer.graphics.structure.plot_design`.
        """
        from .structure import plot_design

        return plot_design(self._fit, **options)

    def design_report(self) -> DesignReport:
        """Which grouping factors are nested or crossed, with counts, in words.

        See :func:`sm_lmer.inference.design_report.design_report`.
        """
        from ..inference.design_report import design_report

        return design_report(self._fit.model)

    # -- influence and health --------------------------------------------------

    def influence(self, group: str | None = None, **options: Any) -> Influence:
        """How the fit changes without an observation, or without a group.

        See :func:`sm_lmer.inference.influence.influence`.
        """
        from ..inference.influence import influence

        return influence(self._fit, group, **options)

    def hat_values(self, kind: str = "conditional") -> FloatArray:
        """Leverage of each row; see :func:`sm_lmer.inference.leverage.hat_values`."""
        from ..inference.leverage import hat_values

        return hat_values(self._fit, kind)

    def vif(self) -> pd.DataFrame:
        """Variance inflation factors; see :func:`sm_lmer.inference.vif.vif`."""
        from ..inference.vif import vif

        return vif(self._fit)

    def check(self) -> HealthReport:
        """What is healthy about the fit and what is not, in plain words.

        See :func:`sm_lmer.inference.health.check`.
        """
        from ..inference.health import check

        return check(self._fit)

    def pca(self) -> dict[str, pd.DataFrame]:
        """Principal components of each grouping factor's random effects.

        See :func:`sm_lmer.inference.random_pca.random_pca`.
        """
        from ..inference.random_pca import random_pca

        return random_pca(self._fit)
