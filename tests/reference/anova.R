# Reference values for tests of terms from lmerTest and pbkrtest.
#
#   cd tests/reference && Rscript anova.R      # writes anova.json, 40 seconds
#
# Every case is fitted by lme4 and refitted from there with tight tolerances. "tests"
# has lmerTest's tables of types 1, 2, 3 with Satterthwaite's degrees of freedom, "kr"
# those with Kenward-Roger's for REML fits without weights, which pbkrtest 0.5.2 leaves
# out of account, of at most 400 rows; "contrasts" the matrices of show_tests(), with
# R's names of the coefficients in "columns". lmerTest rounds type 3 contrasts to 7
# digits. Simulated and thinned data are stored under "inline".

local({
  file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
  dir <- if (length(file_arg)) dirname(sub("^--file=", "", file_arg[1])) else "."
  source(file.path(dir, "lmm_common.R"), chdir = TRUE)
})
suppressPackageStartupMessages(library(lmerTest))

ignoring <- function(...) {
  lmerControl(check.conv.singular = "ignore", check.conv.grad = "ignore",
              check.conv.hess = "ignore", check.rankX = "silent.drop.cols", ...)
}
quiet <- ignoring()
tight <- ignoring(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e5))

test_table <- function(model, type, ddf) {
  tab <- suppressMessages(anova(model, type = type, ddf = ddf))
  list(term = I(rownames(tab)), sum_sq = I(tab[["Sum Sq"]]),
       mean_sq = I(tab[["Mean Sq"]]), df = I(tab$NumDF), df_denom = I(tab$DenDF),
       F = I(tab[["F value"]]), p = I(tab[["Pr(>F)"]]))
}

case <- function(name, data, formula, python = formula, weights = NULL,
                 contrasts = NULL, reml = TRUE) {
  force(python)
  frame <- if (data %in% names(stored)) stored[[data]] else load_data(data)
  for (v in names(frame)) {
    if (is.ordered(frame[[v]])) frame[[v]] <- factor(frame[[v]], ordered = FALSE)
    if (is.factor(frame[[v]])) frame[[v]] <- droplevels(frame[[v]])
  }
  frame$wt <- if (is.null(weights)) 1 else frame[[weights]]
  formula <- as.formula(formula, env = environment())
  first <- lme4::lmer(formula, frame, REML = reml, weights = wt,
                      contrasts = contrasts, control = quiet)
  model <- lme4::lmer(formula, frame, REML = reml, weights = wt,
                      contrasts = contrasts, start = getME(first, "theta"),
                      control = tight)
  model <- as_lmerModLmerTest(model)
  types <- c("1", "2", "3")
  tests <- lapply(setNames(types, types), function(t) {
    test_table(model, as.integer(t), "Satterthwaite")
  })
  kr <- if (reml && is.null(weights) && nrow(frame) <= 400) {
    lapply(setNames(types, types), function(t) {
      test_table(model, as.integer(t), "Kenward-Roger")
    })
  }
  shown <- lapply(setNames(types, types), function(t) {
    out <- show_tests(suppressMessages(anova(model, type = as.integer(t))),
                      fractions = FALSE)
    lapply(out, function(L) unname(as.matrix(L)))
  })
  cat(name, nrow(frame), "rows, singular:", isSingular(model), "\n")
  list(
    name = name,
    data = data,
    formula = python, weights = weights, reml = reml,
    sigma = sigma(model), theta = I(unname(getME(model, "theta"))),
    columns = I(names(fixef(model))),
    tests = tests, kr = kr, contrasts = shown
  )
}

# ---- data ------------------------------------------------------------------------

thin <- function(data, share, seed) {
  set.seed(seed)
  data[sort(sample(nrow(data), round(share * nrow(data)))), ]
}

factorial <- function(seed, share, levels, groups, repeats = 1, crossed = FALSE) {
  set.seed(seed)
  grid <- expand.grid(c(
    lapply(levels, function(k) factor(letters[seq_len(k)])),
    list(g = factor(sprintf("g%02d", seq_len(groups))), r = seq_len(repeats))
  ))
  data <- grid[sort(sample(nrow(grid), round(share * nrow(grid)))), ]
  n <- nrow(data)
  data$r <- NULL
  data$x <- round(rnorm(n, 10, 3), 3)
  data$z <- round(runif(n), 3)
  data$w <- round(runif(n, 0.5, 3), 2)
  data$flag <- data$z > 0.6
  data$h <- factor(sprintf("h%d", sample(7, n, replace = TRUE)))
  effect <- rnorm(groups)[data$g] + 0.6 * rnorm(7)[data$h]
  slope <- 0.2 * rnorm(groups)[data$g]
  mean <- as.integer(data$A) * 0.4 + as.integer(data$B) * 0.3 + 0.1 * data$x
  data$y <- round(mean + effect + slope * data$x + rnorm(n) / sqrt(data$w), 3)
  rownames(data) <- NULL
  data
}

two <- factorial(1, 0.6, list(A = 2, B = 3), 12, 2)
three <- factorial(2, 0.55, list(A = 2, B = 3, D = 2), 10, 2)
nine <- factorial(3, 0.5, list(A = 3, B = 3), 9, 3)
holes <- subset(factorial(4, 0.6, list(A = 3, B = 4), 8, 2),
                !(A == "b" & B == "b") & !(A == "a" & B == "c"))
