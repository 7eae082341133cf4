"""Types of values from files, and the words for those that are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitlab.typed import fits, misfit

TYPES = [int, float, str, bool, None, int | None, tuple[int, ...], tuple[float, float], Mapping[str, int], Any]


@pytest.mark.parametrize(
    ("value", "annotation", "words"),
    [
        (3, int, ""),
        (True, int, "True is not a whole number"),
        (3, float, ""),
        (float("inf"), float, "inf is not a number"),
        (10**400, float, "a very large number is not a number"),
        ([1, 2], tuple[int, int], ""),
        ([1, 2, 3], tuple[int, int], "a list of 3 is not a list of 2, each a whole number"),
        ([1, "2"], tuple[int, ...], "number 2: '2' is not a whole number"),
        ({"a": [1]}, Mapping[str, tuple[int, ...]], ""),
        ({3: 1}, Mapping[str, int], "a name: 3 is not a text"),
        ({"a": {"b": "c"}}, Mapping[str, Mapping[str, int]], "'a': 'b': 'c' is not a whole number"),
        (None, tuple[int, ...] | None, ""),
        ([None], tuple[int, ...] | None, "number 1: None is not a whole number"),
        ("x" * 1000, int, f"'{'x' * 60}' is not a whole number"),
    ],
)
def test_words(value: object, annotation: Any, words: str) -> None:
    assert misfit(value, annotation) == words


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    ),
    st.sampled_from(TYPES),
)
def test_words_are_short_and_empty_only_for_what_fits(value: object, annotation: Any) -> None:
    words = misfit(value, annotation)
    assert (words == "") == fits(value, annotation) and len(words) < 400
