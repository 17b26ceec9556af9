# Kenward-Roger's covariance, degrees of freedom and F tests by pbkrtest, on polished
# fits. Usage: Rscript kr.R. Writes kr.json beside this file.
#
# pbkrtest 0.5.2 forgets precision weights: get_SigmaG() puts sigma^2 I where
# sigma^2 W^-1 belongs. The weighted cases are therefore fitted without weights to
# sqrt(w) times y, X and Z, which is the same model; `ignoring` is what pbkrtest gives
# for the weighted fit itself. At a singular fit it inverts the same information matrix
# as elsewhere, so these numbers need no allowance on a polished fit.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(pbkrtest))

# ---- data --------------------------------------------------------------------------

labels <- function(prefix, n) sprintf("%s%02d", prefix, seq_len(n))
pick <- function(prefix, n, size) factor(sample(labels(prefix, n), size, replace = TRUE))

crossed <- function() {
  set.seed(501)
  n <- 160
  d <- data.frame(a = pick("a", 18, n), b = pick("b", 9, n), f = pick("f", 3, n))
  d$x <- round(rnorm(n, 2), 3)
  b <- matrix(rnorm(36), 18) %*% matrix(c(1.2, 0, 0.4, 0.7), 2)
  d$y <- round(3 + d$x + b[d$a, 1] + b[d$a, 2] * d$x + 0.9 * rnorm(9)[d$b] +
                 rnorm(n), 4)
  d
}

nested <- function() {
  set.seed(502)
  rows <- list()
  for (a in 1:7) for (b in seq_len(sample(2:4, 1))) for (c in seq_len(sample(1:4, 1))) {
    rows[[length(rows) + 1]] <- data.frame(a = a, b = b, c = c, k = seq_len(sample(1:4, 1)))
  }
  d <- do.call(rbind, rows)[1:3]
  ab <- interaction(d$a, d$b, drop = TRUE)
  abc <- interaction(d$a, d$b, d$c, drop = TRUE)
  d$z <- round(rnorm(nlevels(ab)), 3)[ab]
  d$x <- round(rnorm(nrow(d)), 3)
  d$y <- round(1 + 0.5 * d$x + d$z + 1.3 * rnorm(7)[d$a] + 0.8 * rnorm(nlevels(ab))[ab] +
                 1.1 * rnorm(nlevels(abc))[abc] + 0.7 * rnorm(nrow(d)), 4)
  for (v in c("a", "b", "c")) d[[v]] <- factor(sprintf("%s%d", v, d[[v]]))
  d
}

weighted <- function() {
  set.seed(503)
  d <- data.frame(g = pick("g", 12, 70))
  d$x <- round(rnorm(70), 3)
  d$z <- round(rnorm(12), 3)[d$g]
  d$w <- round(runif(70, 0.2, 3), 3)
  u <- matrix(rnorm(24), 12)
  d$y <- round(2 + d$x + u[d$g, 1] + 0.6 * u[d$g, 2] * d$x + rnorm(70) / sqrt(d$w), 4)
  d$s <- sqrt(d$w)
  for (v in c("x", "z", "y")) d[[paste0("s", v)]] <- d$s * d[[v]]
  d
}

hsb16 <- function() {
  d <- load_hsb()
  schools <- c(2030, 2990, 3999, 4325, 4931, 5761, 5838, 7101, 8150, 8188, 8193, 8800,
               9104, 9158, 9198, 9508)
  d <- d[as.character(d$School) %in% schools, ]
  data.frame(
    mathach = d$MathAch, meanses = d$MEANSES, id = droplevels(factor(d$School, ordered = FALSE)),
    sector = as.numeric(d$Sector == "Catholic"),
    ses_cmc = d$SES - ave(d$SES, as.character(d$School))
  )
}

inline <- list(
  sleepstudy_unbalanced = load_data("sleepstudy")[-c(4, 9, 18, 41), ],
  cake_unbalanced = load_data("cake")[-c(1:7, 20, 33, 90:95, 200), ],
  machines_unbalanced = load_data("machines")[-c(2, 3, 6), ],
  oats_unbalanced = load_data("oats")[-c(3, 4, 30, 31, 32, 33), ],
  crossed = crossed(),
  nested = nested(),
  weighted = weighted(),
  hsb16 = hsb16()
)
data_of <- function(name) if (is.null(inline[[name]])) load_data(name) else inline[[name]]

