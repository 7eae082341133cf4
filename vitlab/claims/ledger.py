"""All claims against all data sets, from the verdicts of every evidence.json, each data set decided as one family."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.rule import decide

Key = TypeVar("Key", bound=Hashable)
NOT_RUN = "not run"
RULES = ("test", "bound", "margin")  # what a verdict was decided by


@dataclass(frozen=True)
class Line:
    """A claim on a data set: the verdict and the folder of results that it is from, or neither where it was not run."""

    claim: Claim
    data: str
    folder: str = ""
    verdict: Verdict | None = None

    @property
    def outcome(self) -> str:
        """The verdict's outcome, or "not run"."""
        return self.verdict.outcome if self.verdict else NOT_RUN

    def to_json(self) -> dict[str, Any]:
        """The line for reading: effect and interval in `unit`, null where there is none; of what was not run, no more
        than that.
        """
        claim, verdict = self.claim, self.verdict
        if verdict is None:
            return {"claim": claim.id, "data": self.data, "outcome": self.outcome}
        said = {"claim": claim.id, "section": claim.section, "statement": claim.statement, "paper": claim.paper}
        primary = verdict.claim.primary  # of several pairs of models only the first is
        line: dict[str, Any] = said | {"primary": primary, "data": self.data, "outcome": self.outcome}
        interval = verdict.interval
        ends = {"effect": interval.mean, "low": interval.low, "high": interval.high}
        line |= {name: round(claim.scale * end, 6) if end == end else None for name, end in ends.items()}
        return line | {
            "unit": claim.unit,
            "shown": interval.format(digits=claim.digits, scale=claim.scale, sign=True),
            "adjusted_p": verdict.adjusted_p if verdict.adjusted_p == verdict.adjusted_p else None,
            "seeds": interval.n,
            "would_decide": verdict.would_decide,
            "disagreement": verdict.disagreement,
            "failed": list(verdict.failed),
            "subject": verdict.subject,
            "folder": self.folder,
        }


@dataclass(frozen=True)
class Ledger:
    """Claims by data sets; a cell holds a line for each verdict (model sizes, folders), or the one line "not run"."""

    claims: tuple[Claim, ...]
    data: tuple[str, ...]
    lines: tuple[Line, ...]

    def cell(self, claim: str, data: str) -> tuple[Line, ...]:
        """The lines of a claim (by id) on a data set; never empty for those that the ledger has."""
        return tuple(line for line in self.lines if line.claim.id == claim and line.data == data)

    def to_json(self) -> dict[str, Any]:
        """`{"claims": [...], "data": [...], "lines": [...]}`, lines in the order of claims, then data sets."""
        claims = [claim.to_json() for claim in self.claims]
        return {"claims": claims, "data": list(self.data), "lines": [line.to_json() for line in self.lines]}


def decided(found: Mapping[Key, Sequence[Verdict]]) -> dict[Key, list[Verdict]]:
    """The verdicts of each folder, decided together with all others of their data set."""
    flat = [verdict for verdicts in found.values() for verdict in verdicts]
    made: dict[int, Verdict] = {}
    for data in dict.fromkeys(verdict.data for verdict in flat):
        family = [i for i, verdict in enumerate(flat) if verdict.data == data]
        made |= dict(zip(family, decide([flat[i] for i in family]), strict=True))
    rest = iter(made[i] for i in range(len(flat)))
    return {key: [next(rest) for _ in verdicts] for key, verdicts in found.items()}


def catalogue(path: Path) -> list[Claim]:
    """The claims of an earlier ledger.json; none where there is no such file. Raises ValueError for another file."""
    if not path.exists():
        return []
    try:
        return [Claim.from_json(claim) for claim in json.loads(path.read_text(encoding="utf-8"))["claims"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no ledger ({error!r}); delete it, and the next study writes it anew.") from None


def ledger(found: Iterable[tuple[str, Sequence[Verdict]]], claims: Sequence[Claim]) -> Ledger:
    """The ledger of all known `claims`, in their order; claims that only a folder has come after them. The data sets
    that most verdicts are about come first.

    `found` are the decided verdicts of each folder, as `decided` gives them. Raises ValueError for an id that stands
    twice, and for a verdict by another rule (test, bound, margin) than its claim has now.
    """
    known = {claim.id: claim for claim in claims}
    if len(known) < len(claims):
        twice = sorted({claim.id for claim in claims if sum(claim.id == other.id for other in claims) > 1})
        raise ValueError(f"Claims have ids of their own; {', '.join(twice)} stand twice.")
    cells: dict[tuple[str, str], list[Line]] = {}
    for folder, verdicts in found:
        for verdict in verdicts:
            claim = known.setdefault(verdict.claim.id, verdict.claim)
            _check(claim, verdict, folder)
            cells.setdefault((claim.id, verdict.data), []).append(Line(claim, verdict.data, folder, verdict))
    tested = Counter(line.data for cell in cells.values() for line in cell)
    data = tuple(sorted(tested, key=lambda name: (-tested[name], name)))
    lines = [cells.get((claim.id, name), [Line(claim, name)]) for claim in known.values() for name in data or ("",)]
    return Ledger(tuple(known.values()), data, tuple(line for cell in lines for line in cell))


def _check(claim: Claim, verdict: Verdict, folder: str) -> None:
    for name in RULES:
        now, then = getattr(claim, name), getattr(verdict.claim, name)
        if now != then:
            raise ValueError(
                f"{folder}: {claim.id} was judged by {name} = {then} and has {now} now; draw it again with --redraw."
            )
