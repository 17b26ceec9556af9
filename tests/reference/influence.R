# Leverage, Cook's distance and deletion refits, for the tests of inference/influence.py
# and inference/leverage.py. Usage: Rscript influence.R; writes influence.json beside it.
# Every fit, with all rows and without each group, is polished (lmm_common.R); lme4's own
# influence() stops short. The definitions are those of lme4's influence.merMod methods,
# and of Loy and Hofmann (2014), J. Stat. Software 56(5), section 4.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))

sleep_weighted <- function() {
  d <- load_data("sleepstudy")
  d <- d[!(seq_len(nrow(d)) %% 7 == 0), ]
  d$Subject <- as.character(d$Subject)
  d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 2
  rownames(d) <- NULL
  d
}

crossed <- function() {
  set.seed(77)
  n <- 90
  d <- data.frame(g = sample(sprintf("g%02d", 1:9), n, TRUE),
                  h = sample(sprintf("h%d", 1:6), n, TRUE), x = round(rnorm(n), 3))
  d$z <- ifelse(d$g %in% c("g03", "g07", "g08"), "b", "a")
  b <- rnorm(9, 0, 1.5)[as.integer(factor(d$g))]
  d$y <- round(3 + 0.5 * d$x + (d$z == "b") + b +
                 rnorm(6)[as.integer(factor(d$h))] + rnorm(n), 4)
  d$y[5] <- d$y[5] + 6
  d
}

inline <- list(sleep_weighted = sleep_weighted(), crossed = crossed())
get_frame <- function(name) if (name %in% names(inline)) inline[[name]] else load_data(name)

cases <- list(
  list(id = "sleepstudy", data = "sleepstudy", groups = "Subject",
       formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "sleepstudy_ml", data = "sleepstudy", groups = "Subject", reml = FALSE,
       formula = "Reaction ~ Days + (Days | Subject)"),
  list(id = "weighted", data = "sleep_weighted", groups = "Subject", weights = "w",
       formula = "Reaction ~ Days + (1 | Subject)"),
  list(id = "crossed_g", data = "crossed", groups = "g",
       formula = "y ~ x + z + (1 | g) + (1 | h)"),
  list(id = "crossed_h", data = "crossed", groups = "h",
       formula = "y ~ x + z + (1 | g) + (1 | h)"),
  list(id = "crossed_rows", data = "crossed", groups = NULL, reml = FALSE,
       formula = "y ~ x + z + (1 | g) + (1 | h)"),
  list(id = "dyestuff_rows", data = "dyestuff", groups = NULL,
       formula = "Yield ~ 1 + (1 | Batch)"),
  list(id = "pastes_batch", data = "pastes", groups = "batch",
       formula = "strength ~ 1 + (1 | batch/cask)")
)

components <- function(m) as.data.frame(VarCorr(m))$vcov

run <- function(case) {
  d <- get_frame(case$data)
  reml <- !identical(case$reml, FALSE)
  fit <- function(rows) {
    fit_polished(case$formula, droplevels(d[rows, ]), reml, case$weights, restarts = 2)$model
  }
  m <- fit(rep(TRUE, nrow(d)))
  unit <- if (is.null(case$groups)) seq_len(nrow(d)) else as.character(d[[case$groups]])
  labels <- sort(unique(unit))
  left <- lapply(labels, function(u) fit(unit != u))
  b0 <- fixef(m)
  V0 <- as.matrix(vcov(m))
  p <- length(b0)
  db <- t(vapply(left, function(k) fixef(k) - b0, b0))
  if (p == 1) db <- matrix(db, ncol = 1)
  se <- t(vapply(left, function(k) sqrt(diag(as.matrix(vcov(k)))), b0))
  if (p == 1) se <- matrix(se, ncol = 1)
  Vs <- lapply(left, function(k) as.matrix(vcov(k)))
  quadratic <- function(V, i) drop(db[i, ] %*% solve(V, db[i, ])) / p
  vc <- t(vapply(left, components, components(m)))
  n <- length(labels)
  # the object that lme4's influence() makes, with the polished refits in it, so that
  # lme4's own methods compute the distances
  object <- list(fixed.effects = b0, db + rep(b0, each = n), 0, 0, V0, Vs, "case", labels,
                 rep(TRUE, n), rep(0, n))
  colnames(object[[2]]) <- names(b0)
  names(object) <- c("fixed.effects", "fixed.effects[-case]", "var.cov.comps",
                     "var.cov.comps[-case]", "vcov", "vcov[-case]", "groups", "deleted",
                     "converged", "function.evals")
  class(object) <- "influence.merMod"
  cat(case$id, "\n")
  list(
    id = case$id, data = case$data, groups = case$groups, formula = case$formula,
    reml = reml, weights = case$weights, labels = I(as.character(labels)),
    hat = I(unname(hatvalues(m))), cooks_conditional = I(unname(cooks.distance(m))),
    varcomp = I(components(m)),
    dfbeta = unname(as.matrix(dfbeta(object))),
    # lme4's own dfbetas() fails with one fixed effect
    dfbetas = if (p == 1) db / se else unname(as.matrix(dfbetas(object))),
    cooks_lme4 = I(unname(cooks.distance(object))),
    cooks = I(vapply(seq_len(n), function(i) quadratic(V0, i), 0)),
    mdffits = I(vapply(seq_len(n), function(i) quadratic(Vs[[i]], i), 0)),
    covratio = I(vapply(Vs, function(V) det(V) / det(V0), 0)),
    covtrace = I(vapply(Vs, function(V) abs(sum(diag(solve(V0, V))) - p), 0)),
    varcomp_deleted = unname(vc)
  )
}

write_json(list(meta = meta("influence.R"), inline = inline, cases = lapply(cases, run)),
           file.path(here, "influence.json"))
