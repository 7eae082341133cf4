"""Encoded images with their labels, as they lie on disk: in files, in parquet tables, in Arrow tables, in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vitlab.data.splits import Indices
from vitlab.data.walk import shown

if TYPE_CHECKING:
    from datasets import Dataset


READ_BYTES = 4 * 2**20  # of a table at a time


class Rows(Protocol):
    """The images of one split, in an order that does not depend on where they are stored."""

    @property
    def labels(self) -> Indices:
        """The classes' numbers (N,)."""
        ...

    def iterate(self) -> Iterator[bytes]:
        """Yield the encoded images in order."""
        ...

    def readable(self, downloads: Path) -> ReadableRows:
        """The same rows with random access; tables may be unpacked below `downloads` for it."""
        ...

    def peek(self, count: int) -> Sequence[bytes | Path]:
        """About `count` encoded images, or their files, to learn size and format from the headers."""
        ...

    def where(self, index: int) -> str:
        """How to name an image to a person."""
        ...

    def stamp(self) -> str:
        """Changes whenever the files change; cheap, and of no meaning on another machine."""
        ...

    def nbytes(self) -> int:
        """Encoded size in bytes."""
        ...


class ReadableRows(Rows, Protocol):
    def read(self, index: int) -> bytes:
        """The encoded image at `index`."""
        ...


@dataclass(frozen=True, eq=False)
class MemoryRows:
    """Images that a Python package brings along."""

    labels: Indices
    images: Sequence[bytes]
    origin: str

    def iterate(self) -> Iterator[bytes]:
        return iter(self.images)

    def readable(self, downloads: Path) -> MemoryRows:
        return self

    def read(self, index: int) -> bytes:
        return self.images[index]

    def peek(self, count: int) -> list[bytes]:
        return list(self.images[:count])

    def where(self, index: int) -> str:
        return f"image {index} of {self.origin}"

    def stamp(self) -> str:
        return self.origin

    def nbytes(self) -> int:
        return sum(map(len, self.images))


@dataclass(frozen=True, eq=False)
class FileRows:
    """One image a file."""

    labels: Indices
    paths: Sequence[Path]

    def iterate(self) -> Iterator[bytes]:
        return map(_file_bytes, self.paths)

    def readable(self, downloads: Path) -> FileRows:
        return self

    def read(self, index: int) -> bytes:
        return _file_bytes(self.paths[index])

    def peek(self, count: int) -> list[Path]:
        return list(self.paths[:: max(1, len(self.paths) // count)])

    def where(self, index: int) -> str:
        return shown(self.paths[index])

    def stamp(self) -> str:
        return _stamp(self.paths)

    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)


@dataclass(frozen=True, eq=False)
class ParquetRows:
    """The rows of parquet files, one after the other, with the images as bytes or as structs of bytes and path."""

    labels: Indices
    files: Sequence[Path]
    image: str

    def iterate(self) -> Iterator[bytes]:
        for file in self.files:
            yield from _parquet_images(file, self.image)

    def readable(self, downloads: Path) -> ArrowRows:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
        from datasets import Features, Image, load_dataset
        from pyarrow.dataset import ParquetFragmentScanOptions

        images = arrow.schema([parquet.read_schema(self.files[0]).field(self.image)])
        table = load_dataset(
            "parquet",
            data_files={"rows": [str(file) for file in self.files]},
            split="rows",
            columns=[self.image],
            features=Features.from_arrow_schema(images),
            cache_dir=str(downloads),
            fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False),
        )
        return ArrowRows(self.labels, table.cast_column(self.image, Image(decode=False)), self.image)

    def peek(self, count: int) -> list[bytes]:
        return [data for data, _ in zip(self.iterate(), range(count), strict=False)]

    def where(self, index: int) -> str:
        import pyarrow.parquet as parquet

        for file in self.files:
            rows = parquet.read_metadata(file).num_rows
            if index < rows:
                return f"row {index} of {file}"
            index -= rows
        raise IndexError(index)

    def stamp(self) -> str:
        return _stamp(self.files)

    def nbytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True, eq=False)
class ArrowRows:
    """The rows of a table of the `datasets` library, mapped into memory, so that it may be larger than that."""

    labels: Indices
    table: Dataset
    image: str

    def iterate(self) -> Iterator[bytes]:
        rows = max(1, min(1024, READ_BYTES * len(self.labels) // max(1, self.nbytes())))
        for batch in self.table.select_columns([self.image]).iter(batch_size=rows):
            yield from map(_image_bytes, batch[self.image])

    def readable(self, downloads: Path) -> ArrowRows:
        return self

    def read(self, index: int) -> bytes:
        return _image_bytes(self.table[int(index)][self.image])

    def peek(self, count: int) -> list[bytes]:
        return [self.read(index) for index in range(min(count, len(self.labels)))]

    def where(self, index: int) -> str:
        return f"row {index} of split {self.table.split} of {self.table.info.dataset_name}"

    def stamp(self) -> str:
        return str(self.table._fingerprint)

    def nbytes(self) -> int:
        return int(self.table.info.dataset_size or self.table.data.nbytes)


def _parquet_images(file: Path, column: str) -> Iterator[bytes]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(file, pre_buffer=False)  # else the whole file is read at once
        for batch in table.iter_batches(batch_size=_rows_at_a_time(table.metadata), columns=[column]):
            yield from map(_image_bytes, batch.column(0).to_pylist())
    except (arrow.ArrowException, OSError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"The images of {shown(file)} cannot be read: {error}.") from error


def _rows_at_a_time(metadata: Any) -> int:
    """As many rows of a parquet file as are about 4 MB, so that large images do not fill the memory."""
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return max(1, min(1024, READ_BYTES * metadata.num_rows // max(1, size)))


def content_fingerprint(splits: dict[str, Rows], each: dict[str, list[bytes]] | None = None) -> str:
    """Hash of the splits' names, labels and encoded images in order: the same wherever they are read from.

    Each image's own, by split, is put into `each` in passing.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, rows in splits.items():
        digest.update(f"{name} {len(rows.labels)} ".encode())
        digest.update(np.ascontiguousarray(rows.labels, dtype="<i8").tobytes())
        for data in rows.iterate():
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
            if each is not None:
                each.setdefault(name, []).append(hashlib.blake2b(data, digest_size=16).digest())
    return digest.hexdigest()


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"The image {shown(path)} cannot be read: {error.strerror}.") from error


def _image_bytes(value: Any) -> bytes:
    """An image column holds bytes, or a struct of bytes and path, of which one may be missing."""
    if isinstance(value, bytes):
        return value
    if value and value.get("bytes") is not None:
        return value["bytes"]
    path = Path(value["path"]) if value and value.get("path") else None
    return path.read_bytes() if path and path.is_file() else b""


def _stamp(paths: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        status = path.stat()
        digest.update(os.fsencode(path.absolute()))
        digest.update(f"|{status.st_ino}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
