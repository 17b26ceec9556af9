# Bootstrap distributions of R: Rscript bootstrap.R (some minutes). lme4's bootMer with
# use.u = FALSE and TRUE, and the residual bootstrap with reflated modes of Lai (2021),
# written from the paper: modes and residuals are brought to the covariance that the
# model gives random effects and errors, level by level, drawn with replacement within
# each factor, and the model is fitted again. lme4 1.1-31's refit() is wrong by REML,
# so every refit is a new lmer call. Also the intervals of R's boot.ci on fixed
# replicates, and single pieces of the algebra to full precision.

script <- "bootstrap.R"
this_file <- grep("^--file=", commandArgs(FALSE), value = TRUE)
here <- if (length(this_file)) dirname(sub("^--file=", "", this_file[1])) else "."
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(boot))

NSIM <- 400

hsb_sample <- function() {
  d <- load_hsb()
  keep <- c(2030, 2990, 3999, 4325, 4931, 5761, 5838, 7101, 8150, 8188, 8193, 8800,
            9104, 9158, 9198, 9508)
  d <- d[as.character(d$School) %in% keep, ]
  d$School <- factor(as.character(d$School))
  d$catholic <- as.numeric(d$Sector == "Catholic")
  d$ses_cmc <- d$SES - ave(d$SES, d$School)
  d
}

MODELS <- list(
  sleepstudy = list(data = load_data("sleepstudy"), formula = "Reaction ~ Days + (Days | Subject)"),
  penicillin = list(data = load_data("penicillin"), formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  hsb_sample = list(data = hsb_sample(),
                    formula = "MathAch ~ MEANSES + catholic * ses_cmc + (ses_cmc | School)")
)

fit <- function(formula, data) {
  suppressMessages(suppressWarnings(lmer(as.formula(formula), data, control = lmerControl(
    calc.derivs = FALSE, optCtrl = list(xtol_abs = 1e-8, ftol_abs = 1e-8, maxeval = 2000)))))
}

statistics <- function(m) {
  vc <- as.data.frame(VarCorr(m))
  out <- c(fixef(m), vc$sdcor)
  names(out)[seq_along(vc$sdcor) + length(fixef(m))] <- paste(vc$grp, vc$var1, vc$var2)
  out
}

inverse_root <- function(V) {
  e <- eigen(V, symmetric = TRUE)
  use <- e$values > 1e-8 * max(e$values, 1e-8)
  if (all(use)) return(solve(t(chol(V))))
  Q <- e$vectors[, use, drop = FALSE]
  Q %*% (t(Q) / sqrt(e$values[use]))
}

# Modes of every level with the covariance of random effects, residuals over sqrt(1 - h)
reflated <- function(m) {
  X <- getME(m, "X"); Z <- as.matrix(getME(m, "Z")); L <- as.matrix(getME(m, "Lambda"))
  n <- nrow(X)
  V <- diag(n) + Z %*% L %*% t(L) %*% t(Z)
  Vi <- solve(V)
  P <- Vi - Vi %*% X %*% solve(t(X) %*% Vi %*% X, t(X) %*% Vi)
  Vu <- t(L) %*% t(Z) %*% P %*% Z %*% L
  u <- getME(m, "u")
  e <- residuals(m) / sqrt(diag(P))
  b <- numeric(length(u))
  q <- lengths(m@cnms); levels <- diff(m@Gp) / q
  for (k in seq_along(q)) for (l in seq_len(levels[k])) {
    at <- m@Gp[k] + (l - 1) * q[k] + seq_len(q[k])
    b[at] <- L[at, at] %*% inverse_root(Vu[at, at, drop = FALSE]) %*% u[at]
  }
  list(b = b, e = e, leverage = 1 - diag(P), variances = Vu)
}

residual_response <- function(m, parts) {
  q <- lengths(m@cnms); levels <- diff(m@Gp) / q
  b <- unlist(lapply(seq_along(q), function(k) {
    own <- matrix(parts$b[m@Gp[k] + seq_len(levels[k] * q[k])], q[k])
    own[, sample.int(levels[k], replace = TRUE)]
  }))
  drop(getME(m, "X") %*% fixef(m)) + drop(as.matrix(getME(m, "Z")) %*% b) +
    sample(parts$e, replace = TRUE)
}

summarise <- function(t, t0) {
  list(names = I(names(t0)), estimate = I(unname(t0)), nsim = nrow(t),
       mean = I(unname(colMeans(t, na.rm = TRUE))), sd = I(unname(apply(t, 2, sd, na.rm = TRUE))),
       lower = I(unname(apply(t, 2, quantile, 0.025, na.rm = TRUE))),
       upper = I(unname(apply(t, 2, quantile, 0.975, na.rm = TRUE))),
       defined = I(unname(colSums(is.finite(t)))))
}

replicates <- function(name, draw, data, formula, m) {
  response <- all.vars(as.formula(formula))[1]
  t(replicate(NSIM, {
    data[[response]] <- draw()
    statistics(fit(formula, data))
  }))
}

distributions <- lapply(names(MODELS), function(name) {
  set.seed(1)
  formula <- MODELS[[name]]$formula; data <- MODELS[[name]]$data
  best <- fit_polished(formula, data, TRUE)$model
  parts <- reflated(best)
  t0 <- statistics(best)
  run <- function(draw) summarise(replicates(name, draw, data, formula, best), t0)
  out <- list(
    model = name, formula = formula,
    parametric = run(function() simulate(best)[[1]]),
    conditional = run(function() simulate(best, re.form = NULL)[[1]]),
    residual = run(function() residual_response(best, parts)),
    reflated = I(parts$b), residuals = I(unname(parts$e)),
    leverage = I(unname(parts$leverage))
  )
  cat(name, "\n")
  out
})

set.seed(3)
t <- round(rexp(499) + 0.2 * rnorm(499), 6)
se <- round(0.5 + rexp(499) / 4, 6)
t0 <- 0.9
influence <- round(rexp(12) - 1, 6)
b <- boot(1:2, function(d, i) c(0, 0), R = 499)
b$t <- cbind(t, se^2); b$t0 <- c(t0, 0.6^2); b$R <- 499
intervals <- lapply(c(0.9, 0.95, 0.99), function(level) {
  found <- suppressWarnings(boot.ci(b, conf = level, type = "all", L = influence, index = 1:2))
  ends <- lapply(found[c("normal", "basic", "student", "percent", "bca")],
                 function(x) I(unname(tail(x[1, ], 2))))
  c(list(level = level), ends)
})

write_json(list(
  meta = meta(script),
  distributions = distributions,
  boot_ci = list(t = I(t), se = I(se), t0 = t0, se0 = 0.6, influence = I(influence)),
  intervals = intervals
), file.path(here, "bootstrap.json"))
