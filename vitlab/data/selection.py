"""A data set made of some of the classes of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from vitlab.data.loading import ImageData


def select_classes(data: ImageData, classes: Sequence[int]) -> ImageData:
    """Keep the images of `classes` in every split, with labels renumbered in the order given; the pixels' statistics
    stay.

    Raises:
        ValueError: for fewer than two classes, a class that there is not, or one named twice.
    """
    known = range(data.num_classes)
    if len(set(classes)) != len(classes) or len(classes) < 2 or any(c not in known for c in classes):
        raise ValueError(
            f"Cannot select classes {list(classes)} of {data.name}: name at least two different ones of 0 to "
            f"{known[-1]}."
        )
    number = torch.full((data.num_classes,), -1)
    number[list(classes)] = torch.arange(len(classes))

    def kept(split: Any) -> Any:
        inside = number[split.labels] >= 0
        return replace(split, rows=split.rows[inside], labels=number[split.labels[inside]])

    shown = torch.nonzero(number[data.test.labels] >= 0).flatten().tolist()
    return replace(
        data,
        test_name=partial(_named, data.test_name, shown),
        classes=tuple(data.classes[c] for c in classes),
        train=kept(data.train),
        validation=kept(data.validation),
        test=kept(data.test),
    )


def _named(name: Callable[[int], str], shown: Sequence[int], index: int) -> str:
    return name(shown[index])
