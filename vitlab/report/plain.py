"""Plain values: numbers as text for people, and what JSON can hold, to the last bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from vitlab.claims.interval import Interval


def number(value: object) -> str:
    """Whole numbers with thousands separators, others in four digits, "–" for NaN, everything else as its text."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    plain = float(value)
    return f"{int(plain):,}" if plain.is_integer() else f"{plain:.4g}"


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and NumPy's scalars as JSON has them; NaN as None, an infinite float as {"float": "inf"}."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else {"float": str(value)}
    return value


def to_float(plain: Any) -> float:
    """A float of `to_plain`."""
    return math.nan if plain is None else float(plain["float"]) if isinstance(plain, Mapping) else float(plain)


def to_interval(plain: Mapping[str, Any]) -> Interval:
    """An Interval of `to_plain`."""
    return Interval(to_float(plain["mean"]), to_float(plain["low"]), to_float(plain["high"]), int(plain["n"]))


def to_cell(plain: Any) -> Interval | int | float | str:
    """A table's cell of `to_plain`."""
    if isinstance(plain, Mapping) and "mean" in plain:
        return to_interval(plain)
    return to_float(plain) if plain is None or isinstance(plain, Mapping) else plain


class NothingToShow(ValueError):
    """The rows that are there do not suffice for a table or a figure."""