# ---- cases -------------------------------------------------------------------------

after_first <- function(p) diag(p)[-1, , drop = FALSE]
second_and_third <- function(p) rbind(c(0, 1, rep(0, p - 2)), c(0, 0.5, 1, rep(0, p - 3)))

cases <- list(
  list("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  list("sleepstudy_unbalanced", "Reaction ~ Days + (Days | Subject)"),
  list("sleepstudy_unbalanced", "Reaction ~ Days + (1 | Subject)"),
  list("sleepstudy_unbalanced", "Reaction ~ Days + (Days || Subject)"),
  list("sleepstudy_unbalanced", "Reaction ~ Days + (Days | Subject)", reml = FALSE),
  list("cake", "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list("cake_unbalanced", "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list("machines_unbalanced", "score ~ Machine + (Machine | Worker)"),
  list("machines_unbalanced", "score ~ Machine + (1 | Worker/Machine)"),
  list("oats_unbalanced", "yield ~ Variety + nitro + (1 | Block/Variety)"),
  list("crossed", "y ~ f + x + (x | a) + (1 | b)"),
  list("crossed", "y ~ f + x + (x || a) + (1 | b)"),
  list("crossed", "y ~ f + x + (x | a) + (x | b)"),
  list("nested", "y ~ x + z + (1 | a/b/c)"),
  list("nested", "y ~ x + z + (x | a) + (1 | a:b)"),
  list("weighted", "y ~ x + z + (x | g)", weights = "w",
       same = "sy ~ 0 + s + sx + sz + (0 + s + sx | g)"),
  list("weighted", "y ~ x + z + (1 | g)", weights = "w",
       same = "sy ~ 0 + s + sx + sz + (0 + s | g)"),
  list("hsb16", "mathach ~ meanses + sector * ses_cmc + (ses_cmc | id)")
)

f_test <- function(model, L) {
  stats <- KRmodcomp(model, L)$stats
  list(L = L, statistic = stats$Fstat, unscaled = stats$FstatU, ddf = stats$ddf,
       scale = stats$F.scaling, pvalue = stats$p.value)
}

kr <- function(model) {
  Phi <- vcov(model)
  adjusted <- vcovAdj(model)
  p <- length(fixef(model))
  list(
    beta = unname(fixef(model)),
    vcov = unname(as.matrix(adjusted)),
    df = vapply(seq_len(p), function(i) Lb_ddf(diag(p)[i, ], Phi, adjusted), 0),
    smallest_eigenvalue = attr(adjusted, "condi")
  )
}

run <- function(case) {
  d <- data_of(case[[1]])
  formula <- if (is.null(case$same)) case[[2]] else case$same
  reml <- !isFALSE(case$reml)
  # pbkrtest refits a fit by ML by REML
  fit <- fit_polished(formula, d, reml = TRUE)
  p <- length(fixef(fit$model))
  rows <- c(list(after_first(p)), if (p > 2) list(second_and_third(p)))
  cat(case[[1]], case[[2]], fit$model@theta, fit$report$newton_step, "\n")
  out <- list(data = case[[1]], formula = case[[2]], weights = case$weights, reml = reml,
              singular = isSingular(fit$model), kr = kr(fit$model),
              tests = lapply(rows, function(L) f_test(fit$model, L)))
  # where lme4 stops by itself, to see which digits are its optimiser's
  out$default <- kr(suppressMessages(lmer(as.formula(formula), d)))
  if (!reml) {
    out$beta_ml <- unname(fixef(fit_polished(formula, d, reml = FALSE)$model))
  }
  if (!is.null(case$weights)) {
    out$ignoring <- kr(fit_polished(case[[2]], d, TRUE, weights = case$weights)$model)
  }
  out
}

results <- lapply(cases, run)
write_json(
  list(
    meta = c(meta("kr.R"), pbkrtest = as.character(packageVersion("pbkrtest"))),
    inline = lapply(inline, function(d) droplevels(plain(d))),
    cases = results
  ),
  file.path(here, "kr.json")
)
