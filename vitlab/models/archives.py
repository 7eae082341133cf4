"""Weight files of strangers, looked at before they are read: regular, and not larger unpacked than they could be."""

from __future__ import annotations

import lzma
import pickletools
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from vitlab.errors import reason

SPARE = 64 * 2**20  # bytes that a file may promise beyond its own size
INFLATION = 16  # times that an archive may grow when it is unpacked; weights hardly shrink
PICKLE_BYTES = 64 * 2**20  # of names and shapes, without the tensors' numbers


@contextmanager
def naming(where: object, what: str = "cannot be read") -> Iterator[None]:
    """Turn every error into a ValueError that names its origin: readers of damaged files throw almost anything."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(where) in str(error):
            raise
        words = reason(error)
        kind = "" if words and isinstance(error, ValueError | OSError) else f" ({type(error).__name__})"
        raise ValueError(f"{where} {what}{kind}: {words}") from error


def regular(path: Path) -> Path:
    """`path`, if it is a regular file: a pipe or a device would never end. Raises ValueError."""
    with naming(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} is no regular file")
    return path


def check_tensors(weights: Mapping[Any, Any], where: object) -> None:
    """Raise ValueError for names that are no text, and for tensors that are not plain real numbers in memory."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"{where} holds {type(tensor).__name__} under {str(name)[:80]!r}, not a tensor under a name"
            )
        plain = tensor.layout is torch.strided and tensor.device.type != "meta" and not tensor.is_quantized
        if not plain or tensor.is_complex() or tensor.is_nested:
            raise ValueError(
                f"{where} holds {name[:80]!r} as {tensor.dtype}, {tensor.layout}, not as plain real numbers"
            )


def check_storage(weights: Mapping[str, Tensor], where: object) -> None:
    """Raise ValueError for tensors that claim far more numbers than are stored, one standing for many."""
    stored = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in weights.values()}
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if claimed > 2 * sum(stored.values()) + SPARE:
        raise ValueError(f"{where} claims {claimed / 2**20:,.0f} MiB of tensors and stores far fewer numbers")


def unpacked(path: Path) -> bytes:
    """What an `.xz` file holds. Raises ValueError for one that grows out of proportion, and `lzma.LZMAError`."""
    most = INFLATION * path.stat().st_size + SPARE
    with lzma.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} would grow beyond {most / 2**20:,.0f} MiB when unpacked, which no weights do")
    return content


def check_archive(path: Path) -> None:
    """Raise ValueError for a zip archive that grows out of proportion when it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > INFLATION * path.stat().st_size + SPARE:
        raise ValueError(f"{path} would grow to {unpacked / 2**20:,.0f} MiB when unpacked, which no weights do")


def check_arrays(path: Path) -> None:
    """Raise ValueError for an array of an `.npz` whose header claims more than its member of the archive holds."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                reader = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = reader(stream)
            if dtype.itemsize * int(np.prod([1, *shape], dtype=object)) > member.file_size:
                raise ValueError(
                    f"{path} holds {member.filename[:80]!r}, which claims the shape {shape} without having it"
                )


def check_pickle(path: Path) -> None:
    """Raise ValueError for a torch file whose pickle asks for memory by a number, or is too long for names."""
    if zipfile.is_zipfile(path):
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith("data.pkl"):
                    if member.file_size > PICKLE_BYTES:
                        raise ValueError(f"{path} holds {member.file_size / 2**20:,.0f} MiB of names")
                    with archive.open(member) as stream:
                        _scan(stream, path)
        return
    with path.open("rb") as file:  # the older form: magic number, version, system, and the object, a pickle each
        for _ in range(4):
            _scan(file, path)


def _scan(stream: IO[bytes], path: Path) -> None:
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and str(argument).endswith((" bytearray", "Tensor")):
            raise ValueError(f"{path} asks for memory of a size that it names ({argument}); no weights need that")
