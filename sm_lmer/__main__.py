"""``python -m sm_lmer``: see :mod:`sm_lmer.cli`."""

import sys

from sm_lmer.cli import main

if __name__ == "__main__":
    sys.exit(main())
