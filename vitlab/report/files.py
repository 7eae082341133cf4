"""Writing files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write every file beside its target first and rename them together, so that a full disk or a kill leaves the old.

    Folders are made. Raises OSError as the system gives it, after the temporary files are removed.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_bytes(content)
        for path, partial in temporary.items():
            os.replace(partial, path)
    finally:
        for partial in temporary.values():
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 text file, whole or not at all."""
    write_all({path: text.encode()})
