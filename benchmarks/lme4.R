# Fits models for benchmarks/peers.py: one request a line on standard input, one line
# of JSON on standard output for each.

if (!suppressPackageStartupMessages(require(lme4, quietly = TRUE))) quit(status = 1)

versions <- function(...) {
    blas <- sub("/.*/", "", extSoftVersion()[["BLAS"]])
    sprintf('{"R": "%s.%s", "lme4": "%s", "R BLAS": "%s"}', R.version$major,
            R.version$minor, as.character(packageVersion("lme4")), blas)
}

load_data <- function(text, path, factors = "") {
    model_formula <<- as.formula(text)
    frame <- read.csv(path)
    for (name in strsplit(factors, ",")[[1]]) frame[[name]] <- factor(frame[[name]])
    model_frame <<- frame
    "{}"
}

forget <- function(...) {
    rm(model_frame, envir = globalenv())
    invisible(gc())
    "{}"
}

fit <- function(...) {
    invisible(gc())
    start <- Sys.time()
    model <- suppressMessages(suppressWarnings(lmer(model_formula, model_frame)))
    seconds <- as.numeric(difftime(Sys.time(), start, units = "secs"))
    sprintf('{"seconds": %.9f, "criterion": %.10f}', seconds, REMLcrit(model))
}

requests <- file("stdin", "r")
while (length(line <- readLines(requests, n = 1)) == 1) {
    words <- strsplit(line, "\t")[[1]]
    cat(do.call(words[1], as.list(words[-1])), "\n", sep = "")
    flush(stdout())
}
