# Ends of profile likelihood intervals by root finding on tightly minimised deviances,
# and lme4's confint(method = "profile"). Usage: Rscript profile.R. Writes profile.json.
#
# lme4 interpolates its profile by a spline, so its ends are good to about 1e-4; here
# every end is a uniroot() on the deviance, minimised anew at each trial value. It comes
# from lme4's devfun: log|L|^2 + (wrss + |u|^2) / sigma^2 + df log(2 pi sigma^2), with
# log|RX|^2 and df = n - p for REML. A standard deviation or correlation is held by
# taking its columns first in the Cholesky factor of the term's covariance. Data other
# than lme4's own are under `inline` of kr.json.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))

inline <- jsonlite::fromJSON(file.path(here, "kr.json"))$inline
data_of <- function(name) {
  if (is.null(inline[[name]])) return(load_data(name))
  as.data.frame(lapply(inline[[name]], function(v) if (is.character(v)) factor(v) else v))
}

cases <- list(
  list("dyestuff", "Yield ~ 1 + (1 | Batch)"),
  list("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  list("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list("pastes", "strength ~ 1 + (1 | batch/cask)"),
  list("sleepstudy", "Reaction ~ Days + (Days | Subject)", level = c(0.95, 0.99)),
  list("sleepstudy", "Reaction ~ Days + (Days | Subject)", reml = TRUE),
  list("sleepstudy_unbalanced", "Reaction ~ Days + (Days || Subject)"),
  list("cake", "angle ~ recipe + temp + (1 | recipe:replicate)"),
  list("machines", "score ~ Machine + (Machine | Worker)"),
  list("crossed", "y ~ f + x + (x | a) + (x | b)"),
  list("weighted", "y ~ x + z + (x | g)", weights = "w"),
  list("hsb16", "mathach ~ meanses + sector * ses_cmc + (ses_cmc | id)")
)

# ---- the deviance of (theta, sigma) ----------------------------------------------------

parts_of <- function(formula, data, weights, reml) {
  args <- list(formula = as.formula(formula), data = data, REML = reml)
  if (!is.null(weights)) args$weights <- data[[weights]]
  do.call(lFormula, args)
}

# Minus twice the log-likelihood, sigma profiled out where it is NULL. A devfun that
# has failed once keeps failing, so that it is made anew then.
deviance_of <- function(parts) {
  reml <- parts$REML != 0
  fresh <- function() do.call(mkLmerDevfun, parts[c("fr", "X", "reTrms", "REML")])
  f <- fresh()
  df <- nrow(parts$X) - if (reml) ncol(parts$X) else 0
  function(theta, sigma = NULL) {
    value <- tryCatch(f(theta), error = function(e) NA)
    if (!is.finite(value)) {
      f <<- fresh()
      return(1e300)
    }
    if (is.null(sigma)) return(value)
    rho <- environment(f)
    logdet <- rho$pp$ldL2() + if (reml) rho$pp$ldRX2() else 0
    r2 <- rho$resp$wrss() + rho$pp$sqrL(1)
    value - (logdet + df * (1 + log(2 * pi * r2 / df))) +
      logdet + r2 / sigma^2 + df * log(2 * pi * sigma^2)
  }
}

# ---- minimising --------------------------------------------------------------------------

minimise <- function(f, start, lower) {
  if (!length(start)) return(list(x = start, value = f(start)))
  x <- start
  value <- f(x)
  for (round in 1:6) {
    x <- nloptr::nloptr(x, f, lb = lower, ub = rep(Inf, length(x)), opts = list(
      algorithm = "NLOPT_LN_BOBYQA", xtol_rel = 1e-12, ftol_rel = 1e-15, maxeval = 4000
    ))$solution
    last <- nlminb(x, f, lower = lower, control = list(
      rel.tol = 1e-15, x.tol = 1e-12, eval.max = 4000, iter.max = 2000))
    x <- last$par
    gain <- value - last$objective
    value <- last$objective
    if (gain < 1e-10) break
  }
  list(x = x, value = value)
}

# From several starts, as a profile may have local minima; the last optimum is one.
lowest <- function(f, starts, lower) {
  found <- lapply(starts, function(s) minimise(f, pmax(s, lower), lower))
  found[[which.min(vapply(found, `[[`, 0, "value"))]]
}

# ---- restrictions: functions of the free parameters x ---------------------------------

lower_entries <- function(q) which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)

