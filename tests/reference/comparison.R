# Model comparisons for tests/inference: lme4's anova and drop1, lmerTest's ranova,
# drop1 and step, quantiles of RLRsim's distributions. Usage: Rscript comparison.R
# Writes comparison.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages({
  library(lmerTest)
  library(pbkrtest)
  library(RLRsim)
})

tight <- lmerControl(
  optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 10000),
  calc.derivs = FALSE, check.conv.singular = "ignore"
)

# ---- data --------------------------------------------------------------------------

sleepstudy_extra <- function() {
  d <- load_data("sleepstudy")
  set.seed(11)
  d$w <- 0.5 + (seq_len(nrow(d)) %% 5) / 4
  d$o <- 0.5 * d$Days^2
  d$x <- round(rnorm(nrow(d)), 3)
  d$f <- factor(rep(c("u", "v"), 90))
  d
}

# consumers taste products: crossed factors, unbalanced, a covariate of each
tasting <- function() {
  set.seed(12)
  d <- expand.grid(product = factor(sprintf("p%02d", 1:12)), consumer = factor(sprintf("c%02d", 1:20)))
  d <- droplevels(d[sort(sample(nrow(d), 200)), ])
  sens <- round(rnorm(12), 2)
  d$sens <- sens[d$product]
  d$size <- factor(c("one", "two", "more"))[(as.integer(d$consumer) %% 3) + 1]
  d$age <- round(runif(20, 20, 60))[d$consumer]
  slope <- 0.2 * rnorm(20)
  d$liking <- round(5 + 0.3 * d$sens + slope[d$consumer] * d$sens + 0.7 * rnorm(20)[d$consumer] +
                      0.3 * rnorm(12)[d$product] + rnorm(nrow(d)), 3)
  d
}

# nothing but Days matters: every random term goes
flat <- function() {
  set.seed(13)
  d <- load_data("sleepstudy")[c("Days", "Subject")]
  d$g <- factor(sample(letters[1:9], 180, TRUE))
  d$f <- factor(sample(letters[1:3], 180, TRUE))
  d$x <- round(rnorm(180), 2)
  d$w <- round(runif(180, 0.5, 2), 2)
  d$o <- round(rnorm(180), 2)
  d$y <- round(250 + 5 * d$Days + 30 * rnorm(180), 2)
  d
}

inline <- list(sleepstudy_extra = sleepstudy_extra(), tasting = tasting(), flat = flat())
get_data <- function(name) if (name %in% names(inline)) inline[[name]] else {
  d <- load_data(name)
  for (v in names(d)) if (is.ordered(d[[v]])) d[[v]] <- factor(as.character(d[[v]]), ordered = FALSE)
  d
}

fit <- function(case, formula = case$formula, reml = TRUE) {
  d <- get_data(case$data)
  # weights and offset as columns of the data, so that update() finds them
  d$.w <- if (is.null(case$weights)) 1 else d[[case$weights]]
  d$.o <- if (is.null(case$offset)) 0 else d[[case$offset]]
  assign("dd", d, envir = globalenv())
  m <- eval(substitute(
    lmerTest::lmer(F, data = dd, REML = R, weights = .w, offset = .o, control = tight),
    list(F = as.formula(formula), R = reml)))
  m
}

table_of <- function(x) {
  x <- as.data.frame(x)
  c(list(rows = I(rownames(x))), lapply(as.list(x), function(v) I(as.numeric(v))))
}

# ---- ranova --------------------------------------------------------------------------

