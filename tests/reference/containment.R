# nlme's degrees of freedom of fixed effects. Usage: Rscript containment.R.
# Writes containment.json beside this file.
#
# They are functions of X and the grouping factors alone (lme()'s fixDF), so the
# optimum does not matter.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(nlme))

nested <- function() {
  set.seed(601)
  rows <- list()
  for (a in 1:6) for (b in seq_len(sample(2:4, 1))) {
    rows[[length(rows) + 1]] <- data.frame(a = a, b = b, k = seq_len(sample(2:4, 1)))
  }
  d <- do.call(rbind, rows)[1:2]
  ab <- interaction(d$a, d$b, drop = TRUE)
  d$za <- round(rnorm(6), 3)[d$a]
  d$zb <- round(rnorm(nlevels(ab)), 3)[ab]
  d$x <- round(rnorm(nrow(d)), 3)
  d$f <- factor(sample(c("p", "q", "r"), nrow(d), TRUE))
  d$y <- round(1 + d$x + rnorm(6)[d$a] + rnorm(nlevels(ab))[ab] + rnorm(nrow(d)), 4)
  for (v in c("a", "b")) d[[v]] <- factor(sprintf("%s%d", v, d[[v]]))
  d
}

hsb <- function() {
  d <- load_hsb()
  data.frame(MathAch = d$MathAch, SES = d$SES, MEANSES = d$MEANSES,
             sector = as.numeric(d$Sector == "Catholic"), School = as.character(d$School))
}

inline <- list(nested = nested())
data_of <- function(name) {
  switch(name, nested = inline$nested, hsb = hsb(), load_data(name))
}

# data, fixed part, nesting of the grouping factors, the same as lme4 writes it
cases <- list(
  list("oats", "yield ~ Variety + nitro", "Block/Variety"),
  list("oats", "yield ~ Variety * nitro", "Block/Variety"),
  list("machines", "score ~ Machine", "Worker"),
  list("machines", "score ~ Machine", "Worker/Machine"),
  list("machines", "score ~ 0 + Machine", "Worker/Machine"),
  list("pastes", "strength ~ 1", "batch/cask"),
  list("dyestuff", "Yield ~ 1", "Batch"),
  list("sleepstudy", "Reaction ~ Days", "Subject"),
  list("sleepstudy", "Reaction ~ 0 + Days", "Subject"),
  list("nested", "y ~ x", "a/b"),
  list("nested", "y ~ x + za", "a/b"),
  list("nested", "y ~ f + x + za + zb", "a/b"),
  list("nested", "y ~ za * x + zb:x", "a/b"),
  list("nested", "y ~ 0 + x + za + zb", "a/b"),
  list("nested", "y ~ za + x", "a"),
  list("hsb", "MathAch ~ SES + sector + MEANSES", "School"),
  list("hsb", "MathAch ~ MEANSES + SES * sector", "School")
)

# lme() is asked for the degrees of freedom only; a fit that has not converged will do
control <- lmeControl(returnObject = TRUE, opt = "optim")

run <- function(case) {
  random <- as.formula(paste("~ 1 |", case[[3]]))
  fit <- suppressWarnings(
    lme(as.formula(case[[2]]), data_of(case[[1]]), random, control = control)
  )
  list(data = case[[1]], formula = sprintf("%s + (1 | %s)", case[[2]], case[[3]]),
       df = I(unname(fit$fixDF$X)), terms = as.list(fit$fixDF$terms))
}

write_json(
  list(meta = meta("containment.R"), inline = inline, cases = lapply(cases, run)),
  file.path(here, "containment.json")
)
