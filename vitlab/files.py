"""Writing files whole or not at all, and noticing files that were damaged since.

A checked file has a checksum beside it, `<name>.b2`, which `b2sum -c` reads too. It also names, in comments, the
contents that were there before: the checksum is renamed into place first, so that after a power cut between the two
renames the old file is still known for whole.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

log = logging.getLogger("vitlab.files")

SUM = ".b2"
BEFORE = "# before: "
DIGITS = 2 * hashlib.blake2b().digest_size
STALE = 3600.0  # seconds after which a temporary file is no writer's any more
PARTS = (".*.tmp", "*.part", ".last.ckpt", ".*.json.*")  # temporary files, also as earlier versions named them


AWAY = 600.0  # seconds that a shared folder may be out of reach
LOOK = 0.5  # seconds between looks whether it is back

Found = TypeVar("Found")


class Damaged(ValueError):
    """A file is not what was written; it has been put aside."""


def patiently(folder: Path, do: Callable[[], Found]) -> Found:
    """What `do()` returns, which reads or writes in `folder`; while that is out of reach it is waited for.

    What was found or written when the folder was not there does not count, and is done again: so it has to be
    something that can be done twice. Nothing in it may make the folder, which would hide the one that is away.
    Raises OSError for a folder that stays away for ten minutes, and what `do` raises where it is there.
    """
    failed_before = False
    while True:
        _wait_for(folder)
        try:
            found = do()
        except OSError:
            if failed_before and folder.is_dir():
                raise
            failed_before = folder.is_dir()  # It may have been back just now.
        else:
            if folder.is_dir():
                return found


def _wait_for(folder: Path) -> None:
    if folder.is_dir():
        return
    log.warning("The folder %s is out of reach; it is waited for.", folder)
    since = time.monotonic()
    while not folder.is_dir():
        if time.monotonic() - since > AWAY:
            raise OSError(errno.ETIMEDOUT, f"The folder {folder} was out of reach for {AWAY / 60:.0f} minutes.")
        time.sleep(LOOK)


def write_all(
    files: Mapping[Path, bytes],
    *,
    checked: bool = False,
    keep: Mapping[Path, Path] | None = None,
    folders: bool = True,
) -> None:
    """Write every file beside its target, to the disk itself, and rename them together, in the order given.

    A full disk, a kill or a power cut leaves each file old or new, never a part, and nothing is renamed before all is
    written. Folders are made, unless `folders` says no. With `checked` a checksum is written beside each; `keep` says
    where the old content of a file goes. Raises OSError as the system gives it, after the temporary files are removed.
    """
    if checked:
        files = {name: content for path in files for name, content in _with_sum(path, files[path])}
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, content in files.items():
            if folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_bytes(content)
        for partial in temporary.values():  # Only now, since the first of these takes the others along.
            sync(partial)
        for path, partial in temporary.items():
            if keep and path in keep and path.exists():
                os.replace(path, keep[path])
            os.replace(partial, path)
        for folder in {path.parent for path in files}:
            sync(folder)
    finally:
        for partial in temporary.values():
            partial.unlink(missing_ok=True)


def write_changed(files: Mapping[Path, bytes]) -> None:
    """Write those of the files together that are not there or hold something else."""
    write_all({path: new for path, new in files.items() if not path.exists() or path.read_bytes() != new})


def sync(path: Path) -> None:
    """Return when the system has put a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _with_sum(path: Path, content: bytes) -> list[tuple[Path, bytes]]:
    now = hashlib.blake2b(content).hexdigest()
    before = [digest for digest in known_sums(path) if digest != now][:2]
    text = f"{now}  {path.name}\n" + "".join(f"{BEFORE}{digest}\n" for digest in before)
    return [(sum_of(path), text.encode()), (path, content)]


def sum_of(path: Path) -> Path:
    """Where the checksum of a file is."""
    return path.with_name(path.name + SUM)


def known_sums(path: Path) -> list[str]:
    """The checksums that `path` may have, the newest first; none where it was written without."""
    try:
        lines = sum_of(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [line.removeprefix(BEFORE)[:DIGITS] for line in lines]


def whole(path: Path, *, like: Path | None = None) -> bool:
    """Whether a file is there and what was written; one without a checksum is taken as it is.

    `like` is the file whose checksums count, for a file that was renamed since. Raises OSError if it cannot be read.
    """
    if not path.is_file():
        return False
    for _ in range(2):  # Another process may have written it anew between the two looks.
        sums = known_sums(like or path)
        if not sums:
            return True
        with path.open("rb") as file:
            if hashlib.file_digest(file, hashlib.blake2b).hexdigest() in sums:
                return True
    return False


def put_aside(path: Path, then: str) -> None:
    """Rename a damaged file to `<name>.damaged`, and say so in one line, with what happens `then`."""
    aside = path.with_name(path.name + ".damaged")
    with suppress(FileNotFoundError):
        os.replace(path, aside)
        log.warning("%s was damaged; it is now %s, and %s.", path, aside.name, then)
        return
    log.warning("%s is lost, and %s.", path, then)


def sweep(folder: Path, *, older: float = STALE) -> None:
    """Remove temporary files that a killed process left in `folder` at least `older` seconds before its last change.

    Those of a process that lives on this machine stay, whatever the clock says: it may have been set, or slept. Their
    age is taken between two times of the file system, whose clock another machine's need not agree with. With `older`
    0 all go, for a folder that is leased.
    """
    for pattern in PARTS:
        for path in folder.glob(pattern):
            if path.is_file() and (older <= 0 or (_age(path) >= older and not _is_written(path))):
                path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    with suppress(FileNotFoundError):  # Its writer may have renamed it since.
        return path.parent.stat().st_mtime - path.stat().st_mtime
    return 0.0


def _is_written(temporary: Path) -> bool:
    """Whether the process that its name tells is one of this machine, and still there."""
    process = temporary.suffixes[-2:-1]
    return bool(process) and process[0][1:].isdecimal() and lives(int(process[0][1:]))


def lives(process: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
