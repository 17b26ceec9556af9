# Variances, R squared and intraclass correlations from insight and performance, for
# the tests of inference/rsquared.py. Usage: Rscript rsquared.R; writes rsquared.json.
# Part R squared: the fall of the marginal R squared when a term is left out.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages({
  library(performance)
  library(insight)
})

get_frame <- function(name) {
  if (name == "sleepstudy_weights") {
    d <- load_data("sleepstudy")
    d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 4
    d
  } else if (name == "sleepstudy_offset") {
    d <- load_data("sleepstudy")
    d$o <- 0.5 * d$Days^2
    d
  } else if (name == "hsb_sample") {
    d <- load_data("hsb")
    keep <- c("2030", "2990", "3999", "4325", "4931", "5761", "5838", "7101", "8150", "8188",
              "8193", "8800", "9104", "9158", "9198", "9508")
    d <- d[as.character(d$School) %in% keep, ]
    d$School <- as.character(d$School)
    d$catholic <- as.integer(d$Sector == "Catholic")
    d$ses_cmc <- d$SES - ave(d$SES, d$School)
    d
  } else {
    load_data(name)
  }
}

hsb <- "MathAch ~ MEANSES + catholic * ses_cmc + (ses_cmc | School)"
cases <- list(
  list(id = "sleepstudy", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "sleepstudy_ml", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)",
       reml = FALSE),
  list(id = "sleepstudy_independent", data = "sleepstudy",
       formula = "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
  list(id = "sleepstudy_weights", data = "sleepstudy_weights", weights = "w",
       formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "sleepstudy_offset", data = "sleepstudy_offset",
       formula = "Reaction ~ Days + offset(o) + (1 | Subject)"),
  list(id = "cake", data = "cake", formula = "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list(id = "penicillin", data = "penicillin",
       formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list(id = "pastes", data = "pastes",
       formula = "strength ~ 1 + (1 | batch:cask) + (1 | batch)"),
  list(id = "machines", data = "machines", formula = "score ~ Machine + (Machine | Worker)"),
  list(id = "hsb_sample", data = "hsb_sample", formula = hsb),
  list(id = "hsb_sample_ml", data = "hsb_sample", formula = hsb, reml = FALSE)
)

run <- function(case) {
  d <- get_frame(case$data)
  reml <- !identical(case$reml, FALSE)
  m <- fit_polished(case$formula, d, reml, weights = case$weights)$model
  cat(case$id, "\n")
  v <- get_variance(m, tolerance = 0)
  # performance says NA of singular fits; a tolerance of zero makes it go on
  r2 <- r2_nakagawa(m, tolerance = 0)
  i <- icc(m, tolerance = 0)
  by <- if (isTRUE(case$id %in% c("penicillin", "pastes", "cake"))) {
    g <- icc(m, by_group = TRUE)
    setNames(g$ICC, g$Group)
  }
  # Johnson's mean of z' Sigma z over all terms, straight from Z
  Z <- as.matrix(getME(m, "Z"))
  Lambda <- as.matrix(t(getME(m, "Lambdat")))
  random <- mean(rowSums((Z %*% Lambda)^2)) * sigma(m)^2
  list(id = case$id, data = case$data, formula = case$formula, weights = case$weights,
       reml = reml, insight = v[c("var.fixed", "var.random", "var.residual")],
       random = random, marginal = unname(r2$R2_marginal), conditional = unname(r2$R2_conditional),
       adjusted = i$ICC_adjusted, unadjusted = i$ICC_unadjusted, by_group = by)
}

# Refits without each term of cake, with the interaction where the term is part of it.
cake_parts <- function() {
  d <- load_data("cake")
  marginal <- function(f) {
    unname(r2_nakagawa(fit_polished(f, d, TRUE)$model, tolerance = 0)$R2_marginal)
  }
  random <- "(1 | recipe:replicate)"
  full <- marginal(paste("angle ~ recipe * temp +", random))
  m <- fit_polished(paste("angle ~ recipe * temp +", random), d, TRUE)$model
  L <- diag(6)
  wald <- function(rows) {
    C <- L[rows, , drop = FALSE]
    b <- C %*% fixef(m)
    as.numeric(t(b) %*% solve(C %*% as.matrix(vcov(m)) %*% t(C), b)) / length(rows)
  }
  list(full = full,
       recipe = full - marginal(paste("angle ~ temp +", random)),
       temp = full - marginal(paste("angle ~ recipe +", random)),
       "recipe:temp" = full - marginal(paste("angle ~ recipe + temp +", random)),
       wald = list(recipe = wald(c(2, 3, 5, 6)), temp = wald(4:6), "recipe:temp" = wald(5:6)))
}

info <- meta("rsquared.R")
info$packages <- c(info$packages, vapply(c("performance", "insight"), function(p)
  as.character(packageVersion(p)), ""))
write_json(list(meta = info, cases = lapply(cases, run), cake_parts = cake_parts()),
           file.path(here, "rsquared.json"))
