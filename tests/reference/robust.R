# Cluster-robust covariances of the fixed effects from clubSandwich, for the tests of
# inference/robust.py. Usage: Rscript robust.R; writes robust.json beside this file.
# Fits are polished (lmm_common.R), so that the covariances are those of the optimum.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(clubSandwich))

# ---- data ------------------------------------------------------------------------------

unbalanced_sleepstudy <- function() {
  d <- load_data("sleepstudy")
  d <- d[!(seq_len(nrow(d)) %% 7 == 0 | (as.integer(d$Subject) %% 3 == 1 & d$Days > 5)), ]
  d$Subject <- as.character(d$Subject)
  d$triple <- paste0("t", match(d$Subject, unique(d$Subject)) %% 6)
  d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 2
  rownames(d) <- NULL
  d
}

schools <- function() {
  set.seed(411)
  rows <- list()
  for (s in seq_len(14)) {
    for (k in seq_len(sample(1:5, 1))) {
      rows[[length(rows) + 1]] <- data.frame(school = s, class = k, i = seq_len(sample(1:7, 1)))
    }
  }
  d <- do.call(rbind, rows)
  d$x <- round(rnorm(nrow(d)), 3)
  d$treated <- as.integer(d$school %% 3 == 0)
  room <- interaction(d$school, d$class, drop = TRUE)
  b <- matrix(rnorm(28), 14) %*% matrix(c(1, 0, 0.4, 0.6), 2)
  d$y <- round(20 + 0.7 * d$x + d$treated + b[d$school, 1] + b[d$school, 2] * d$x +
                 0.9 * rnorm(nlevels(room))[room] + (1 + 0.5 * d$treated) * rnorm(nrow(d)), 4)
  d$school <- sprintf("s%02d", d$school)
  d$class <- sprintf("c%d", d$class)
  d[c("school", "class", "x", "treated", "y")]
}

hsb_sample <- function() {
  d <- load_data("hsb")
  keep <- c("2030", "2990", "3999", "4325", "4931", "5761", "5838", "7101", "8150", "8188",
            "8193", "8800", "9104", "9158", "9198", "9508")
  d <- d[as.character(d$School) %in% keep, c("School", "MathAch", "SES", "MEANSES", "Sector")]
  d$School <- as.character(d$School)
  d$catholic <- as.integer(d$Sector == "Catholic")
  rownames(d) <- NULL
  d[setdiff(names(d), "Sector")]
}

inline <- list(
  unbalanced = unbalanced_sleepstudy(),
  schools = schools(),
  hsb_sample = hsb_sample()
)
get_frame <- function(name) if (name %in% names(inline)) inline[[name]] else load_data(name)

# ---- cases -----------------------------------------------------------------------------

cases <- list(
  list(id = "sleepstudy", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "sleepstudy_ml", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)",
       reml = FALSE),
  list(id = "unbalanced_intercept", data = "unbalanced", formula = "Reaction ~ Days + (1 | Subject)"),
  list(id = "unbalanced_independent", data = "unbalanced",
       formula = "Reaction ~ Days + I(Days^2) + (1 | Subject) + (0 + Days | Subject)",
       python = "Reaction ~ Days + I(Days**2) + (1 | Subject) + (0 + Days | Subject)"),
  list(id = "unbalanced_coarser", data = "unbalanced", formula = "Reaction ~ Days + (1 | Subject)",
       cluster = "triple"),
  list(id = "machines", data = "machines", formula = "score ~ Machine + (Machine | Worker)"),
  list(id = "pastes", data = "pastes", formula = "strength ~ 1 + (1 | batch) + (1 | batch:cask)"),
  list(id = "cake", data = "cake", formula = "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list(id = "schools", data = "schools",
       formula = "y ~ x * treated + (x | school) + (1 | school:class)"),
  list(id = "hsb", data = "hsb_sample",
       formula = "MathAch ~ SES + catholic + MEANSES + SES:catholic + (1 | School)")
)

htz <- function(m, V, p) {
  if (p < 3) C <- diag(p) else C <- diag(p)[-1, , drop = FALSE]
  w <- as.data.frame(Wald_test(m, constraints = C, vcov = V, test = c("HTZ", "Naive-F")))
  list(C = C, HTZ = as.list(w[w$test == "HTZ", c("Fstat", "delta", "df_denom", "p_val")]),
       naive = as.list(w[w$test == "Naive-F", c("Fstat", "df_denom", "p_val")]))
}

covariances <- function(m, cluster) {
  out <- lapply(c(CR0 = "CR0", CR1 = "CR1", CR1S = "CR1S", CR2 = "CR2"), function(type) {
    V <- vcovCR(m, cluster = cluster, type = type)
    tests <- coef_test(m, vcov = V, test = "Satterthwaite")
    list(vcov = matrix(as.numeric(V), nrow(V)), df = I(as.numeric(tests$df_Satt)),
         p = I(as.numeric(tests$p_Satt)), joint = htz(m, V, nrow(V)))
  })
  out
}

run <- function(case) {
  d <- get_frame(case$data)
  reml <- !identical(case$reml, FALSE)
  m <- fit_polished(case$formula, d, reml)$model
  cluster <- if (is.null(case$cluster)) {
    flist <- getME(m, "flist")
    flist[[which.min(getME(m, "l_i"))]]
  } else d[[case$cluster]]
  cat(case$id, "\n")
  list(id = case$id, data = case$data, formula = if (is.null(case$python)) case$formula else case$python,
       reml = reml, cluster = case$cluster, theta = I(unname(m@theta)), beta = I(unname(fixef(m))),
       n_clusters = nlevels(factor(cluster)), kinds = covariances(m, cluster))
}

# clubSandwich refuses lmer fits with prior weights; nlme's varFixed is the same model.
weighted <- function() {
  d <- get_frame("unbalanced")
  d$Subject <- factor(d$Subject)
  d$v <- 1 / d$w
  control <- nlme::lmeControl(maxIter = 500, msMaxIter = 1000, niterEM = 100, tolerance = 1e-14,
                              msTol = 1e-15, msMaxEval = 5000, opt = "nlm", gradHess = FALSE)
  m <- nlme::lme(Reaction ~ Days, random = ~ 1 | Subject, data = d,
                 weights = nlme::varFixed(~v), control = control)
  p <- fit_polished("Reaction ~ Days + (1 | Subject)", d, TRUE, weights = "w")$model
  theta <- attr(nlme::corMatrix(m$modelStruct$reStruct[[1]]), "stdDev")
  cat("weighted: theta by lme and lmer", theta, p@theta, "\n")
  list(theta = unname(p@theta), theta_lme = unname(theta),
       kinds = covariances(m, d$Subject))
}

info <- meta("robust.R")
info$packages <- c(info$packages, clubSandwich = as.character(packageVersion("clubSandwich")))
write_json(list(meta = info, inline = inline, cases = lapply(cases, run), weighted = weighted()),
           file.path(here, "robust.json"))
