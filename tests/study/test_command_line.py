"""What the command line takes beside a study's settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitlab.study.command_line import seconds


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", 90), ("9m", 540), ("2h", 7200), ("1h30m", 5400), ("9m 30s", 570), ("45", 45), ("1.5h", 5400)],
)
def test_a_length_of_time_is_read(text, length):
    assert seconds(text) == length


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(hours, minutes, rest):
    assert seconds(f"{hours}h{minutes}m{rest}s") == 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "soon", "5 days", "30s 9m", "1e9"])
def test_what_is_no_length_of_time_is_said_with_what_to_write(text):
    with pytest.raises(ValueError, match="write it as 90s, 9m or 1h30m"):
        seconds(text)
