# Variance inflation factors (car), principal components of random effects (lme4) and
# a Breusch-Pagan test of residuals, for the tests of inference/health.py.
# Usage: Rscript health.R; writes health.json.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(car))

cases <- list(
  list(id = "hsb", data = "hsb",
       formula = "MathAch ~ SES + MEANSES + Sector + Sex + (SES | School)", vif = TRUE),
  list(id = "hsb_interaction", data = "hsb",
       formula = "MathAch ~ SES * MEANSES + Sector + (1 | School)", vif = TRUE),
  list(id = "cake", data = "cake",
       formula = "angle ~ recipe + temperature + (1 | recipe:replicate)", vif = TRUE),
  list(id = "machines", data = "machines", formula = "score ~ Machine + (Machine | Worker)",
       vif = FALSE),
  list(id = "sleepstudy", data = "sleepstudy",
       formula = "Reaction ~ Days + (Days | Subject)", vif = FALSE)
)

run <- function(case) {
  d <- load_data(case$data)
  m <- fit_polished(case$formula, d, TRUE)$model
  pca <- rePCA(m)
  # Koenker's n R^2 of the squared residuals on the fitted values
  r2 <- summary(lm(I(resid(m)^2) ~ fitted(m)))$r.squared
  out <- list(id = case$id, data = case$data, formula = case$formula,
              sdev = lapply(pca, function(p) I(p$sdev)),
              breusch_pagan = pchisq(nrow(d) * r2, 1, lower.tail = FALSE))
  if (case$vif) {
    v <- as.matrix(vif(m))
    if (ncol(v) == 1) v <- cbind(v, 1)
    out$vif <- as.list(setNames(v[, 1], rownames(v)))
    out$df <- as.list(setNames(v[, 2], rownames(v)))
  }
  out
}

info <- meta("health.R")
info$packages <- c(info$packages, car = as.character(packageVersion("car")))
write_json(list(meta = info, cases = lapply(cases, run)), file.path(here, "health.json"))
