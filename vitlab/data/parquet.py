"""Data sets as tables: on the hub, or a local copy in its layout (`train-*.parquet`, `test-*.parquet` in a folder)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from vitlab.data.cards import Card
from vitlab.data.encoded import ArrowRows, ParquetRows, Rows
from vitlab.data.walk import few, shown
from vitlab.data.words import MEANINGS, SPLIT_WORDS, named_splits

MOST_CLASSES = 100_000  # that a set of fewer images may have
CHECK_SECONDS = 5  # for the hub's one answer


def parquet_rows(folder: Path, files: Sequence[Path], card: Card | None) -> tuple[tuple[str, ...], dict[str, Rows]]:
    """Classes and rows by split of the parquet `files` below `folder`; reads the label column and no image.

    Raises ValueError for a file that is no parquet table, for missing columns, labels or classes.
    """
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(_split_of(file, folder), []).append(file)
    chosen = our_splits(list(groups), card, folder)
    schema = _schema(groups[chosen["train"]][0])
    image, label = find_columns(schema.names, card, folder)
    _check_same_classes(folder, files, label, schema)
    columns = {ours: _column(groups[raw], label) for ours, raw in chosen.items()}
    classes, labels = read_labels(columns, _class_names(schema, label), folder)
    if len(classes) < 2:
        raise ValueError(f"{folder} has one class, {classes[0]!r}; two or more are needed to classify.")
    return classes, {ours: ParquetRows(labels[ours], groups[raw], image) for ours, raw in chosen.items()}


def hub_rows(card: Card, downloads: Path) -> tuple[tuple[str, ...], dict[str, Rows]]:
    """Fetch a card's data set with `datasets.load_dataset` into `downloads`. Raises ValueError where that fails."""
    assert card.hub
    from datasets import DatasetDict, Image, load_dataset

    try:
        with _asked_once(card.hub):
            tables = load_dataset(card.hub, cache_dir=str(downloads))
    except Exception as error:  # whatever the hub, the network, the disk or a gate throws: one message, with the cause
        raise ValueError(
            f"{card.title} could not be fetched from the hub ({card.hub}): {_first_line(error)} Without a network, "
            "give a local copy, a folder of its parquet files, as --data path/to/copy, or take --data digits, which "
            "needs no download."
        ) from error
    assert isinstance(tables, DatasetDict)
    columns = {name: list(table.column_names) for name, table in tables.items()}
    chosen = our_splits(list(tables), card, card.hub)
    image, label = find_columns(columns[chosen["train"]], card, card.hub)
    classes, labels = read_labels(
        {ours: tables[raw].data.column(label) for ours, raw in chosen.items()},
        getattr(tables[chosen["train"]].features[label], "names", None),
        card.hub,
    )
    rows: dict[str, Rows] = {
        ours: ArrowRows(labels[ours], tables[raw].cast_column(image, Image(decode=False)), image)
        for ours, raw in chosen.items()
    }
    return classes, rows


@contextmanager
def _asked_once(repository: str) -> Iterator[None]:
    """Ask the hub once for a repository; where no answer comes, work offline with what was fetched before.

    The libraries would ask six times, with growing pauses, for each file. Raises what the hub says against it: that
    there is no such repository, or that one has to log in.
    """
    import datasets.config
    import huggingface_hub as hub

    silence: Exception | None = None
    before = hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not (any(before) or Path(repository).is_dir()):
        try:
            hub.HfApi().dataset_info(repository, timeout=CHECK_SECONDS)
        except hub.errors.RepositoryNotFoundError:  # also of those that are gated
            raise
        except Exception as error:  # no network, no answer in time, a hub out of order
            silence = error
            hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    except ConnectionError as error:
        raise silence or error from error
    finally:
        hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def our_splits(raw: Sequence[str], card: Card | None, where: object) -> dict[str, str]:
    """Which split of the data set is our train, validation and test; the card's word first, then the usual names."""
    if card and card.splits and set(card.splits.values()) <= set(raw):
        return {ours: card.splits[ours] for ours in SPLIT_WORDS if ours in card.splits}
    found = named_splits(raw, where)
    if "train" not in found:
        raise ValueError(f"{where} has no train split; it has {', '.join(map(repr, raw))}.")
    return found


