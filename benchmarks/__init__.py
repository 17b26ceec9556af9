"""Speed of sm_lmer beside other packages; see ``python -m benchmarks --help``."""
