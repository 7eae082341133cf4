"""Words for messages that a person reads when a setting was wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the allowed word nearest to `given` (letter case aside), or an empty string."""
    by_lower = {word.lower(): word for word in allowed}
    nearest = get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[nearest[0]]!r}?" if nearest else ""


def reason(error: Exception, limit: int = 300) -> str:
    """The first line of what an error says, without the addresses of Python's objects; empty if it says nothing."""
    lines = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>", "the file", str(error)).strip().splitlines()
    return lines[0][:limit] if lines else ""