def find_columns(columns: Sequence[str], card: Card | None, where: object) -> tuple[str, str]:
    """The names of the image and the label column: the card's, else the usual ones."""
    wanted = [card.columns] if card else []
    images = [*(names["image"] for names in wanted), "image", "img", "jpg", "png", "webp"]
    labels = [*(names["label"] for names in wanted), "label", "labels", "fine_label", "cls", "class"]
    image = next((name for name in images if name in columns), None)
    label = next((name for name in labels if name in columns), None)
    if image is None or label is None:
        raise ValueError(
            f"{where} has the columns {', '.join(columns)}; an image column ({', '.join(dict.fromkeys(images))}) "
            f"and a label column ({', '.join(dict.fromkeys(labels))}) are needed."
        )
    return image, label


def read_labels(
    columns: Mapping[str, Any], names: Sequence[str] | None, where: object
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Labels as 0..K-1 and the classes' names, from Arrow columns of integers or of words."""
    values = {split: np.asarray(column.to_numpy(zero_copy_only=False)) for split, column in columns.items()}
    for split, column in values.items():
        words, gaps = column.dtype.kind == "O", columns[split].null_count
        if len(column) == 0 or gaps or column.dtype.kind not in "iubO" or (not words and column.min() < 0):
            raise ValueError(f"The {split} split of {where} has no labels, or images without one.")
    if any(column.dtype.kind == "O" for column in values.values()):
        known, numbers = np.unique(
            np.concatenate([column.astype(str) for column in values.values()]), return_inverse=True
        )
        ends = np.cumsum([len(column) for column in values.values()])[:-1]
        return tuple(map(str, known)), dict(zip(values, np.split(numbers.astype(np.int64), ends), strict=True))
    count = len(names) if names else int(max(column.max() for column in values.values())) + 1
    if max(column.max() for column in values.values()) >= count:
        raise ValueError(f"{where} has labels above its {count} classes.")
    if count > max(MOST_CLASSES, sum(map(len, values.values()))):
        raise ValueError(f"{where} has the label {count - 1:,}, which is the number of no class.")
    return tuple(names or map(str, range(count))), {split: column.astype(np.int64) for split, column in values.items()}


def _split_of(file: Path, folder: Path) -> str:
    """The split that a file belongs to: `train-00000-of-00004.parquet`, `cifar10-test.parquet` or `train/0000.parquet`.

    The nearest name that begins with a split's word counts, and a word inside of the names before it, which must agree.
    Raises ValueError where they do not.
    """
    found: list[str] = []
    for part in [file.stem, *reversed(file.relative_to(folder).parent.parts)]:
        words = re.split(r"[-_.\s]", part.lower().removeprefix("partial-"))
        begins = words[0] in MEANINGS
        found += words[:1] if begins else [word for word in words if word in MEANINGS]
        if begins:
            break
    if found and not set.intersection(*(MEANINGS[word] for word in found)):
        raise ValueError(
            f"{file} has the words of several splits in its name, {', '.join(dict.fromkeys(found))}; give it a name "
            "that begins with train, validation or test."
        )
    return found[-1] if found else "train"


def _schema(file: Path) -> arrow.Schema:
    try:
        return parquet.read_schema(file)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{file} is not a readable parquet file: {error}") from None


def _check_same_classes(folder: Path, files: Sequence[Path], label: str, schema: arrow.Schema) -> None:
    for file in files:
        other = _schema(file)
        if label not in other.names or _class_names(other, label) != _class_names(schema, label):
            raise ValueError(
                f"{folder} holds tables with different columns or classes, such as {file}; "
                f"give the folder of a single data set.{_likely(folder, files)}"
            )


def _likely(folder: Path, files: Sequence[Path]) -> str:
    """The folders right below `folder` that hold tables, as a hint."""
    below = dict.fromkeys(file.relative_to(folder).parts[0] for file in files if file.parent != folder)
    return f" Did you mean {few(shown(folder / name) for name in below)}?" if len(below) > 1 else ""


def _column(files: Sequence[Path], name: str) -> arrow.ChunkedArray:
    try:
        parts = [parquet.read_table(file, columns=[name]).column(0) for file in files]
    except (arrow.ArrowException, OSError, KeyError, IndexError) as error:
        raise ValueError(f"The column {name!r} of {files[0].parent} cannot be read: {error}") from None
    return arrow.chunked_array([chunk for part in parts for chunk in part.chunks])


def _class_names(schema: arrow.Schema, label: str) -> list[str] | None:
    """The names that the `datasets` library keeps in a table's metadata."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return None
    try:
        names = json.loads(text)["info"]["features"][label].get("names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # no notes of that library, or damaged ones: the labels are numbers or words by themselves
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    return line if line.endswith(".") else f"{line}."