# theta of a term whose columns, in this order, have the factor L.
reordered <- function(L, order) {
  B <- L
  B[order, ] <- L
  T <- t(qr.R(qr(t(B))))
  T <- T %*% diag(ifelse(diag(T) < 0, -1, 1), nrow(T))
  T[lower.tri(T, diag = TRUE)]
}

restricted <- function(dev, blocks, kind, k = NULL, order = NULL) {
  if (kind == "sigma") return(list(
    f = function(v) function(x) dev(x, v),
    start = function(theta, sigma) theta, lower = -Inf))
  at <- blocks[[k]]
  q <- nrow(at)
  mine <- at[!is.na(at)]
  entries <- lower_entries(q)
  factor_at <- function(theta) {
    B <- template(theta, at)[order, , drop = FALSE]
    T <- t(qr.R(qr(t(B))))
    T %*% diag(ifelse(diag(T) < 0, -1, 1), q)
  }
  if (kind == "sd") {
    free <- entries[-1, , drop = FALSE]
    return(list(
      f = function(v) function(x) {
        sigma <- exp(x[length(x)])
        L <- matrix(0, q, q)
        L[1, 1] <- v / sigma
        L[free] <- x[seq_len(nrow(free))]
        theta <- numeric(max(unlist(lapply(blocks, max, na.rm = TRUE))))
        theta[mine] <- reordered(L, order)
        theta[-mine] <- x[nrow(free) + seq_len(length(theta) - length(mine))]
        dev(theta, sigma)
      },
      start = function(theta, sigma) c(factor_at(theta)[free], theta[-mine], log(sigma)),
      lower = -Inf))
  }
  free <- entries[!(entries[, 1] <= 2), , drop = FALSE]
  list(
    f = function(v) function(x) {
      L <- matrix(0, q, q)
      L[1, 1] <- x[1]
      L[2, 1] <- v * x[2]
      L[2, 2] <- sqrt(max(0, 1 - v^2)) * x[2]
      L[free] <- x[2 + seq_len(nrow(free))]
      theta <- numeric(max(unlist(lapply(blocks, max, na.rm = TRUE))))
      theta[mine] <- reordered(L, order)
      theta[-mine] <- x[2 + nrow(free) + seq_len(length(theta) - length(mine))]
      dev(theta)
    },
    start = function(theta, sigma) {
      L <- factor_at(theta)
      c(L[1, 1], sqrt(sum(L[2, ]^2)), L[free], theta[-mine])
    },
    lower = c(0, 0, -Inf))
}

# ---- one end -------------------------------------------------------------------------------

end_of <- function(target, estimate, direction, bound, step, best, cutoff, theta, sigma) {
  first <- target$start(theta, sigma)
  lower <- rep_len(target$lower, length(first))
  if (length(target$lower) > 1) lower <- c(0, 0, rep(-Inf, length(first) - 2))
  last <- first
  excess <- function(v) {
    found <- lowest(target$f(v), unique(list(last, first + 1e-2)), lower)
    last <<- found$x
    found$value - best - cutoff^2
  }
  inside <- estimate
  low <- -cutoff^2
  repeat {
    outside <- estimate + direction * step
    past <- (outside - bound) * direction >= 0
    if (past) outside <- bound
    high <- excess(outside)
    if (high > 0) break
    if (past) return(bound)
    inside <- outside
    low <- high
    step <- 2 * step
  }
  ends <- c(inside, outside)
  at <- order(ends)
  values <- c(low, high)[at]
  uniroot(excess, ends[at], f.lower = values[1], f.upper = values[2],
          tol = 1e-10 * abs(estimate - outside))$root
}

# ---- cases -----------------------------------------------------------------------------------

