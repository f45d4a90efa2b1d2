"""Files written, and read as tables."""

import pytest
from hypothesis import strategies as st

from point_diffusion.common.errors import UsageError
from point_diffusion.data.files import read_frame
from point_diffusion.data.frame import Frame

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def read(path, content) -> Frame:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_frame(path)


def refused(path, content=None) -> str:
    """What is said about a file that can't be read: one line, which names the key and the file."""
    with pytest.raises(UsageError) as caught:
        read_frame(path) if content is None else read(path, content)
    text = str(caught.value)
    head, said = text.split(": ", 1)
    assert head == f"data.path={path}"
    assert "\n" not in text
    return said


def rows(frame: Frame) -> list[tuple]:
    return frame.frame.rows()
