"""What differs between two sets of evidence: numbers and verdicts that changed beyond their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vitlab.claims.claim import Verdict
from vitlab.claims.interval import Interval
from vitlab.report.evidence import Cell, Evidence, Table
from vitlab.report.plain import number


@dataclass(frozen=True)
class Change:
    """Something that is not the same in both: where (`study/name`), what, and how it reads before and after."""

    folder: str
    what: str
    before: str
    after: str


def changes(before: Mapping[str, Evidence], after: Mapping[str, Evidence]) -> Iterator[Change]:
    """Every change, folder by folder: evidence that came or went, outcomes, effects, and cells of tables."""
    for folder in sorted({*before, *after}):
        old, new = before.get(folder), after.get(folder)
        if old is None or new is None:
            yield Change(folder, "evidence", "there" if old else "–", "there" if new else "–")
            continue
        yield from _verdicts(folder, old, new)
        tables = {table.name: table for table in new.tables}
        for table in old.tables:
            if table.name in tables:
                yield from _cells(folder, table, tables[table.name])


def beyond(old: Interval, new: Interval) -> bool:
    """Whether one of two means lies outside of the other's interval; without intervals, whether they differ.

    A mean that only one of them has came or went, which is a change.
    """
    if math.isnan(old.mean) or math.isnan(new.mean):
        return math.isnan(old.mean) != math.isnan(new.mean)
    if old.mean == new.mean:
        return False
    known = [(one, other) for one, other in ((old, new), (new, old)) if not math.isnan(one.low)]
    return any(one.excludes(other.mean) for one, other in known) if known else True


def _verdicts(folder: str, old: Evidence, new: Evidence) -> Iterator[Change]:
    was, now = ({(one.claim.id, one.data, one.subject): one for one in evidence.verdicts} for evidence in (old, new))
    for key in dict.fromkeys([*was, *now]):
        a, b = was.get(key), now.get(key)
        if a is None or b is None or a.outcome != b.outcome or beyond(a.interval, b.interval):
            yield Change(folder, ", ".join(key), _said(a), _said(b))


def _said(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    claim = verdict.claim
    return f"{verdict.outcome}, {verdict.interval.format(digits=claim.digits, scale=claim.scale, sign=True)}"


def _cells(folder: str, old: Table, new: Table) -> Iterator[Change]:
    """Cells with the same labels in both tables that changed, and cells that only one has."""
    was, now = _by_label(old), _by_label(new)
    for label in dict.fromkeys([*was, *now]):
        (a, said_a), (b, said_b) = was.get(label, (None, "–")), now.get(label, (None, "–"))
        if _differ(a, b):
            yield Change(folder, f"{old.name}: {label}", said_a, said_b)


def _by_label(table: Table) -> dict[str, tuple[Cell, str]]:
    """Each cell, and how it is shown, by the labels of its row and its column."""
    heads, found = len(table.heads), {}
    for at, shown in enumerate(table.text()):
        row = " ".join(shown[:heads]) or f"row {at + 1}"
        for column, title in enumerate(map(number, table.frame.columns)):
            found[f"{row}, {title}"] = table.frame.iat[at, column], shown[heads + column]
    return found


def _differ(old: Cell | None, new: Cell | None) -> bool:
    if isinstance(old, Interval) and isinstance(new, Interval):
        return beyond(old, new)
    both_missing = old != old and new != new
    return old != new and not both_missing
