"""What is refused, by its words as they stand."""

import re

import pytest

from point_diffusion.common.errors import UsageError


def refused(text, *kinds):
    return pytest.raises(kinds or UsageError, match=re.escape(text))
