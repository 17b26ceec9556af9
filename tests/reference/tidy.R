# What broom.mixed, performance, sandwich, MASS and nnet say of models, for the tests of
# tables/tidy.py. Usage: Rscript tidy.R; writes tidy.json.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages({
  library(broom.mixed)
  library(performance)
  library(sandwich)
})

mixed_cases <- list(
  list(id = "sleepstudy", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "sleepstudy_ml", data = "sleepstudy",
       formula = "Reaction ~ Days + (Days | Subject)", reml = FALSE),
  list(id = "penicillin", data = "penicillin",
       formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list(id = "machines", data = "machines", formula = "score ~ Machine + (Machine | Worker)"),
  list(id = "oats", data = "oats", formula = "yield ~ nitro * Variety + (1 | Block/Variety)")
)

rows <- function(frame) {
  frame <- as.data.frame(frame)
  frame$group[is.na(frame$group)] <- ""
  as.list(frame[c("effect", "group", "term", "estimate", "std.error", "statistic")])
}

mixed <- function(case) {
  m <- fit_polished(case$formula, load_data(case$data), !identical(case$reml, FALSE))$model
  cat(case$id, "\n")
  list(id = case$id,
       sdcor = rows(tidy(m, effects = c("fixed", "ran_pars"), scales = c(NA, "sdcor"))),
       vcov = rows(tidy(m, effects = c("fixed", "ran_pars"), scales = c(NA, "vcov"))),
       rmse = performance_rmse(m), aic = AIC(m), bic = BIC(m), loglik = as.numeric(logLik(m)),
       sigma = sigma(m), nobs = nobs(m))
}

linear <- function() {
  d <- load_data("sleepstudy")
  m <- lm(Reaction ~ Days, d)
  s <- summary(m)
  hc <- sapply(c("HC0", "HC1", "HC2", "HC3"), function(type) sqrt(diag(vcovHC(m, type))))
  cluster <- sqrt(diag(vcovCL(m, ~Subject, type = "HC1")))
  list(estimate = unname(coef(m)), se = unname(s$coefficients[, 2]),
       p = unname(s$coefficients[, 4]), low = unname(confint(m, level = 0.9)[, 1]),
       high = unname(confint(m, level = 0.9)[, 2]), hc = as.list(as.data.frame(hc)),
       cluster = unname(cluster), r2 = s$r.squared, r2_adj = s$adj.r.squared,
       f = unname(s$fstatistic[1]), sigma = s$sigma, rmse = performance_rmse(m),
       hat = unname(hatvalues(m)))
}

logistic <- function() {
  d <- load_data("sleepstudy")
  d$slow <- as.integer(d$Reaction > 300)
  m <- glm(slow ~ Days, binomial, d, control = glm.control(epsilon = 1e-14))
  list(estimate = unname(coef(m)), se = unname(sqrt(diag(vcov(m)))),
       hc0 = unname(sqrt(diag(sandwich(m)))),
       p = unname(summary(m)$coefficients[, 4]),
       odds_low = unname(exp(confint.default(m))[, 1]),
       odds_high = unname(exp(confint.default(m))[, 2]),
       rmse = performance_rmse(m), aic = AIC(m), bic = BIC(m),
       mcfadden = 1 - deviance(m) / m$null.deviance)
}

graded <- function() {
  d <- load_data("sleepstudy")
  d$grade <- cut(d$Reaction, c(0, 250, 300, 350, 1000), labels = c("a", "b", "c", "d"))
  ordered <- MASS::polr(ordered(grade) ~ Days, d, Hess = TRUE, method = "logistic",
                        control = list(reltol = 1e-15, maxit = 1000))
  capture.output(multi <- nnet::multinom(grade ~ Days, d, Hess = TRUE, reltol = 1e-15,
                                         maxit = 1000))
  list(ordered = list(slope = unname(coef(ordered)), thresholds = unname(ordered$zeta),
                      names = names(ordered$zeta), se = unname(sqrt(diag(vcov(ordered))))),
       multinomial = list(levels = rownames(coef(multi)),
                          intercept = unname(coef(multi)[, 1]),
                          slope = unname(coef(multi)[, 2]),
                          se = unname(sqrt(diag(vcov(multi))))))
}

info <- meta("tidy.R")
info$packages <- c(info$packages, vapply(
  c("broom.mixed", "performance", "sandwich", "MASS", "nnet"),
  function(p) as.character(packageVersion(p)), ""))
write_json(list(meta = info, mixed = lapply(mixed_cases, mixed), linear = linear(),
                logistic = logistic(), graded = graded()),
           file.path(here, "tidy.json"))
