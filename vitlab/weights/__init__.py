"""Small pre-trained models that come with vitlab, by name: `vitlab/vit_micro_4.tiny_imagenet_32`.

Everything that takes a source of weights takes such a name: `models.load`, `--init`, `--checkpoint`. Each has a card
beside it that says what it was trained on, how, and what it reached.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from vitlab.errors import suggest

FOLDER, PREFIX = Path(__file__).parent, "vitlab/"
PACKED = ".xz"  # the ending of a file that is compressed as a whole
ENDINGS = (".safetensors", f".safetensors{PACKED}")


def shipped() -> list[str]:
    """The names of the weights that come with vitlab."""
    return sorted(PREFIX + path.name.removesuffix(ending) for ending in ENDINGS for path in FOLDER.glob(f"*{ending}"))


def find(source: str | Path) -> Path:
    """The file of a name in `shipped`; any other source as a path, whether or not there is such a file.

    Raises ValueError for a name that begins like ours and is none, with the nearest that is, and for the home of a
    user whom there is not.
    """
    name = str(source)
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} is no path: {error}") from None
    if not name.startswith(PREFIX) or path.exists():
        return path
    if name not in shipped():
        known = ", ".join(shipped()) or "none"
        raise ValueError(f"vitlab comes with no weights {name!r}; there are {known}.{suggest(name, shipped())}")
    return next(path for ending in ENDINGS if (path := FOLDER / (name.removeprefix(PREFIX) + ending)).exists())


def fingerprint(source: str | Path) -> str:
    """16 hexadecimal digits for the content of a weight file, or of what is read of a folder; empty for a mere name.

    What comes with vitlab or with timm is known by its name, and a name's weights do not change.
    """
    path = find(source)
    if not path.exists() or path.parent == FOLDER:
        return ""
    files = _read_of(path) if path.is_dir() else [path]
    return _digest(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


def shards(folder: Path) -> list[Path]:
    """The weight files of a Hugging Face folder: those of safetensors, else those of torch."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _read_of(folder: Path) -> list[Path]:
    """The files in a Hugging Face folder, or in that of a run, on which the model and its pixels depend."""
    if not (folder / "config.json").exists():
        files = [folder / "model.safetensors"]
    else:
        files = [folder / "config.json", folder / "preprocessor_config.json", *shards(folder)]
    return sorted(file for file in files if file.is_file())


@cache
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """Of files with sizes and times of change, so that it is made anew where they change."""
    found = hashlib.blake2b(digest_size=8)
    for name, _, _ in files:
        with open(name, "rb") as file:
            found.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return found.hexdigest()
