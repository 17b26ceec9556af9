"""Bootstrap of a variance estimated as zero

More than half of the replicates of the standard deviation between batches are zero, as
the estimate is: neither a histogram with one peak nor normal quantiles describe them.
"""

import warnings

import sm_lmer.api as sml

data = sml.datasets.load_dyestuff2()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", sml.SingularFitWarning)
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
fig = res.bootstrap(nsim=499, rng=1).plot("sd Intercept|Batch")
