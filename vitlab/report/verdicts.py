"""The table of verdicts: each claim with its outcome and the numbers that decided, as Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from vitlab.claims.claim import Outcome
from vitlab.claims.ledger import NOT_RUN
from vitlab.report.evidence import Table
from vitlab.report.tables import markdown_rows, markdown_text

if TYPE_CHECKING:
    from vitlab.claims.claim import Verdict

TITLES = ("statement", "outcome", "effect [95% interval]", "adjusted p", "seeds", "paper", "section")


def format_p(p: float) -> str:
    """A p-value for reading: `0.013`, `< 0.001`, or "–" where there was no test."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def effect(verdict: Verdict) -> str:
    """The effect with interval and unit; "–" where no seed has it."""
    claim, found = verdict.claim, verdict.interval
    return f"{found.format(digits=claim.digits, scale=claim.scale, sign=True)} {claim.unit}" if found.n else "–"


def why(verdict: Verdict) -> str:
    """What keeps a verdict from being decided, or what would decide it; empty for one that is decided."""
    decides = f"{verdict.would_decide} would decide" if verdict.would_decide else ""
    return "; ".join(note for note in (*verdict.failed, verdict.disagreement, decides) if note)


def by_outcome(found: Iterable[Any]) -> dict[str, list[Any]]:
    """Verdicts, or lines of the ledger, by their outcome: decided ones first."""
    found = list(found)
    groups = {outcome: [one for one in found if one.outcome == outcome] for outcome in (*get_args(Outcome), NOT_RUN)}
    return {outcome: same for outcome, same in groups.items() if same}


def cells(verdict: Verdict) -> list[str]:
    """Statement, outcome, effect, adjusted p, seeds, the paper's numbers and section of one verdict, as text.

    The statement says on what subject it was tested; the outcome of an undecided verdict how many seeds would decide,
    and that of one that cannot be tested why.
    """
    claim, said = verdict.claim, why(verdict)
    bound = f", within ±{claim.margin * claim.scale:g}" if claim.test == "alike" else ""
    bound = f"{bound}, against {claim.bound * claim.scale:g}" if claim.bound else bound
    return [
        f"{claim.statement} ({verdict.subject})" if verdict.subject else claim.statement,
        f"{verdict.outcome}{f' ({said})' if said else ''}",
        effect(verdict) + bound * bool(verdict.interval.n),
        format_p(verdict.adjusted_p),
        str(verdict.interval.n),
        claim.paper,
        claim.section,
    ]


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of the verdicts, outcomes in bold; ends in a newline."""
    rows = []
    for verdict in verdicts:
        row = [markdown_text(cell) for cell in cells(verdict)]
        rows.append([row[0], row[1].replace(verdict.outcome, f"**{verdict.outcome}**", 1), *row[2:]])
    return markdown_rows(TITLES, [True] * 3 + [False] * 2 + [True] * 2, rows)


def to_tables(verdicts: Sequence[Verdict]) -> list[Table]:
    """The same as a table of text for the other renderings; none without verdicts."""
    frame = pd.DataFrame([cells(verdict) for verdict in verdicts], columns=list(TITLES))
    return [Table("verdicts", frame, "Claims of the paper, held against these runs.")] if verdicts else []


def badge(outcome: str, count: int = 1) -> str:
    """An outcome in its colour, as HTML; the class is its words joined by hyphens."""
    times = f" ×{count}" if count > 1 else ""
    return f'<span class="badge {outcome.replace(" ", "-")}">{escape(outcome)}{times}</span>'


def to_html(verdicts: Sequence[Verdict]) -> str:
    """An HTML table of the verdicts with a badge for each outcome; cells carry their title, for narrow screens."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in TITLES)
    rows = []
    for verdict in verdicts:
        statement, outcome, *rest = map(escape, cells(verdict))
        why = outcome.removeprefix(escape(verdict.outcome)).strip()
        shown = badge(verdict.outcome) + (f"<small>{why[1:-1]}</small>" if why else "")
        others = "".join(
            f'<td data-label="{escape(title)}"{_empty(cell)}>{cell}</td>'
            for title, cell in zip(TITLES[1:], (shown, *rest), strict=True)
        )
        rows.append(f'<tr><th scope="row">{statement}</th>{others}</tr>')
    body, shown = "\n".join(rows), f"<thead><tr>{head}</tr></thead>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Verdicts">'
        f'<table class="verdicts">{shown}<tbody>\n{body}\n</tbody></table></div>'
    )


def _empty(cell: str) -> str:
    """The class of a cell that a narrow screen leaves out."""
    return ' class="none"' if cell in ("", "–") else ""
