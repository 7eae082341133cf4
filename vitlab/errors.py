"""Words for messages that a person reads when a setting was wrong."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the allowed word nearest to `given` (letter case aside), or an empty string."""
    by_lower = {word.lower(): word for word in allowed}
    nearest = get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[nearest[0]]!r}?" if nearest else ""
