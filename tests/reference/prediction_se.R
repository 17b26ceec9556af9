# Standard errors of predictions from Henderson's mixed-model equations.
# Usage: Rscript prediction_se.R. Writes prediction_se.json beside this file.
# lme4 1.1-31 has no se.fit; the equations are solved here with Matrix, at the polished
# estimates, for rows of known levels, of new ones, and of both.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
begun <- Sys.time()

set.seed(41)
simulated <- data.frame(
  g = sprintf("g%02d", rep(1:10, each = 6)), h = rep(c("p", "q", "r", "s", "t", "u"), 10),
  x = round(rnorm(60), 3), w = round(runif(60, 0.5, 3), 2)
)
simulated$y <- round(1 + simulated$x + rnorm(10)[rep(1:10, each = 6)] +
  0.7 * simulated$x * rnorm(10)[rep(1:10, each = 6)] + rnorm(6)[rep(1:6, 10)] +
  rnorm(60) / sqrt(simulated$w), 3)

cases <- list(
  sleepstudy = list(
    formula = "Reaction ~ Days + (Days | Subject)", data = load_data("sleepstudy"),
    new = data.frame(Days = c(0, 4.5, 12, 3, 7), Subject = c("308", "335", "372", "new", "309"))
  ),
  penicillin = list(
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)", data = load_data("penicillin"),
    new = data.frame(plate = c("a", "b", "x", "zz", "zz"), sample = c("A", "F", "QQ", "C", "QQ"))
  ),
  pastes = list(
    formula = "strength ~ 1 + (1 | batch/cask)", data = load_data("pastes"),
    new = data.frame(batch = c("A", "B", "A", "Z", "J"), cask = c("a", "c", "d", "a", "b"))
  ),
  simulated = list(
    formula = "y ~ x + (x | g) + (1 | h)", data = simulated, weights = "w",
    new = data.frame(g = c("g01", "g10", "new", "g03", "new"), h = c("p", "u", "q", "new", "new"),
                     x = c(-1, 0.5, 2, 0, 1))
  )
)

# The joint covariance of (beta_hat, b_hat - b) is sigma^2 times the inverse of
# [X'WX X'WZ L; L'Z'WX L'Z'WZ L + I], with b = L u.
prediction_errors <- function(m, new, forms) {
  X <- getME(m, "X"); Z <- getME(m, "Z"); L <- t(getME(m, "Lambdat")); w <- weights(m)
  A <- cbind(X, as.matrix(Z %*% L))
  M <- crossprod(A, w * A)
  at <- ncol(X) + seq_len(ncol(L))
  diag(M)[at] <- diag(M)[at] + 1
  inverse <- sigma(m)^2 * solve(M)
  Xnew <- model.matrix(delete.response(terms(m)), new)
  Sigma <- VarCorr(m)
  lapply(forms, function(form) {
    chosen <- if (is.null(form)) names(m@cnms) else if (is.na(form)) character() else form
    variance <- vapply(seq_len(nrow(new)), function(i) {
      z <- numeric(ncol(L)); added <- 0
      for (k in seq_along(m@cnms)) {
        name <- names(m@cnms)[k]
        if (!name %in% chosen) next
        columns <- m@cnms[[k]]
        value <- vapply(columns, function(c) if (c == "(Intercept)") 1 else new[[c]][i], 0)
        label <- paste(vapply(strsplit(name, ":")[[1]], function(f) new[[f]][i], ""), collapse = ":")
        level <- match(label, levels(getME(m, "flist")[[name]]))
        if (is.na(level)) added <- added + drop(value %*% Sigma[[name]] %*% value)
        else z[m@Gp[k] + (level - 1) * length(columns) + seq_along(columns)] <- value
      }
      target <- c(Xnew[i, ], as.vector(crossprod(L, z)))
      drop(target %*% inverse %*% target) + added
    }, 0)
    formula <- if (is.null(form)) NULL else if (is.na(form)) NA else
      as.formula(paste("~", paste(sprintf("(%s | %s)", ifelse(form == "g", "x", "1"), form), collapse = "+")))
    list(mean = I(unname(predict(m, new, re.form = formula, allow.new.levels = TRUE))),
         se = I(sqrt(variance)))
  })
}

partial <- list(penicillin = "sample", pastes = "batch", simulated = "g")
out <- lapply(names(cases), function(name) {
  case <- cases[[name]]
  fit <- fit_polished(case$formula, case$data, TRUE, weights = case$weights)
  m <- fit$model
  forms <- list(conditional = NULL, fixed = NA)
  if (!is.null(partial[[name]])) forms$partial <- partial[[name]]
  list(id = name, formula = case$formula, weights = case$weights,
       data = if (name == "simulated") case$data, new = case$new, theta = I(m@theta),
       sigma = sigma(m), partial = partial[[name]],
       predictions = prediction_errors(m, case$new, forms))
})
write_json(list(meta = meta("prediction_se.R"), cases = out), file.path(here, "prediction_se.json"))
cat("seconds:", stamp(begun), "\n")
