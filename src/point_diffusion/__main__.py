"""``python -m point_diffusion``: says where the commands are."""

import sys

sys.exit(
    "error: the commands are python scripts/train.py, sample.py, evaluate.py, compare.py and animate.py; --help"
)
