"""Verdicts in plain sentences: what a newcomer reads first, with numbers rounded for reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from vitlab.claims.claim import Outcome, Verdict

SPOKEN = 3  # clauses in full; the rest is counted

DEFAULTS = {
    "holds": "{statement} ({effect} {unit})",
    "does not hold": "it does not hold here that {statement} ({effect} {unit})",
    "undecided": "it stays undecided whether {statement}",
    "cannot be tested here": "it cannot be tested here whether {statement}",
}
VERBS = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "cannot be tested here": ("cannot be tested here", "cannot be tested here"),
}


def readable(value: float) -> str:
    """A number for reading: whole from 5 on, one digit after the point below that, two that count below 1."""
    size = abs(value)
    if size >= 5:
        return f"{value:,.0f}"
    rounded = f"{value:.1f}" if size >= 0.95 else f"{value:z.2g}"
    return rounded.removesuffix(".0")


def names(verdict: Verdict) -> dict[str, Any]:
    """What a template of `Claim.says` can name, beside the verdict's own `about`.

    `effect` is signed and `size` is not, `amount` is the size with its unit ("9 points", "1 point"); all in `unit`.
    `exact` is the effect with the claim's own digits, for one that is held against a number.
    """
    claim, interval = verdict.claim, verdict.interval
    mean, low, high = (readable(claim.scale * value) for value in (interval.mean, interval.low, interval.high))
    size, unit = mean.removeprefix("-"), claim.unit
    one = re.sub("^(point|doubling)s", r"\1", unit)
    amount = f"{size} {one if size == '1' else unit}"
    own = {"effect": mean, "size": size, "amount": amount, "low": low, "high": high, "unit": unit, "n": interval.n}
    own["exact"] = f"{claim.scale * interval.mean:.{claim.digits}f}"
    said = {"statement": claim.statement.rstrip("."), "data": verdict.data, "subject": verdict.subject}
    return own | said | {"would_decide": verdict.would_decide} | dict(verdict.about)


def clause(verdict: Verdict) -> str:
    """The verdict as a clause without capital and full stop, from the claim's template for its outcome.

    What keeps it from being decided or tested is added in brackets. Raises ValueError for a template that names what
    the verdict does not have.
    """
    template = verdict.claim.says.get(verdict.outcome)
    known = names(verdict)
    try:
        words = (template or DEFAULTS[verdict.outcome]).format_map(known)
    except KeyError as error:
        id, have = verdict.claim.id, ", ".join(known)
        raise ValueError(f"The sentence of {id} for {verdict.outcome!r} names {error}; it can name {have}.") from error
    notes = _notes(verdict, default=template is None)
    return f"{words} ({'; '.join(notes)})" if notes else words


def _notes(verdict: Verdict, *, default: bool) -> list[str]:
    if verdict.failed:
        more = len(verdict.failed) - 1
        return [verdict.failed[0]] + ([f"and {more} more reason{'s' if more > 1 else ''}"] if more else [])
    if verdict.outcome != "undecided":
        return []
    if verdict.interval.n < 2:
        return ["one seed decides nothing" if verdict.interval.n else "no seed has all that it takes"]
    seeds = f"{verdict.interval.n} seeds"
    decides = f"{seeds}; {verdict.would_decide} would decide it" if verdict.would_decide else seeds
    return [note for note in (verdict.disagreement, decides if default else "") if note]


def answer(verdicts: Sequence[Verdict]) -> str:
    """The answer in one or two plain sentences: the first verdicts in full, primary ones first, the rest counted.

    Raises ValueError for verdicts that `rule.decide` has not seen.
    """
    if raw := [v.claim.id for v in verdicts if v.p == v.p and v.adjusted_p != v.adjusted_p and not v.failed]:
        raise ValueError(f"The verdicts on {', '.join(raw)} are not decided yet; call rule.decide on them first.")
    if not verdicts:
        return "Nothing has been compared yet."
    in_all = [why for why in verdicts[0].failed if all(why in verdict.failed for verdict in verdicts)]
    if in_all and len(verdicts) > 1:
        return f"None of the {len(verdicts)} claims can be tested here: {in_all[0]}."
    ordered = [v for v in verdicts if v.claim.primary] + [v for v in verdicts if not v.claim.primary]
    words = "; ".join(dict.fromkeys(clause(verdict) for verdict in ordered[:SPOKEN]))
    spoken = f"{words[0].upper()}{words[1:]}."
    return f"{spoken} {_counted(ordered[SPOKEN:])}" if len(ordered) > SPOKEN else spoken


def _counted(verdicts: Sequence[Verdict]) -> str:
    """`Of 4 more claims 2 hold, 1 does not hold and 1 is undecided.`"""
    parts = []
    for outcome in get_args(Outcome):
        if count := sum(verdict.outcome == outcome for verdict in verdicts):
            parts.append(f"{count} {VERBS[outcome][count > 1]}")
    if len(verdicts) == 1:
        return f"One more claim {parts[0][2:]}."
    return f"Of {len(verdicts)} more claims {' and '.join(filter(None, [', '.join(parts[:-1]), parts[-1]]))}."
