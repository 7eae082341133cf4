"""Plain values: numbers as text for people, and what JSON can hold, to the last bit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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


def data_title(name: str) -> str:
    """`digits@3,5,8`, classes of a data set, as "digits, classes 3, 5, 8"; other names as they are."""
    of, at, classes = name.partition("@")
    return f"{of}, classes {classes.replace(',', ', ')}" if at else name


def tick_values(values: Sequence[float], *, log: bool) -> list[float]:
    """Where the ticks of an axis stand: at the `values` that were chosen (numbers of images, rates), as they are; on a
    logarithmic axis of measured ones (FLOPs) at 1, 2 and 5 times the powers of ten between them.
    """
    found = sorted(set(values))
    chosen = all(value == int(value) or float(f"{value:.2g}") == value for value in found)
    if chosen or not log:
        return found
    powers = range(math.floor(math.log10(found[0])), math.ceil(math.log10(found[-1])) + 1)
    round_ones = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    inside = [value for value in round_ones if found[0] <= value <= found[-1]]
    return inside if len(inside) > 1 else found


def tick_labels(values: Sequence[float], *, log: bool, letters: float) -> list[str]:
    """A label for each of the rising `values` on an axis of so many letters; empty where it would touch another.

    The first is always there, and the last where it fits beside it.
    """
    along = [math.log(value) if log else value for value in values]
    span, texts = (along[-1] - along[0]) or 1.0, [number(value) for value in values]

    def free(a: int, b: int) -> bool:
        """Whether the labels of two ticks do not touch."""
        return (along[b] - along[a]) / span * letters > (len(texts[a]) + len(texts[b])) / 2 + 1.5

    shown, last = [0], len(values) - 1
    for i in range(1, len(values)):
        if free(shown[-1], i) and (i == last or free(i, last)):
            shown.append(i)
    return [text if i in shown else "" for i, text in enumerate(texts)]


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


def short(title: str) -> str:
    """The title of a data set, or of several, without what is said of it in brackets: `EuroSAT (24,300 images)`."""
    return re.sub(r" \([^)]*\)", "", title).replace(" and ", ", ")
