# Fits and criterion values for the tests of LMER. Usage: Rscript lmm_fits.R
# Writes lmm_fits.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
begun <- Sys.time()

# ---- inline data ---------------------------------------------------------------------

labels <- function(prefix, n) sprintf("%s%02d", prefix, seq_len(n))
pick <- function(prefix, n, size) {
  factor(sample(labels(prefix, n), size, replace = TRUE), levels = labels(prefix, n))
}

sleepstudy_weights <- function() {
  d <- load_data("sleepstudy")
  d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 4
  d
}

sleepstudy_offset <- function() {
  d <- load_data("sleepstudy")
  d$o <- 0.5 * d$Days^2
  d
}

crossed_slopes <- function(seed) {
  set.seed(seed)
  d <- expand.grid(item = factor(labels("i", 12)), subj = factor(labels("s", 20)))
  d$x <- round(rnorm(nrow(d)), 3)
  bs <- matrix(rnorm(40), 20) %*% matrix(c(1.2, 0, 0.4, 0.7), 2)
  bi <- matrix(rnorm(24), 12) %*% matrix(c(0.8, 0, -0.3, 0.5), 2)
  d$y <- round(10 + 2 * d$x + bs[d$subj, 1] + bs[d$subj, 2] * d$x +
                 bi[d$item, 1] + bi[d$item, 2] * d$x + rnorm(nrow(d)), 4)
  d[c("subj", "item", "x", "y")]
}

three_crossed <- function() {
  set.seed(102)
  n <- 300
  d <- data.frame(a = pick("a", 25, n), b = pick("b", 14, n), c = pick("c", 6, n))
  d$x <- round(runif(n, -1, 3), 3)
  b <- matrix(rnorm(28), 14) %*% matrix(c(0.9, 0, 0.3, 0.6), 2)
  d$y <- round(5 - d$x + rnorm(25)[d$a] + b[d$b, 1] + b[d$b, 2] * d$x +
                 1.5 * rnorm(6)[d$c] + 1.3 * rnorm(n), 4)
  droplevels(d)
}

nested_three <- function() {
  set.seed(103)
  rows <- list()
  for (a in seq_len(8)) {
    for (b in seq_len(sample(2:5, 1))) {
      for (c in seq_len(sample(1:5, 1))) {
        rows[[length(rows) + 1]] <- data.frame(a = a, b = b, c = c, k = seq_len(sample(1:5, 1)))
      }
    }
  }
  d <- do.call(rbind, rows)
  ab <- interaction(d$a, d$b, drop = TRUE)
  abc <- interaction(d$a, d$b, d$c, drop = TRUE)
  d$x <- round(rnorm(nrow(d)), 3)
  d$y <- round(3 + 0.5 * d$x + 1.4 * rnorm(8)[d$a] + 0.8 * rnorm(nlevels(ab))[ab] +
                 1.1 * rnorm(nlevels(abc))[abc] + 0.7 * rnorm(nrow(d)), 4)
  for (v in c("a", "b", "c")) d[[v]] <- factor(sprintf("%s%d", v, d[[v]]))
  d[c("a", "b", "c", "x", "y")]
}

categorical_slopes <- function() {
  set.seed(104)
  n <- 260
  d <- data.frame(g = pick("g", 22, n), f = factor(sample(c("lo", "mid", "hi"), n, TRUE,
                                                           c(0.5, 0.3, 0.2)),
                                                    levels = c("lo", "mid", "hi")))
  b <- matrix(rnorm(66), 22) %*% chol(matrix(c(2, 0.6, -0.3, 0.6, 1.2, 0.2, -0.3, 0.2, 0.9), 3))
  level <- as.integer(d$f)
  slope <- ifelse(level == 2, b[d$g, 2], ifelse(level == 3, b[d$g, 3], 0))
  d$y <- round(1 + c(0, 0.7, -1)[level] + b[d$g, 1] + slope + rnorm(n), 4)
  droplevels(d)
}

rank_deficient <- function() {
  set.seed(105)
  n <- 150
  d <- data.frame(g = pick("g", 15, n), x = round(rnorm(n), 3), x3 = round(runif(n), 3))
  d$x2 <- 2 * d$x
  d$f <- factor(sample(c("p", "q", "r"), n, TRUE))
  d$h <- factor(sample(c("u", "v"), n, TRUE))
  d <- d[!(d$f == "r" & d$h == "v"), ]
  d$y <- round(2 + d$x - d$x3 + 0.5 * as.integer(d$f) + rnorm(15)[d$g] + rnorm(nrow(d)), 4)
  rownames(d) <- NULL
  d
}

