"""What makes test accuracy look better than it is on new images: copies of training images, and folders of one kind
that are split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vitlab.data.encoded import FileRows
from vitlab.data.layout import Layout


@dataclass(frozen=True)
class Leaks:
    """`copies`: by class, test images that are, byte for byte, training images too, of whichever class; `folders`: how
    many folders below class folders have images both in training and in test.
    """

    copies: Mapping[str, int] = field(default_factory=dict)
    folders: int = 0


def leaks(layout: Layout) -> Leaks:
    """What of the training images comes back in the test images of `layout`, all of whose files are read."""
    train = set(_hashes(layout, "train"))
    labels = zip(_hashes(layout, "test"), layout.labels("test").tolist(), strict=True)
    copies = Counter(layout.source.classes[label] for one, label in labels if one in train)
    return Leaks(dict(copies), _split_folders(layout))


def _hashes(layout: Layout, split: str) -> list[bytes]:
    raw, indices = layout.splits[split]
    return [layout.hashed[1][raw][index] for index in indices.tolist()]


def _split_folders(layout: Layout) -> int:
    """Where test images are carved out of those of training; the only folder of a class is that of the class."""
    rows = layout.source.rows["train"]
    if layout.splits["test"][0] != "train" or not isinstance(rows, FileRows):
        return 0
    inside = {(label, path.parent) for label, path in zip(rows.labels.tolist(), rows.paths, strict=True)}
    folders = Counter(label for label, _ in inside)
    several = {folder for label, folder in inside if folders[label] > 1}
    train, test = ({rows.paths[index].parent for index in layout.splits[name][1]} for name in ("train", "test"))
    return len(several & train & test)
