"""No test leaves a process behind, however it ends."""

import pytest

from tests.runs.processes import end_all


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    end_all()
