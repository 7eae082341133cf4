"""Small facts about a data set that cost long to find out, kept in the cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from vitlab.data import checked

log = logging.getLogger("vitlab.data")


def recall(cache: Path | None, key: str) -> str | None:
    """What `remember` wrote for `key`, or None; a damaged note counts as none, which is said."""
    file = _memo(cache, key) if cache else None
    if not file or not file.is_file():
        return None
    try:
        facts = checked.read_notes(file)
        if facts.get("key") != key:
            raise checked.Damaged(file, "it is about something else")
        return str(facts["value"])
    except checked.Damaged as damage:
        log.warning("%s is damaged (%s); what it said is found out again.", file, damage)
        return None


def remember(cache: Path | None, key: str, value: str) -> None:
    """Keep `value` in the folder `cache` under `key`; a damaged note that stands there is put aside."""
    if cache:
        file = _memo(cache, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file() and recall(cache, key) is None:
            os.replace(file, f"{file}.damaged")
        checked.write_notes(file, {"key": key, "value": value})


def _memo(cache: Path, key: str) -> Path:
    return cache / "fingerprints" / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"
