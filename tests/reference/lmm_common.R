# Shared by lmm_fits.R, lmm_classroom.R and lmm_predict.R: the data sets, a JSON
# writer with full double precision, and fits polished beyond lme4's stopping rule.

suppressPackageStartupMessages({
  library(lme4)
  library(numDeriv)
})

# lme4 and Python's formula engines agree on treatment contrasts only.
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)

this_dir <- function() {
  file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
  if (length(file_arg)) dirname(sub("^--file=", "", file_arg[1])) else "."
}

# ---- JSON ------------------------------------------------------------------------
# jsonlite stops at 15 significant digits; doubles need up to 17 to survive.

json_string <- function(x) {
  x <- gsub("\\", "\\\\", enc2utf8(x), fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  x <- gsub("\n", "\\n", x, fixed = TRUE)
  ifelse(is.na(x), "null", paste0("\"", x, "\""))
}

json_number <- function(x) {
  x <- as.double(x) + 0
  out <- rep("null", length(x))
  todo <- is.finite(x)
  for (digits in 15:17) {
    out[todo] <- sprintf(paste0("%.", digits, "g"), x[todo])
    todo[todo] <- as.double(out[todo]) != x[todo]
  }
  out[x == 0 & is.finite(x)] <- "0"
  out
}

json_atoms <- function(x) {
  if (is.character(x)) json_string(x)
  else if (is.logical(x)) ifelse(is.na(x), "null", ifelse(x, "true", "false"))
  else json_number(x)
}

json_array <- function(parts) paste0("[", paste(parts, collapse = ","), "]")
json_object <- function(names, parts) {
  paste0("{", paste0(json_string(names), ":", parts, collapse = ","), "}")
}

# Named vectors and lists become objects, matrices arrays of rows, data frames objects
# of columns, unnamed vectors arrays; length one is a scalar unless wrapped in I().
to_json <- function(x) {
  if (is.null(x)) return("null")
  if (is.factor(x)) x <- as.character(x)
  if (is.data.frame(x)) {
    return(json_object(names(x), vapply(x, function(col) to_json(I(col)), "")))
  }
  if (is.list(x)) {
    if (is.null(names(x))) return(json_array(vapply(x, to_json, "")))
    if (!length(x)) return("{}")
    return(json_object(names(x), vapply(x, to_json, "")))
  }
  if (is.matrix(x)) {
    return(json_array(apply(unname(x), 1, function(row) json_array(json_atoms(row)))))
  }
  if (!is.null(names(x))) return(json_object(names(x), json_atoms(unname(x))))
  keep <- inherits(x, "AsIs")
  x <- unclass(x)
  if (is.factor(x)) x <- as.character(x)
  if (length(x) == 1 && !keep) json_atoms(x) else json_array(json_atoms(x))
}

# One top-level entry (or one case) a line, so that diffs stay readable.
write_json <- function(x, path) {
  parts <- vapply(names(x), function(key) {
    value <- x[[key]]
    body <- if (is.list(value) && !is.data.frame(value) && is.null(names(value))) {
      paste0("[\n", paste(vapply(value, to_json, ""), collapse = ",\n"), "\n]")
    } else {
      to_json(value)
    }
    paste0(json_string(key), ": ", body)
  }, "")
  writeLines(paste0("{\n", paste(parts, collapse = ",\n"), "\n}"), path, useBytes = TRUE)
  cat(sprintf("wrote %s, %.0f kB\n", path, file.size(path) / 1000))
}

meta <- function(script) {
  packages <- c("lme4", "Matrix", "nlme", "nloptr", "numDeriv")
  list(
    script = script,
    R = R.version.string,
    packages = vapply(packages, function(p) as.character(packageVersion(p)), ""),
    platform = R.version$platform,
    blas = basename(extSoftVersion()[["BLAS"]]),
    lapack = La_version(),
    contrasts = "contr.treatment for unordered and ordered factors",
    null = "null stands for NULL, NA and +-Inf"
  )
}

# ---- data --------------------------------------------------------------------------

plain <- function(x) {
  x <- as.data.frame(x)
  class(x) <- "data.frame"
  x
}

load_hsb <- function() {
  pupils <- plain(nlme::MathAchieve)
  schools <- plain(nlme::MathAchSchool)
  row <- match(as.character(pupils$School), as.character(schools$School))
  stopifnot(!anyNA(row), all(pupils$MEANSES == schools$MEANSES[row]))
  extra <- setdiff(names(schools), c("School", "MEANSES"))
  cbind(pupils, schools[row, extra])
}

load_data <- function(name) {
  switch(name,
    sleepstudy = plain(lme4::sleepstudy),
    dyestuff = plain(lme4::Dyestuff),
    dyestuff2 = plain(lme4::Dyestuff2),
    penicillin = plain(lme4::Penicillin),
    pastes = plain(lme4::Pastes),
    cake = plain(lme4::cake),
    insteval = plain(lme4::InstEval),
    machines = plain(nlme::Machines),
    oats = plain(nlme::Oats),
    hsb = load_hsb(),
    stop("unknown data set ", name)
  )
}

# ---- theta <-> Lambda -----------------------------------------------------------------

# For each term the positions of its entries in theta (column-major lower triangle).
theta_blocks <- function(cnms) {
  sizes <- lengths(cnms)
  counts <- sizes * (sizes + 1) / 2
  ends <- cumsum(counts)
  lapply(seq_along(sizes), function(i) {
    at <- matrix(NA_integer_, sizes[i], sizes[i])
    at[lower.tri(at, diag = TRUE)] <- seq(ends[i] - counts[i] + 1, ends[i])
    at
  })
}

theta_names <- function(cnms) {
  unlist(lapply(seq_along(cnms), function(i) {
    columns <- cnms[[i]]
    at <- which(lower.tri(diag(length(columns)), diag = TRUE), arr.ind = TRUE)
    inner <- ifelse(at[, 1] == at[, 2], columns[at[, 1]],
                    paste(columns[at[, 1]], columns[at[, 2]], sep = "."))
    paste(names(cnms)[i], inner, sep = ".")
  }))
}

template <- function(theta, at) {
  out <- matrix(0, nrow(at), ncol(at))
  out[!is.na(at)] <- theta[at[!is.na(at)]]
  out
}

# The lower Cholesky factor of T T', with a zero column wherever a pivot vanishes:
# non-negative diagonal, and one theta for each covariance matrix even if it is singular.
canonical <- function(theta, blocks) {
  for (at in blocks) {
    Tt <- template(theta, at)
    S <- tcrossprod(Tt)
    L <- 0 * S
    for (j in seq_len(ncol(S))) {
      before <- seq_len(j - 1)
      pivot <- S[j, j] - sum(L[j, before]^2)
      if (pivot <= 1e-13 * max(S[j, j], 1e-8)) next
      L[j, j] <- sqrt(pivot)
      for (i in seq_len(nrow(S))[-seq_len(j)]) {
        L[i, j] <- (S[i, j] - sum(L[i, before] * L[j, before])) / L[j, j]
      }
    }
    theta[at[!is.na(at)]] <- L[!is.na(at)]
  }
  theta
}

# ---- polishing ---------------------------------------------------------------------

safely <- function(devfun) {
  function(theta) tryCatch(devfun(theta), error = function(e) 1e300)
}

# A typical size of each entry, so that steps and derivatives are scale free.
theta_scale <- function(theta, blocks) {
  scale <- abs(theta)
  for (at in blocks) {
    rows <- sqrt(rowSums(template(theta, at)^2))
    floor_at <- matrix(pmax(0.1 * rows, 1e-3), nrow(at), ncol(at))
    used <- !is.na(at)
    scale[at[used]] <- pmax(scale[at[used]], floor_at[used])
  }
  scale
}

# Columns of T whose diagonal is zero are zero altogether and stay so.
fixed_positions <- function(theta, blocks) {
  out <- integer(0)
  for (at in blocks) {
    for (j in seq_len(ncol(at))) {
      if (theta[at[j, j]] == 0) out <- c(out, at[seq(j, nrow(at)), j])
    }
  }
  sort(out)
}

derivatives <- function(f, theta, free, scale, second = TRUE) {
  along <- function(z) {
    theta[free] <- theta[free] + scale[free] * z
    f(theta)
  }
  zero <- rep(0, length(free))
  list(
    gradient = grad(along, zero, method.args = list(eps = 0.02, r = 4)),
    hessian = if (second) hessian(along, zero, method.args = list(eps = 0.01, r = 4))
  )
}

newton <- function(f, theta, blocks, iterations = 6) {
  free <- setdiff(seq_along(theta), fixed_positions(theta, blocks))
  result <- list(theta = theta, gradient = 0 * theta, decrement = 0, step = 0,
                 identified = TRUE)
  if (!length(free)) return(result)
  for (iteration in seq_len(iterations)) {
    scale <- theta_scale(theta, blocks)
    d <- derivatives(f, theta, free, scale)
    e <- eigen(d$hessian, symmetric = TRUE)
    use <- e$values > 1e-6 * max(e$values)
    V <- e$vectors[, use, drop = FALSE]
    step <- -drop(V %*% (crossprod(V, d$gradient) / e$values[use]))
    decrement <- -sum(d$gradient * step)
    size <- max(abs(step))
    gradient <- 0 * theta
    gradient[free] <- d$gradient / scale[free]
    result <- list(theta = theta, gradient = gradient, decrement = decrement, step = size,
                   identified = all(use))
    if (size < 1e-8 || iteration == iterations) break
    factor <- 1
    now <- f(theta)
    repeat {
      trial <- theta
      trial[free] <- theta[free] + factor * scale[free] * step
      if (f(trial) <= now + 1e-9 || size * factor < 1e-6) break
      factor <- factor / 2
    }
    theta <- canonical(trial, blocks)
  }
  result
}

derivative_free <- function(f, start, lower) {
  nloptr::nloptr(start, f, lb = lower, ub = rep(Inf, length(start)), opts = list(
    algorithm = "NLOPT_LN_BOBYQA", xtol_rel = 1e-12, ftol_rel = 1e-15, maxeval = 3000
  ))$solution
}

# Snap small diagonals to zero where the criterion does not get worse.
snap <- function(f, theta, blocks) {
  for (at in blocks) {
    for (j in seq_len(ncol(at))) {
      if (theta[at[j, j]] > 0.05 || theta[at[j, j]] == 0) next
      trial <- theta
      trial[at[j, j]] <- 0
      trial <- newton(f, canonical(trial, blocks), blocks)$theta
      if (f(trial) <= f(theta) + 1e-9) theta <- trial
    }
  }
  theta
}

# Minimise the criterion to about 1e-9 relative in theta: lme4's own optimum first,
# BOBYQA from several starts, zero diagonals snapped, then Newton steps.
polish <- function(devfun, lower, cnms, restarts = 6) {
  f <- safely(devfun)
  blocks <- theta_blocks(cnms)
  default <- optimizeLmer(devfun, optimizer = "nloptwrap")
  identity_start <- as.numeric(lower == 0)
  set.seed(20)
  starts <- c(
    list(default$par, identity_start),
    lapply(seq_len(restarts), function(i) {
      ifelse(lower == 0, runif(length(lower), 0.05, 2), rnorm(length(lower), 0, 0.5))
    })
  )
  # restarts = 0 is for large data: Newton steps from lme4's optimum, nothing else
  optima <- if (restarts == 0) starts[1] else lapply(starts, function(s) derivative_free(f, s, lower))
  values <- vapply(optima, f, 0)
  theta <- canonical(optima[[which.min(values)]], blocks)
  theta <- newton(f, snap(f, theta, blocks), blocks)$theta
  last <- newton(f, snap(f, theta, blocks), blocks, iterations = 2)
  theta <- last$theta
  fixed <- fixed_positions(theta, blocks)
  list(
    theta = theta,
    report = list(
      gradient_norm = sqrt(sum(last$gradient^2)),
      newton_decrement = last$decrement,
      newton_step = last$step,
      identified = last$identified,
      fixed_at_zero = I(theta_names(cnms)[fixed]),
      # at a zero column the gradient vanishes by symmetry: it is a minimum if this is >= 0
      fixed_curvature = if (length(fixed)) min(eigen(
        derivatives(f, theta, fixed, rep(0.1, length(theta)))$hessian,
        symmetric = TRUE, only.values = TRUE)$values),
      lme4_default_criterion = default$fval,
      starts_at_optimum = sum(values < min(values) + 1e-4),
      starts = length(optima)
    )
  )
}

# ---- fitting -----------------------------------------------------------------------

# lmer() in its modular steps, with polish() in the place of the optimiser.
fit_polished <- function(formula, data, reml, weights = NULL, restarts = 6) {
  formula <- as.formula(formula)
  mc <- call("lmer", formula = formula, data = quote(data), REML = reml)
  args <- list(formula = formula, data = data, REML = reml)
  if (!is.null(weights)) {
    args$weights <- data[[weights]]
    mc$weights <- as.name(weights)
  }
  parts <- do.call(lFormula, args)
  devfun <- do.call(mkLmerDevfun, parts[c("fr", "X", "reTrms", "REML")])
  best <- polish(devfun, parts$reTrms$lower, parts$reTrms$cnms, restarts)
  value <- devfun(best$theta)
  opt <- list(par = best$theta, fval = value, conv = 0, message = "polished")
  model <- mkMerMod(environment(devfun), opt, parts$reTrms, parts$fr, mc)
  # A devfun of its own, from a new lFormula(): lme4 changes theta and Lambdat in place,
  # and evaluating any devfun made from the same parts would change the model.
  other <- do.call(lFormula, args)
  fresh <- do.call(mkLmerDevfun, other[c("fr", "X", "reTrms", "REML")])
  list(model = model, devfun = fresh, parts = parts, report = best$report)
}

terms_of <- function(m) {
  flist <- getME(m, "flist")
  group <- names(flist)[attr(flist, "assign")]
  lapply(seq_along(m@cnms), function(i) {
    list(term = names(m@cnms)[i], group = group[i], columns = I(m@cnms[[i]]),
         n_levels = nlevels(flist[[group[i]]]))
  })
}

summaries <- function(m) {
  V <- as.matrix(vcov(m))
  vc <- as.data.frame(VarCorr(m))
  X <- getME(m, "X")
  list(
    nobs = nobs(m),
    theta = I(unname(m@theta)),
    theta_names = I(names(getME(m, "theta"))),
    criterion = if (isREML(m)) REMLcrit(m) else -2 * as.numeric(logLik(m)),
    beta = fixef(m),
    vcov = matrix(V, nrow(V)),
    dropped_columns = I(as.character(names(attr(X, "col.dropped")))),
    sigma = sigma(m),
    varcorr = vc,
    n_groups = ngrps(m),
    logLik = as.numeric(logLik(m)),
    AIC = AIC(m),
    BIC = BIC(m),
    n_params = attr(logLik(m), "df"),
    df_resid = df.residual(m),
    is_singular = isSingular(m),
    cnms = terms_of(m)
  )
}

# The conditional covariance of all random effects of a level, terms that share the
# grouping factor taken together: sigma^2 Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda'.
conditional <- function(m) {
  V <- as.matrix(lme4:::condVar(m, scaled = TRUE))
  flist <- getME(m, "flist")
  modes <- ranef(m, condVar = FALSE)
  assign <- attr(flist, "assign")
  sizes <- lengths(m@cnms)
  out <- lapply(names(flist), function(g) {
    levels <- levels(flist[[g]])
    mine <- which(assign == match(g, names(flist)))
    blocks <- lapply(seq_along(levels), function(l) {
      at <- unlist(lapply(mine, function(i) m@Gp[i] + (l - 1) * sizes[i] + seq_len(sizes[i])))
      V[at, at, drop = FALSE]
    })
    list(levels = I(levels), columns = I(names(modes[[g]])),
         values = unname(as.matrix(modes[[g]])), condvar = blocks)
  })
  names(out) <- names(flist)
  out
}

# An independent value of the criterion: dense normal density, no mixed-model algebra.
dense_criterion <- function(theta, fit, reml) {
  m <- fit$model
  X <- getME(m, "X")
  y <- getME(m, "y") - getME(m, "offset")
  n <- length(y)
  terms <- fit$parts$reTrms
  Lambdat <- terms$Lambdat
  Lambdat@x <- theta[terms$Lind]
  w <- weights(m)
  V <- diag(1 / w) + as.matrix(crossprod(Lambdat %*% terms$Zt))
  U <- chol(V)
  Xs <- backsolve(U, X, transpose = TRUE)
  ys <- backsolve(U, y, transpose = TRUE)
  R <- qr(Xs)
  r2 <- sum(qr.resid(R, ys)^2)
  df <- if (reml) n - ncol(X) else n
  2 * sum(log(diag(U))) + df * (1 + log(2 * pi * r2 / df)) +
    if (reml) 2 * sum(log(abs(diag(qr.R(R))))) else 0
}

# The conditional covariance of b by the textbook formula
# D - D Z' V^-1 Z D with D = Lambda Lambda' sigma^2, to check conditional().
dense_condvar <- function(m) {
  D <- as.matrix(crossprod(getME(m, "Lambdat")))
  Z <- as.matrix(getME(m, "Z"))
  V <- diag(1 / weights(m)) + Z %*% D %*% t(Z)
  ZD <- Z %*% D
  sigma(m)^2 * (D - t(ZD) %*% solve(V, ZD))
}

stamp <- function(started) as.numeric(difftime(Sys.time(), started, units = "secs"))
