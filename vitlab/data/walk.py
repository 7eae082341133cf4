"""The image files below a folder: regular ones alone, each once, whatever links, pipes and loops lie between them."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .webp .tif .tiff .pgm .ppm .pnm .pbm .avif .jp2 .tga .dds".split()
)
MAX_BYTES = 512 * 2**20  # of an image file; 64 million pixels of 16 bits, uncompressed, are 384 MiB

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class LeftOut:
    """What a folder holds beside the images that are used.

    `ignored`: files that are no images known here, by suffix; `broken`: images that cannot be opened, and why;
    `repeated`: files and folders that links lead to a second time; `unused`: images in no class or split, by where
    they lie.
    """

    ignored: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)


class Walk:
    """Finds files below `root`.

    What lies there itself goes before what links lead to, so that a link never takes a file from its own folder; links
    that lead up, round in a circle, or to what was found already, are left out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self.broken: dict[str, str] = {}
        self.repeated: list[str] = []
        self.unused: Counter[str] = Counter()
        at = root.resolve()
        self._seen = {identity for folder in (at, *at.parents) if (identity := _identity(os.stat(folder)))}

    def left_out(self) -> LeftOut:
        """What was found beside the images."""
        return LeftOut(dict(self.ignored.most_common()), self.broken, tuple(self.repeated), dict(self.unused))

    def folders(self, parents: Mapping[Key, Path]) -> dict[Key, list[Path]]:
        """The folders in each parent, in alphabetical order, without the hidden ones and those met before."""
        found: dict[Key, list[Path]] = {key: [] for key in parents}
        links: list[tuple[Key, Path]] = []
        for key, parent in parents.items():
            for entry in _entries(parent):
                if entry.name.startswith((".", "__")):
                    continue
                if entry.is_symlink():
                    links.append((key, Path(entry.path)))
                elif entry.is_dir() and self._is_new(entry.stat()):
                    found[key].append(Path(entry.path))
        for key, link in links:
            if link.is_dir() and self._is_new(link.stat(), link):
                found[key].append(link)
        return {key: sorted(some) for key, some in found.items()}

    def images(self, folders: Mapping[Key, Path]) -> dict[Key, list[Path]]:
        """The images below each folder, in the alphabetical order of their paths in it."""
        found: dict[Key, list[str]] = {key: [] for key in folders}
        links: deque[tuple[Key, str]] = deque()
        for key, folder in folders.items():
            links += ((key, link) for link in self._below(str(folder), found[key]))
        while links:
            key, link = links.popleft()
            links += ((key, other) for other in self._follow(link, found[key]))
        return {
            key: [
                Path(file) for file in sorted(found[key], key=lambda f: f[len(str(folder)) + 1 :].replace(os.sep, "/"))
            ]
            for key, folder in folders.items()
        }

    def count_unused(self, folder: Path, name: str) -> None:
        """Count the files of `folder` itself: images there belong to no class."""
        for entry in _entries(folder):
            if not entry.is_dir() and not entry.name.startswith("."):
                suffix = _suffix(entry.name)
                (self.unused if suffix in IMAGE_SUFFIXES else self.ignored)[
                    name if suffix in IMAGE_SUFFIXES else suffix
                ] += 1

    def count_extra(self, folder: Path, name: str) -> None:
        """Count the images below a folder that is no split and no class."""
        if count := len(self.images({name: folder})[name]):
            self.unused[name] += count

    def _below(self, folder: str, out: list[str]) -> list[str]:
        """Put the images below `folder` into `out`; returns the links there, which are not followed."""
        waiting, links = [folder], []
        while waiting:
            for entry in self._listed(waiting.pop()):
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    links.append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    if self._is_new(entry.stat(), entry.path):
                        waiting.append(entry.path)
                else:
                    self._take(entry.path, entry.stat(follow_symlinks=False), out)
        return sorted(links)

    def _listed(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            return _entries(folder)
        except OSError as error:
            self.broken[shown(folder)] = f"the folder cannot be opened: {error.strerror}"
            return []

    def _follow(self, link: str, out: list[str]) -> list[str]:
        try:
            status = os.stat(link)
        except OSError as error:
            if _suffix(link) in IMAGE_SUFFIXES:
                self.broken[shown(link)] = f"it is a link to {shown(os.readlink(link))}: {error.strerror}"
            else:
                self.ignored[_suffix(link)] += 1
            return []
        if not stat.S_ISDIR(status.st_mode):
            self._take(link, status, out)
            return []
        return self._below(link, out) if self._is_new(status, link) else []

    def _take(self, path: str, status: os.stat_result, out: list[str]) -> None:
        if (suffix := _suffix(path)) not in IMAGE_SUFFIXES:
            self.ignored[suffix] += 1
        elif why := _unfit(path, status):
            self.broken[shown(path)] = why
        elif self._is_new(status, path):
            out.append(path)

    def _is_new(self, status: os.stat_result, path: str | Path = "") -> bool:
        identity = _identity(status)
        if identity in self._seen:
            self.repeated += [shown(path)] if path else []
            return False
        if identity:
            self._seen.add(identity)
        return True


def shown(path: str | Path) -> str:
    """A path as a message may hold it: a name that is no UTF-8, or has control characters, with those escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def files_with(suffix: str, root: Path) -> list[Path]:
    """The regular files below `root` whose names end with `suffix`, without hidden ones and those behind links."""
    found: list[str] = []
    for at, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += (os.path.join(at, name) for name in names if name.endswith(suffix) and not name.startswith("."))
    return sorted(Path(file) for file in found if os.path.isfile(file))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _identity(status: os.stat_result) -> tuple[int, int] | None:
    """Device and number of a real file; None on file systems that give none."""
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _unfit(path: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is a pipe, a device or a socket, not a file"
    if status.st_size > MAX_BYTES:
        return f"it has {status.st_size / 2**20:,.0f} MiB; at most {MAX_BYTES // 2**20} are read"
    return "" if os.access(path, os.R_OK) else "there is no permission to read it"


def counted(count: int, thing: str) -> str:
    """A number and what it counts: "1 image", "2,000 images"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def few(names: Iterable[str], limit: int = 3) -> str:
    """The first few names, for a message."""
    some = list(names)
    return ", ".join(some[:limit]) + (f" and {len(some) - limit:,} more" if len(some) > limit else "")