interval <- function(name, target, estimate, bounds, step, best, level, theta, sigma) {
  cutoff <- sqrt(qchisq(level, 1))
  ends <- c(
    end_of(target, estimate, -1, bounds[1], step, best, cutoff, theta, sigma),
    end_of(target, estimate, 1, bounds[2], step, best, cutoff, theta, sigma))
  cat(sprintf("  %-28s %14.8g %14.8g %14.8g\n", name, estimate, ends[1], ends[2]))
  list(name = name, level = level, estimate = estimate, lower = ends[1], upper = ends[2])
}

fixed_target <- function(case, data, j, blocks) {
  parts <- parts_of(case[[2]], data, case$weights, FALSE)
  x <- parts$X[, j]
  y <- model.response(parts$fr)
  list(
    f = function(v) {
      changed <- parts_of(case[[2]], data, case$weights, FALSE)
      changed$fr[[1]] <- y - x * v
      changed$X <- changed$X[, -j, drop = FALSE]
      dev <- deviance_of(changed)
      function(theta) dev(theta)
    },
    start = function(theta, sigma) theta, lower = -Inf)
}

one <- function(case) {
  data <- data_of(case[[1]])
  reml <- isTRUE(case$reml)
  levels <- if (is.null(case$level)) 0.95 else case$level
  cat(case[[1]], case[[2]], if (reml) "REML", "\n")
  parts <- parts_of(case[[2]], data, case$weights, reml)
  blocks <- theta_blocks(parts$reTrms$cnms)
  fit <- fit_polished(case[[2]], data, reml, case$weights)
  m <- fit$model
  theta <- m@theta
  s <- sigma(m)
  dev <- deviance_of(parts)
  best <- dev(theta)
  out <- list()
  add <- function(...) for (level in levels) {
    out[[length(out) + 1]] <<- interval(..., best = best, level = level, theta = theta, sigma = s)
  }
  for (k in seq_along(blocks)) {
    S <- s^2 * tcrossprod(template(theta, blocks[[k]]))
    q <- nrow(S)
    label <- names(parts$reTrms$cnms)[k]
    columns <- parts$reTrms$cnms[[k]]
    for (j in seq_len(q)) {
      sd <- sqrt(S[j, j])
      add(paste("sd", columns[j], label),
          restricted(dev, blocks, "sd", k, c(j, seq_len(q)[-j])), sd, c(0, Inf),
          if (sd > 0) sd / 4 else s / 20)
      for (i in seq_len(q)[seq_len(q) > j]) {
        rho <- S[i, j] / sqrt(S[i, i] * S[j, j])
        if (!is.finite(rho)) next
        order <- c(j, i, setdiff(seq_len(q), c(i, j)))
        add(paste("cor", columns[j], columns[i], label),
            restricted(dev, blocks, "cor", k, order), rho, c(-1, 1), 0.2)
      }
    }
  }
  add("sigma", restricted(dev, blocks, "sigma"), s, c(0, Inf), s / 10)
  if (!reml) {
    se <- sqrt(diag(as.matrix(vcov(m))))
    for (j in seq_along(se)) {
      add(names(se)[j], fixed_target(case, data, j, blocks), fixef(m)[[j]], c(-Inf, Inf),
          2.2 * se[j])
    }
  }
  lme4s <- NULL
  if (!reml && case[[1]] != "weighted") {
    data_used <<- data
    m <- suppressWarnings(suppressMessages(eval(bquote(
      lmer(.(as.formula(case[[2]])), data = data_used, REML = FALSE)))))
    ends <- tryCatch(suppressWarnings(suppressMessages(
      confint(m, level = 0.95, method = "profile"))), error = function(e) NULL)
    if (!is.null(ends)) lme4s <- list(names = I(rownames(ends)), ends = unname(ends))
  }
  list(data = case[[1]], formula = case[[2]], reml = reml, weights = case$weights,
       criterion = best, intervals = out, lme4 = lme4s)
}

started <- Sys.time()
found <- lapply(cases, one)
write_json(list(meta = meta("profile.R"), cases = found), file.path(here, "profile.json"))
cat(stamp(started), "s\n")
