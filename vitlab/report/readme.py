"""`results/README.md`: contents, the ledger of claims, then each study; single seeds and checks come last."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitlab.claims.claim import Verdict
from vitlab.claims.ledger import Ledger, Line
from vitlab.report.entries import Entry, ordered
from vitlab.report.plain import short
from vitlab.report.tables import markdown_rows, markdown_text
from vitlab.report.verdicts import by_outcome, effect, format_p, why

LEAD = """# Results

What real runs gave. Each folder holds `rows.csv` (a flat row per run and split: the evidence; above 10 kB
compressed, as `rows.csv.gz`, which pandas reads as it is), `provenance.json` (settings, versions, hardware, commit;
`--config` asks for the same again), and what is made of the rows: verdicts and tables (`evidence.md`, `evidence.json`)
and figures. Intervals: 95%, over seeds. The same with interactive figures: [index.html](index.html), to be opened from
a checkout. `{redraw}` makes this page from the rows; nothing in it is typed but the notes.
Commands are as they were typed; presets may have changed since, and `--config` asks for the same today.
What `images/` in the commands is says [data/](../data/README.md).
"""
LEDGER = """## The ledger of claims

What the paper claims, held against these runs. A claim *holds* (*does not hold*) if its 95% interval over seeds
lies above (below) what it is tested against and its p is below 0.05, corrected by Holm over all primary claims on the
data set, that of a secondary claim over all. Two things are *alike* by an equivalence test. A claim is *undecided*
where neither is so, and *cannot be tested here* where what it takes is missing (a model above chance, a training that
was not cut short, a tuned rate). Intervals are printed uncorrected. Where notes say that seeds were added after a look
at the verdicts, p is too small.
– is a claim that nobody held against that data. Effects are in points of accuracy, in log-odds (of right against wrong:
+0.7 doubles the odds) or in doublings (of compute). Pico, Nano and Micro are models of 0.1, 0.35 and 1.2 M parameters.
"""
APART = "Single seeds and checks"


def readme(entries: Sequence[Entry], ledger: Ledger, redraw: str) -> str:
    """The text of the page, which the command `redraw` makes anew; ends in a newline."""
    studies, apart = ordered(entries)
    heads = [(f"{group[0].study}: {markdown_text(group[0].record['question'])}", group) for group in studies]
    heads += [(APART, apart)] if apart else []
    contents = ["- [The ledger of claims](#the-ledger-of-claims)"]
    for head, group in heads:
        contents.append(f"- [{head}](#{anchor(head)})")
        contents += [f"  - [{one.name}](#{anchor(one.name)})" for one in group]
    parts = [LEAD.format(redraw=redraw), "\n".join(contents) + "\n", LEDGER, _overview(ledger), _details(ledger)]
    for head, group in heads:
        parts += [f"## {head}\n", *(_section(one, head == APART) for one in group)]
    return "\n".join(part for part in parts if part)


def anchor(title: str) -> str:
    """The link target that a forge makes of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _overview(ledger: Ledger) -> str:
    """Claims by data sets; a cell has its outcomes with their effects."""
    titles = ["claim", *(markdown_text(short(name)) for name in ledger.data)]
    rows = [
        [markdown_text(f"{one.statement} ({one.id})"), *(_cell(ledger.cell(one.id, name)) for name in ledger.data)]
        for one in ledger.claims
    ]
    return markdown_rows(titles, [True] * len(titles), rows)


def _cell(lines: Sequence[Line]) -> str:
    said = []
    for outcome, same in by_outcome(lines).items():
        first = same[0].verdict
        words = f"**{outcome}**" if first else "–"
        effects = f" {markdown_text(effect(first))}" if first and not first.failed else ""
        said.append(words + (effects if len(same) == 1 else f" ×{len(same)}"))
    return "<br>".join(said)


def _details(ledger: Ledger) -> str:
    """Every verdict with the numbers that decided it, and the paper's own beside them."""
    rows = [_verdict(line, line.verdict) for line in ledger.lines if line.verdict]
    titles = "claim,of,data,outcome,effect [95% interval],adjusted p,seeds,why; what would decide,paper,evidence"
    table = markdown_rows(titles.split(","), [True] * 4 + [False] * 3 + [True] * 3, rows)
    return f"### Verdict by verdict\n\n{table}" if rows else ""


def _verdict(line: Line, verdict: Verdict) -> list[str]:
    numbers = (effect(verdict), format_p(verdict.adjusted_p), str(verdict.interval.n), why(verdict))
    return [
        *map(markdown_text, (line.claim.id, verdict.subject, line.data)),
        f"**{line.outcome}**",
        *map(markdown_text, (*numbers, line.claim.paper)),
        f"[{line.folder}](#{anchor(line.folder)})",
    ]


def from_results(notes: str, study: str) -> str:
    """Notes with links as they are from the results' folder, two above the notes' own."""
    return notes.replace("](../../", "](").replace("](../", f"]({study}/")


def _section(one: Entry, named: bool) -> str:
    """One piece of evidence: answer, figure, command, circumstances, links and notes."""
    question = f"{markdown_text(one.record['question'])}\n\n" if named else ""
    figures = [
        f"![{markdown_text(chart.title)}]({one.name}/{name}.png)\n\n" for name, chart in one.evidence.figures.items()
    ]
    facts = "; ".join(f"{title}: {text}" for title, text in one.facts().items())
    links = ", ".join(f"[{name}]({one.name}/{name})" for name in ("index.html", *one.files))
    notes = f"\n{from_results(one.notes, one.study)}\n" if one.notes else ""
    return (
        f"### {one.name}\n\n{question}{markdown_text(one.evidence.answer)}\n\n{''.join(figures[:1])}"
        f"    {one.command}\n\n{markdown_text(facts)}.\n{links}\n{notes}"
    )