holes3 <- subset(factorial(5, 0.6, list(A = 2, B = 3, D = 3), 8, 2),
                 !(A == "b" & B == "c" & D == "a") & !(B == "b" & D == "c"))
cake_thin <- thin(load_data("cake"), 0.7, 11)
oats_thin <- thin(load_data("oats"), 0.7, 12)
machines_thin <- thin(load_data("machines"), 0.7, 13)
lectures <- local({
  all <- load_data("insteval")
  set.seed(14)
  all <- subset(all, dept %in% c("15", "5", "10", "12") &
                  d %in% sample(levels(all$d), 150))
  all <- droplevels(all[sort(sample(nrow(all), 300)), ])
  for (v in c("service", "dept", "s", "d")) all[[v]] <- factor(as.character(all[[v]]))
  all[c("y", "service", "dept", "s", "d")]
})

sum2 <- list(A = "contr.sum", B = "contr.sum")
helmert2 <- list(A = "contr.helmert", B = "contr.helmert")

stored <- list(two_way = two, three_way = three, nine = nine, holes = holes,
               holes_three = holes3, cake_thin = cake_thin, oats_thin = oats_thin,
               machines_thin = machines_thin, lectures = lectures)
cases <- list(
  case("cake_temp", "cake", "angle ~ recipe * temp + (1 | recipe:replicate)"),
  case("cake", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  case("cake_thin", "cake_thin", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  case("cake_thin_temp", "cake_thin", "angle ~ recipe * temp + (1 | recipe:replicate)"),
  case("machines", "machines", "score ~ Machine + (1 | Worker/Machine)"),
  case("machines_slopes", "machines", "score ~ Machine + (Machine | Worker)"),
  case("machines_thin", "machines_thin", "score ~ Machine + (1 | Worker/Machine)"),
  case("oats", "oats", "yield ~ nitro * Variety + (1 | Block/Variety)"),
  case("oats_thin", "oats_thin", "yield ~ nitro * Variety + (1 | Block/Variety)"),
  case("sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  case("two_way", "two_way", "y ~ A * B + x + A:x + (1 | g)"),
  case("two_way_slopes", "two_way", "y ~ A * x + B + (x | g)"),
  case("two_way_ml", "two_way", "y ~ A * B + x + (1 | g)", reml = FALSE),
  case("two_way_late", "two_way", "y ~ x + z + B + A + x:B + (1 | g)"),
  case("three_way", "three_way", "y ~ A * B * D + x + (1 | g)"),
  case("three_way_partial", "three_way", "y ~ A * B * x + D + (1 | g) + (1 | h)"),
  case("three_way_weighted", "three_way", "y ~ A * B + B * D + z + (1 | g)", weights = "w"),
  case("nine_cells", "nine", "y ~ A * B + (1 | g)"),
  case("nine_one_way", "nine", "y ~ B + (1 | g)"),
  case("nine_additive", "nine", "y ~ B + A + x + (1 | g)"),
  case("nine_slopes", "nine", "y ~ A * x * B + (x | g)"),
  case("nine_sum", "nine", "y ~ A * B + A:x + x + (1 | g)",
       "y ~ C(A, Sum) * C(B, Sum) + C(A, Sum):x + x + (1 | g)", contrasts = sum2),
  case("nine_helmert", "nine", "y ~ A * B + (1 | g)",
       "y ~ C(A, Helmert) * C(B, Helmert) + (1 | g)", contrasts = helmert2),
  case("nine_mixed", "nine", "y ~ A * B + x + (1 | g)", "y ~ A * C(B, Sum) + x + (1 | g)",
       contrasts = list(B = "contr.sum")),
  case("nine_cell_means", "nine", "y ~ 0 + A + B + x + (1 | g)"),
  case("nine_poly", "nine", "y ~ A * poly(x, 2) + (1 | g)"),
  case("nine_square", "nine", "y ~ A * x + I(x^2) + (1 | g)",
       "y ~ A * x + I(x**2) + (1 | g)"),
  case("nine_boolean", "nine", "y ~ flag * A + x + (1 | g)"),
  case("crossed", "nine", "y ~ A * B + x + (1 | g) + (1 | h)"),
  case("crossed_weighted", "nine", "y ~ A * x + B + (1 | g) + (1 | h)", weights = "w"),
  case("numeric", "nine", "y ~ x * z + (1 | g)"),
  case("numeric_weighted", "nine", "y ~ x + z + (z | g)", weights = "w"),
  case("holes", "holes", "y ~ A * B + (1 | g)"),
  case("holes_covariate", "holes", "y ~ A * B + x + A:x + (1 | g) + (1 | h)"),
  case("holes_three", "holes_three", "y ~ A * B * D + (1 | g)"),
  case("lectures", "lectures", "y ~ service * dept + (1 | s) + (1 | d)")
)

inline <- lapply(stored, function(d) {
  for (v in names(d)) if (is.factor(d[[v]])) d[[v]] <- as.character(d[[v]])
  d
})
info <- meta("anova.R")
more <- c("lmerTest", "pbkrtest")
info$packages <- c(info$packages, vapply(more, function(p) as.character(packageVersion(p)), ""))
write_json(list(meta = info, inline = inline, cases = cases), file.path(this_dir(), "anova.json"))
