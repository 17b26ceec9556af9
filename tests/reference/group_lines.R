# Conditional modes with their standard deviations, coefficients with partial pooling,
# and regressions of each group's own. Usage: Rscript group_lines.R
# Writes group_lines.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))

# Modes and conditional standard deviations of all factors, in a long table.
long_modes <- function(m) {
  d <- as.data.frame(ranef(m, condVar = TRUE))
  d$grp <- as.character(d$grp)
  d$term <- as.character(d$term)
  d
}

matrix_of <- function(frame) unname(as.matrix(frame))

sleepstudy <- load_data("sleepstudy")
sleepstudy$w <- 0.5 + (seq_len(nrow(sleepstudy)) %% 5) / 4
slopes <- fit_polished("Reaction ~ Days + (Days | Subject)", sleepstudy, TRUE)$model
weighted <- fit_polished(
  "Reaction ~ Days + (Days | Subject)", sleepstudy, TRUE, weights = "w"
)$model
own <- function(d, weights = NULL) {
  t(vapply(split(d, d$Subject), function(s) {
    coef(lm(Reaction ~ Days, s, weights = if (is.null(weights)) NULL else s[[weights]]))
  }, numeric(2)))
}
list_of <- coef(lmList(Reaction ~ Days | Subject, sleepstudy))
stopifnot(max(abs(as.matrix(list_of) - own(sleepstudy))) < 1e-8)

machines <- load_data("machines")
crossing <- fit_polished("score ~ Machine + (0 + Machine | Worker)", machines, TRUE)$model
pastes <- fit_polished(
  "strength ~ 1 + (1 | batch) + (1 | cask:batch)", load_data("pastes"), TRUE
)$model

# A covariate beside the one drawn, unbalanced groups, and a group of two rows.
set.seed(81)
sizes <- c(2, 5, 9, 4, 7, 6, 12)
sim <- data.frame(g = rep(letters[seq_along(sizes)], sizes))
sim$x <- round(runif(nrow(sim), 0, 10), 2)
sim$z <- round(rnorm(nrow(sim)), 2)
b <- round(rnorm(length(sizes), 0, 3), 3)
sim$y <- round(2 + 0.7 * sim$x - 1.5 * sim$z + rep(b, sizes) + rnorm(nrow(sim)), 3)
intercepts <- fit_polished("y ~ x + z + (1 | g)", sim, TRUE)$model
beta <- fixef(intercepts)
lines_of <- function(s) {
  s$left <- s$y - beta[["z"]] * s$z
  at <- data.frame(x = range(s$x))
  z <- mean(s$z)
  mode <- ranef(intercepts)$g[s$g[1], 1]
  population <- beta[[1]] + beta[["x"]] * at$x + beta[["z"]] * z
  list(
    x = at$x,
    own = unname(predict(lm(left ~ x, s), at)) + beta[["z"]] * z,
    partial = population + mode,
    population = population
  )
}

write_json(list(
  meta = meta("group_lines.R"),
  sleepstudy = list(
    modes = long_modes(slopes),
    partial = matrix_of(coef(slopes)$Subject),
    none = unname(own(sleepstudy))
  ),
  sleepstudy_weights = list(
    modes = long_modes(weighted),
    partial = matrix_of(coef(weighted)$Subject),
    none = unname(own(sleepstudy, "w"))
  ),
  machines = list(modes = long_modes(crossing)),
  pastes = list(modes = long_modes(pastes)),
  simulated = list(data = sim, lines = lapply(split(sim, sim$g), lines_of))
), file.path(here, "group_lines.json"))
