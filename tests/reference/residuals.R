# Residuals of lme4, their lowess and the line through their quartiles, written to
# residuals.json: Rscript residuals.R (2 s).

suppressPackageStartupMessages(library(lme4))
args <- grep("^--file=", commandArgs(FALSE), value = TRUE)
here <- if (length(args)) dirname(sub("^--file=", "", args[1])) else "."
source(file.path(here, "lmm_common.R"))

data <- transform(sleepstudy, w = 1 + Days / 10)
m <- fit_polished("Reaction ~ Days + (Days | Subject)", data, TRUE, "w")$model
pearson <- unname(residuals(m, type = "pearson", scaled = TRUE))
fitted <- unname(fitted(m))
smooth <- lowess(fitted, pearson)
quartiles <- unname(quantile(pearson, c(0.25, 0.75)))
slope <- diff(quartiles) / diff(qnorm(c(0.25, 0.75)))

group <- with(data, split(pearson, Subject))
out <- list(
  meta = list(R = R.version.string, lme4 = as.character(packageVersion("lme4"))),
  pearson = pearson,
  response = unname(residuals(m, type = "response")),
  marginal = unname(data$Reaction - predict(m, re.form = NA)),
  standardized = pearson / sqrt(1 - unname(hatvalues(m))),
  lowess = list(x = smooth$x, y = smooth$y),
  qqline = c(quartiles[1] - slope * qnorm(0.25), slope),
  groups = lapply(group, function(r) unname(quantile(r, c(0.05, 0.25, 0.5, 0.75, 0.95))))
)
writeLines(to_json(out), file.path(here, "residuals.json"))
