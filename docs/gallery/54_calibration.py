"""Calibration of p-values

P-values of a slope that is zero, in 200 simulated studies of 6 subjects. Those of the
t distribution with Satterthwaite's degrees of freedom follow the diagonal, as they
should; those of the normal distribution are small too often.
"""

import warnings

import numpy as np
from matplotlib.figure import Figure

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
data = data[data["Subject"].isin(data["Subject"].unique()[:6])]
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
slope = res.params["Days"] * data["Days"].to_numpy()
draws = np.asarray(res.simulate(200, rng=1)).reshape(len(data), -1) - slope[:, None]
found = {"satterthwaite": [], "normal": []}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", sml.SingularFitWarning)
    for y in draws.T:
        fit = res.refit(y)
        for ddf, pvalues in found.items():
            pvalues.append(fit.t_test("Days = 0", ddf=ddf).pvalue.item())

fig = Figure(figsize=(3.5, 3.5), layout="constrained", dpi=200)
ax = fig.subplots()
ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, label="uniform")
ax.ecdf(found["satterthwaite"], color="#0072B2", label="Satterthwaite")
ax.ecdf(found["normal"], color="#D55E00", linestyle="--", label="normal")
ax.set(xlabel="p-value", ylabel="share of studies with a smaller one")
ax.legend(frameon=False, loc="lower right")
