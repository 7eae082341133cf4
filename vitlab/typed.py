"""Whether a value from a file of strangers (JSON, YAML) is of the type that an annotation says."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "nothing"}


def misfit(value: object, annotation: Any) -> str:
    """What is wrong with `value`, in words that name the right type; empty if it is of that type.

    Knows int, float (finite; whole numbers too), str, bool, None, unions, `Literal`, `tuple[...]` (lists serve),
    `Mapping[k, v]`.
    """
    if fits(value, annotation):
        return ""
    for name, item, wanted in _items(value, annotation):
        if not fits(item, wanted):
            return f"{name}: {misfit(item, wanted)}"
    return f"{shortened(value)} is not {described(annotation)}"


def fits(value: object, annotation: Any) -> bool:
    """Whether `value` is of the type `annotation`; True and False are no numbers."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation in (Any, object):
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is Literal:
        return value in inside
    if origin is tuple:
        return _fits_tuple(value, inside)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = inside
        return isinstance(value, Mapping) and all(fits(k, key) and fits(v, item) for k, v in value.items())
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if annotation in (None, types.NoneType) else isinstance(value, annotation)


def described(annotation: Any) -> str:
    """The type in words, such as "a list of whole numbers"."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(map(described, inside))
    if origin is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if origin is tuple:
        if Ellipsis in inside:
            return f"a list, each {described(inside[0])}"
        return f"a list of {len(inside)}, each {described(inside[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table of names, each with {described(inside[1])}"
    return WORDS.get(annotation, str(annotation))


def shortened(value: object, limit: int = 60) -> str:
    """A value as a message may show it: a container by its kind and length, since it may be huge when written out."""
    if isinstance(value, Mapping):
        return f"a table of {len(value)} names"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large number"
    text = repr(value[:limit] if isinstance(value, str | bytes) else value)
    return text if len(text) <= limit + 20 else f"{text[:limit]} ..."


def _fits_tuple(value: object, inside: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if Ellipsis in inside:
        return all(fits(item, inside[0]) for item in value)
    return len(value) == len(inside) and all(fits(item, one) for item, one in zip(value, inside, strict=True))


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _items(value: object, annotation: Any) -> list[tuple[str, object, Any]]:
    """What a container of the right kind holds: where, the value, and the type that it should have."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        keys = [("a name", key, inside[0]) for key in value]
        return keys + [(shortened(key), item, inside[1]) for key, item in value.items()]
    if origin is tuple and isinstance(value, list | tuple) and (Ellipsis in inside or len(value) == len(inside)):
        return [(f"number {i}", item, inside[0]) for i, item in enumerate(value, start=1)]
    optional = [one for one in inside if one is not types.NoneType] if origin in (Union, types.UnionType) else []
    return _items(value, optional[0]) if len(optional) == 1 else []
