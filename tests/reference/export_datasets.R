# Writes the data sets that sm_lmer ships, and the facts that test them.
#
#   Rscript tests/reference/export_datasets.R        (from the repository's root)
#
# Needs lme4 (1.1-31), nlme (3.1-162) and jsonlite. Output:
#   sm_lmer/datasets/data/<name>.csv[.gz]   rows and columns in R's order
#   sm_lmer/datasets/data/schema.json       file, column types and factor levels
#   tests/reference/datasets.json           summaries of R's own frames
# Running it again changes no byte.
#
# The frames are R's but for three decisions:
#   * whole-numbered design variables and counts that R holds as doubles (Days,
#     temp, Size) become integers; measured responses keep R's type;
#   * nlme's Worker, Block and School are "ordered" only so that lattice plots
#     come out sorted: the flag goes, the order of the levels stays;
#   * hsb is MathAchieve, in its own order of rows, with the columns of
#     MathAchSchool looked up by School (MEANSES is the same in both).

suppressPackageStartupMessages({
  library(lme4)
  library(nlme)
  library(jsonlite)
})

data_dir <- file.path("sm_lmer", "datasets", "data")
facts_file <- file.path("tests", "reference", "datasets.json")
stopifnot(dir.exists(data_dir), dir.exists(dirname(facts_file)))

plain_frame <- function(d) as.data.frame(lapply(d, identity), optional = TRUE)

unordered <- function(f) factor(as.character(f), levels = levels(f))

whole <- function(x) {
  stopifnot(x == round(x))
  as.integer(x)
}

high_school_and_beyond <- function() {
  pupils <- plain_frame(MathAchieve)
  at <- match(as.character(pupils$School), as.character(MathAchSchool$School))
  schools <- MathAchSchool[at, ]
  stopifnot(!anyNA(at), identical(pupils$MEANSES, schools$MEANSES))
  pupils$School <- unordered(pupils$School)
  pupils$Size <- whole(schools$Size)
  cbind(pupils, schools[c("Sector", "PRACAD", "DISCLIM", "HIMINTY")])
}

frames <- list(
  sleepstudy = transform(sleepstudy, Days = whole(Days)),
  dyestuff = Dyestuff,
  dyestuff2 = Dyestuff2,
  penicillin = Penicillin,
  pastes = Pastes,
  cake = transform(cake, temp = whole(temp)),
  insteval = InstEval,
  machines = transform(plain_frame(Machines), Worker = unordered(Worker)),
  oats = transform(plain_frame(Oats), Block = unordered(Block)),
  hsb = high_school_and_beyond()
)
compressed <- c("insteval", "hsb")

file_name <- function(name) {
  paste0(name, if (name %in% compressed) ".csv.gz" else ".csv")
}

write_frame <- function(name, d) {
  path <- file.path(data_dir, file_name(name))
  # "wb" gives \n line ends everywhere; R's gzfile stores neither name nor time.
  con <- if (name %in% compressed) gzfile(path, "wb", compression = 9) else file(path, "wb")
  write.csv(d, con, row.names = FALSE, quote = FALSE)
  close(con)
  back <- read.csv(path, colClasses = "character")
  for (column in names(d)) {
    stopifnot(!anyNA(d[[column]]))
    if (is.factor(d[[column]])) {
      stopifnot(identical(back[[column]], as.character(d[[column]])))
    } else {
      stopifnot(as.numeric(back[[column]]) == d[[column]])  # no digit lost
    }
  }
}

column_schema <- function(x) {
  if (is.factor(x)) list(levels = I(levels(x)), ordered = is.ordered(x))
  else if (is.integer(x)) "int64"
  else "float64"
}

# `by_row` is sum(i * x[i]) (codes for a factor), which pins the order of rows.
column_facts <- function(x) {
  rows <- seq_along(x)
  if (!is.factor(x)) {
    return(list(type = "numeric", sum = sum(x), mean = mean(x), sd = sd(x),
                by_row = sum(rows * as.numeric(x))))
  }
  shown <- if (nlevels(x) <= 30) list(levels = I(levels(x)))
           else list(first = I(head(levels(x), 5)), last = I(tail(levels(x), 5)))
  c(list(type = "factor", n_levels = nlevels(x), ordered = is.ordered(x)), shown,
    list(largest_count = max(table(x)), by_row = sum(rows * as.numeric(x))))
}

for (name in names(frames)) write_frame(name, frames[[name]])

schema <- Map(
  function(name, d) list(file = file_name(name), columns = lapply(d, column_schema)),
  names(frames), frames
)
facts <- lapply(frames, function(d) {
  list(nrow = nrow(d), names = I(names(d)), columns = lapply(d, column_facts))
})

write_json <- function(x, path) {
  con <- file(path, "wb")
  writeLines(toJSON(x, auto_unbox = TRUE, digits = NA, pretty = TRUE), con)
  close(con)
}
write_json(schema, file.path(data_dir, "schema.json"))
write_json(facts, facts_file)