ranova_cases <- list(
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days || Subject)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)", reml = FALSE),
  list(data = "pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  list(data = "penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list(data = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  list(data = "machines", formula = "score ~ Machine + (Machine | Worker)"),
  list(data = "machines", formula = "score ~ 1 + (0 + Machine | Worker)"),
  list(data = "machines", formula = "score ~ Machine + (1 | Worker/Machine)"),
  list(data = "oats", formula = "yield ~ Variety * nitro + (1 | Block/Variety)"),
  list(data = "dyestuff2", formula = "Yield ~ 1 + (1 | Batch)"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + (Days | Subject)", weights = "w"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + (1 | Subject)", weights = "w", offset = "o"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + (Days | Subject)", offset = "o"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + (0 + Days | Subject)"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + (0 + f | Subject)"),
  list(data = "tasting", formula = "liking ~ sens * size + (sens | consumer) + (1 | product)"),
  list(data = "tasting", formula = "liking ~ sens * size + age + (sens || consumer) + (1 | product)")
)

both <- function(case) {
  m <- fit(case, reml = !identical(case$reml, FALSE))
  cat(case$data, case$formula, "\n")
  case$reduced <- table_of(ranova(m))
  case$whole <- table_of(ranova(m, reduce.terms = FALSE))
  case
}

# ---- drop1 ---------------------------------------------------------------------------

drop1_cases <- list(
  list(data = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  list(data = "cake", formula = "angle ~ recipe + temp + (1 | recipe:replicate)"),
  list(data = "oats", formula = "yield ~ Variety + nitro + (1 | Block/Variety)"),
  list(data = "machines", formula = "score ~ Machine + (1 | Worker/Machine)"),
  list(data = "tasting", formula = "liking ~ sens * size + age + (1 | consumer) + (1 | product)"),
  list(data = "sleepstudy_extra", formula = "Reaction ~ Days + x + f + (Days | Subject)", weights = "w", offset = "o")
)

drops <- function(case) {
  m <- fit(case)
  cat(case$data, case$formula, "\n")
  ml <- fit(case, reml = FALSE)
  case$Chisq <- table_of(lme4:::drop1.merMod(as(ml, "lmerMod"), test = "Chisq"))
  case$F <- table_of(drop1(m))
  if (is.null(case$weights)) case$KR <- table_of(drop1(m, ddf = "Kenward-Roger"))
  case
}

# ---- step ----------------------------------------------------------------------------

step_cases <- list(
  list(data = "cake", formula = "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list(data = "oats", formula = "yield ~ Variety * nitro + (1 | Block/Variety)"),
  list(data = "oats", formula = "yield ~ Variety * nitro + (1 | Block/Variety)", keep = "Variety"),
  list(data = "pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  list(data = "tasting", formula = "liking ~ sens * size + age + (sens | consumer) + (1 | product)"),
  list(data = "flat", formula = "y ~ Days * f + x + (x | g) + (1 | Subject)", weights = "w", offset = "o")
)

steps <- function(case) {
  m <- fit(case)
  cat(case$data, case$formula, "\n")
  s <- if (is.null(case$keep)) step(m) else step(m, keep = case$keep)
  found <- get_model(s)
  case$random <- table_of(s$random)
  fixed <- as.data.frame(s$fixed)
  if (inherits(found, "lm")) names(fixed)[names(fixed) == "Df"] <- "NumDF"
  case$fixed <- table_of(fixed[c("Eliminated", "NumDF", "F value", "Pr(>F)")])
  case$linear <- !inherits(found, "merMod")
  case$coefficients <- if (case$linear) coef(found) else fixef(found)
  case
}

# ---- anova ---------------------------------------------------------------------------

anova_cases <- list(
  list(data = "sleepstudy", formulas = c("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)",
                                         "Reaction ~ 1 + (1 | Subject)"), linear = "Reaction ~ Days"),
  list(data = "pastes", formulas = c("strength ~ 1 + (1 | batch/cask)", "strength ~ 1 + (1 | batch:cask)"),
       linear = "strength ~ 1"),
  list(data = "cake", formulas = c("angle ~ recipe * temperature + (1 | recipe:replicate)",
                                   "angle ~ recipe + temperature + (1 | recipe:replicate)",
                                   "angle ~ temp + (1 | recipe:replicate)"), linear = "angle ~ temp"),
  list(data = "machines", formulas = c("score ~ Machine + (1 | Worker)", "score ~ Machine + (Machine | Worker)"),
       linear = "score ~ 1"),
  list(data = "tasting", formulas = c("liking ~ sens + (1 | consumer)", "liking ~ sens + (sens | consumer)",
                                      "liking ~ sens * size + (sens | consumer) + (1 | product)"),
       linear = "liking ~ 1"),
  list(data = "sleepstudy_extra", formulas = c("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"),
       linear = "Reaction ~ Days", weights = "w", offset = "o")
)

comparisons <- function(case) {
  cat(case$data, case$formulas, sep = "\n  ")
  fits <- lapply(case$formulas, function(f) as(fit(case, f, FALSE), "lmerMod"))
  linear <- eval(substitute(lm(F, data = dd, weights = .w, offset = .o),
                            list(F = as.formula(case$linear))))
  names(fits) <- paste0("m", seq_along(fits))
  a <- do.call(anova, c(unname(fits), list(linear), list(model.names = c(names(fits), "linear"))))
  case$table <- table_of(a)
  case$formulas <- I(case$formulas)
  case
}

# ---- exact tests ---------------------------------------------------------------------

probabilities <- c(0.5, 0.75, 0.9, 0.95, 0.99)
exact_cases <- list(
  list(data = "dyestuff", formula = "Yield ~ 1 + (1 | Batch)", q = 0),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)", q = 1),
  list(data = "cake", formula = "angle ~ recipe + temp + (1 | recipe:replicate)", q = 3),
  list(data = "tasting", formula = "liking ~ sens + (0 + sens | consumer)", q = 0)
)

exact <- function(case) {
  m <- fit(case)
  X <- getME(m, "X")
  Z <- as.matrix(getME(m, "Z"))
  set.seed(14)
  n <- 200000
  case$rlrt <- as.list(tail_of(RLRTSim(X, Z, qr(X), diag(ncol(Z)), nsim = n)))
  case$lrt <- as.list(tail_of(LRTSim(X, Z, case$q, diag(ncol(Z)), nsim = n)))
  case
}
tail_of <- function(s) c(quantile(s, probabilities, names = FALSE))

set.seed(15)
reference <- c(round(rchisq(60, 1), 4), rep(0, 20), -1e-9)
pb <- lapply(c(0.5, 2.5, 9), function(observed) {
  list(observed = observed, p = pbkrtest:::.finalizePB(c(tobs = observed, df = 1), reference)$test["PBtest", "p.value"])
})

out <- list(
  meta = meta("comparison.R"),
  data = lapply(inline, as.list),
  probabilities = I(probabilities),
  ranova = lapply(ranova_cases, both),
  drop1 = lapply(drop1_cases, drops),
  step = lapply(step_cases, steps),
  anova = lapply(anova_cases, comparisons),
  exact = lapply(exact_cases, exact),
  pb_reference = I(reference),
  pb = pb
)
write_json(out, file.path(here, "comparison.json"))