inline <- list(
  sleepstudy_weights = sleepstudy_weights(),
  sleepstudy_offset = sleepstudy_offset(),
  machines_unbalanced = load_data("machines")[-c(2, 3, 6), ],
  crossed_slopes = crossed_slopes(111),
  # this seed's best fit has a correlation of 1
  crossed_slopes_singular = crossed_slopes(101),
  three_crossed = three_crossed(),
  nested_three = nested_three(),
  categorical_slopes = categorical_slopes(),
  rank_deficient = rank_deficient()
)

columns <- function(d) {
  lapply(d, function(col) {
    if (is.factor(col)) {
      list(type = "factor", levels = I(levels(col)), values = I(as.character(col)))
    } else {
      list(type = "numeric", values = I(as.double(col)))
    }
  })
}

# ---- cases -----------------------------------------------------------------------------

case <- function(id, data, formula, inline = NULL, weights = NULL) {
  list(id = id, data = data, formula = formula, inline = inline, weights = weights)
}
inl <- function(id, name, formula, weights = NULL) case(id, "inline", formula, name, weights)

cases <- list(
  case("sleepstudy_slope", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  case("sleepstudy_intercept", "sleepstudy", "Reaction ~ Days + (1 | Subject)"),
  case("sleepstudy_slope_only", "sleepstudy", "Reaction ~ Days + (0 + Days | Subject)"),
  case("sleepstudy_doublebar", "sleepstudy", "Reaction ~ Days + (Days || Subject)"),
  case("sleepstudy_uncorrelated", "sleepstudy",
       "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
  inl("sleepstudy_weights", "sleepstudy_weights", "Reaction ~ Days + (Days | Subject)", "w"),
  inl("sleepstudy_offset", "sleepstudy_offset",
      "Reaction ~ Days + offset(o) + (Days | Subject)"),
  case("dyestuff", "dyestuff", "Yield ~ 1 + (1 | Batch)"),
  case("dyestuff2", "dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  case("penicillin", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  case("pastes_nested", "pastes", "strength ~ 1 + (1 | batch/cask)"),
  case("pastes_sample", "pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
  case("cake_recipe", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  case("cake_replicate", "cake",
       "angle ~ recipe + temp + (1 | replicate) + (1 | recipe:replicate)"),
  case("machines_nested", "machines", "score ~ Machine + (1 | Worker/Machine)"),
  case("machines_slopes", "machines", "score ~ Machine + (Machine | Worker)"),
  case("machines_cell_means", "machines", "score ~ Machine + (0 + Machine | Worker)"),
  case("machines_overparametrised", "machines",
       "score ~ Machine + (1 | Worker) + (0 + Machine | Worker)"),
  inl("machines_unbalanced_nested", "machines_unbalanced",
      "score ~ Machine + (1 | Worker/Machine)"),
  inl("machines_unbalanced_slopes", "machines_unbalanced",
      "score ~ Machine + (Machine | Worker)"),
  case("oats", "oats", "yield ~ nitro * Variety + (1 | Block/Variety)"),
  case("hsb_meanses", "hsb", "MathAch ~ MEANSES + (1 | School)"),
  case("hsb_slope", "hsb", "MathAch ~ SES * Sector + MEANSES + (SES | School)"),
  case("hsb_uncorrelated", "hsb",
       "MathAch ~ SES * Sector + MEANSES + (1 | School) + (0 + SES | School)"),
  case("insteval", "insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
  inl("crossed_slopes", "crossed_slopes", "y ~ x + (x | subj) + (x | item)"),
  inl("crossed_slopes_singular", "crossed_slopes_singular",
      "y ~ x + (x | subj) + (x | item)"),
  inl("three_crossed", "three_crossed", "y ~ x + (1 | a) + (x | b) + (1 | c)"),
  inl("nested_three", "nested_three", "y ~ x + (1 | a/b/c)"),
  inl("categorical_slopes", "categorical_slopes", "y ~ f + (f | g)"),
  inl("rank_deficient", "rank_deficient", "y ~ x + x2 + x3 + (1 | g)"),
  inl("rank_deficient_cell", "rank_deficient", "y ~ f * h + x + (1 | g)")
)

# ---- criterion values at given theta ---------------------------------------------------

theta_points <- function(fit) {
  lower <- fit$parts$reTrms$lower
  blocks <- theta_blocks(fit$parts$reTrms$cnms)
  hat <- fit$model@theta
  diagonal <- lower == 0
  k <- length(lower)
  set.seed(1000 + k)
  random <- round(ifelse(diagonal, runif(k, 0.2, 1.5), runif(k, -0.8, 0.8)), 6)
  points <- list(identity = as.numeric(diagonal), random = random)
  if (nrow(fit$model@frame) > 50000) return(points)
  points$half <- 0.5 * hat + 0.3 * diagonal
  if (k == 1) {
    points$zero <- 0
  } else {
    singular <- random
    singular[max(which(diagonal))] <- 0
    points$singular <- singular
  }
  if (any(lengths(fit$parts$reTrms$cnms) > 1)) {
    # a zero in the first diagonal of a template, its column below left as it is
    big <- blocks[[which.max(lengths(fit$parts$reTrms$cnms))]]
    first <- random
    first[big[1, 1]] <- 0
    points$singular_first <- first
  }
  points
}

criterion_values <- function(fit, reml) {
  points <- theta_points(fit)
  unname(Map(function(theta, name) {
    value <- fit$devfun(theta)
    list(point = name, theta = I(theta), value = value,
         dense = if (nrow(fit$model@frame) < 700) dense_criterion(theta, fit, reml))
  }, points, names(points)))
}

run <- function(spec, reml) {
  started <- Sys.time()
  data <- if (is.null(spec$inline)) load_data(spec$data) else inline[[spec$inline]]
  large <- nrow(data) > 50000
  fit <- fit_polished(spec$formula, data, reml, spec$weights, restarts = if (large) 0 else 6)
  m <- fit$model
  values <- criterion_values(fit, reml)
  out <- c(
    list(id = paste0(spec$id, if (reml) "_reml" else "_ml"), data = spec$data,
         inline = spec$inline, formula = spec$formula, reml = reml, weights = spec$weights),
    summaries(m),
    list(fitted = I(unname(fitted(m)[1:10])),
         ranef = if (max(ngrps(m)) <= 400) conditional(m),
         devfun = lapply(values, function(v) v[c("point", "theta", "value")]),
         polish = fit$report)
  )
  check <- list(
    dense = max(c(0, vapply(values, function(v) {
      if (is.null(v$dense)) 0 else abs(v$dense / v$value - 1)
    }, 0))),
    condvar = condvar_gap(m),
    seconds = stamp(started)
  )
  p <- fit$report
  cat(sprintf(
    paste("%-32s crit %.6f  lme4-polished %8.1e  |g| %.1e  step %.1e  fixed %d curv %s",
          " starts %d/%d%s  dense %.0e  condVar %.0e  %.1fs%s\n"),
    out$id, out$criterion, p$lme4_default_criterion - out$criterion, p$gradient_norm,
    p$newton_step, length(p$fixed_at_zero),
    if (is.null(p$fixed_curvature)) "-" else format(p$fixed_curvature, digits = 2),
    p$starts_at_optimum, p$starts, if (p$identified) "" else " NOT IDENTIFIED",
    check$dense, check$condvar, check$seconds,
    if (length(out$dropped_columns)) paste(" dropped:", toString(out$dropped_columns)) else ""))
  out
}

# Largest relative difference of the stored conditional variances from lme4's postVar
# (which has them for one term a factor) and of the whole matrix from the dense formula.
condvar_gap <- function(m) {
  if (max(ngrps(m)) > 400) return(NA)
  ours <- conditional(m)
  theirs <- ranef(m, condVar = TRUE)
  gaps <- vapply(names(ours), function(g) {
    pv <- attr(theirs[[g]], "postVar")
    if (is.list(pv)) return(0)
    mine <- array(unlist(ours[[g]]$condvar), dim(pv))
    max(abs(mine - pv)) / max(abs(pv), 1e-300)
  }, 0)
  if (nobs(m) < 700) {
    V <- as.matrix(lme4:::condVar(m, scaled = TRUE))
    gaps <- c(gaps, max(abs(V - dense_condvar(m))) / max(abs(V), 1e-300))
  }
  max(gaps)
}

results <- list()
for (spec in cases) {
  for (reml in c(TRUE, FALSE)) results[[length(results) + 1]] <- run(spec, reml)
}

write_json(list(
  meta = meta("lmm_fits.R"),
  inline = lapply(inline, columns),
  cases = results
), file.path(here, "lmm_fits.json"))

# ---- published numbers ------------------------------------------------------------------

names(results) <- vapply(results, `[[`, "", "id")
ok <- TRUE
expect <- function(label, value, published, digits) {
  good <- abs(value - published) <= 0.5001 * 10^-digits
  ok <<- ok && good
  cat(sprintf("%-4s %-38s %.*f (published %.*f)\n", if (good) "ok" else "BAD", label,
              digits + 2, value, digits, published))
}
sd_of <- function(id, row) results[[id]]$varcorr$sdcor[row]
crit <- function(id) results[[id]]$criterion
expect("Dyestuff REML", crit("dyestuff_reml"), 319.6543, 4)
expect("Dyestuff SD Batch", sd_of("dyestuff_reml", 1), 42.00, 2)
expect("Dyestuff SD residual", sd_of("dyestuff_reml", 2), 49.51, 2)
expect("Dyestuff ML", crit("dyestuff_ml"), 327.3271, 4)
expect("Dyestuff ML AIC", results$dyestuff_ml$AIC, 333.3271, 4)
expect("Dyestuff ML BIC", results$dyestuff_ml$BIC, 337.5307, 4)
modes <- results$dyestuff_reml$ranef$Batch$values[, 1]
published <- c(-17.60685, 0.39126, 28.56223, -23.08454, 56.73319, -44.99529)
for (i in 1:6) expect(paste("Dyestuff REML mode", i), modes[i], published[i], 5)
expect("Dyestuff2 ML Batch SD", sd_of("dyestuff2_ml", 1), 0, 12)
expect("Dyestuff2 ML deviance", crit("dyestuff2_ml"), 162.8730, 4)
expect("Penicillin REML", crit("penicillin_reml"), 330.8606, 4)
for (i in 1:3) {
  expect(paste("Penicillin SD", i), sd_of("penicillin_reml", i), c(0.8467, 1.9316, 0.5499)[i], 4)
}
expect("Penicillin intercept", results$penicillin_reml$beta[[1]], 22.9722, 4)
expect("Penicillin intercept SE", sqrt(results$penicillin_reml$vcov[1, 1]), 0.8086, 4)
expect("Pastes REML", crit("pastes_sample_reml"), 246.9907, 4)
for (i in 1:3) {
  expect(paste("Pastes SD", i), sd_of("pastes_sample_reml", i), c(2.9041, 1.2874, 0.8234)[i], 4)
}
expect("sleepstudy REML", crit("sleepstudy_slope_reml"), 1743.6, 1)
expect("sleepstudy SD intercept", sd_of("sleepstudy_slope_reml", 1), 24.74, 2)
expect("sleepstudy SD Days", sd_of("sleepstudy_slope_reml", 2), 5.92, 2)
expect("sleepstudy corr", sd_of("sleepstudy_slope_reml", 3), 0.07, 2)
expect("sleepstudy SD residual", sd_of("sleepstudy_slope_reml", 4), 25.59, 2)
# The published numbers come from an unpolished lme4 fit, 1e-8 (relative) off the optimum.
V <- results$hsb_meanses_reml$vcov
default <- as.matrix(vcov(lmer(MathAch ~ MEANSES + (1 | School), load_data("hsb"))))
published <- c(0.0222845612, -0.0002358047, 0.1306518973)
for (i in 1:3) {
  at <- list(c(1, 1), c(1, 2), c(2, 2))[[i]]
  expect(paste("HSB vcov, lme4's default fit,", toString(at)), default[at[1], at[2]], published[i], 10)
  expect(paste("HSB vcov, polished,", toString(at)), V[at[1], at[2]], published[i], 8)
}
cat(if (ok) "all published numbers reproduced" else "SOME PUBLISHED NUMBERS DIFFER", "\n")
cat(sprintf("total %.0f s\n", stamp(begun)))
