"""From rows to files: the evidence of one study, and what all evidence says together.

Verdicts on one data set share their error rate (Holm), so that new evidence can change the verdicts of another study:
`publish` decides all of them anew and rewrites what changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.claims.ledger import catalogue, decided, ledger
from vitlab.files import write_all, write_changed
from vitlab.report import tables, verdicts
from vitlab.report.entries import Entry, entry
from vitlab.report.evidence import Evidence
from vitlab.report.plain import NothingToShow
from vitlab.report.provenance import portable, provenance, read_provenance
from vitlab.report.readme import readme
from vitlab.report.site import COMMITTED, SCRIPT, plotly_script, redraw_command, site
from vitlab.runs.run import Run
from vitlab.runs.stored import checksum, drawable, frame, merged, planned, rows_content, to_csv, write_rows
from vitlab.study.cautions import left_out
from vitlab.study.command_line import plain, program

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.claims.claim import Claim
    from vitlab.study.study import Study


@dataclass(frozen=True)
class Written:
    """Evidence as it lies in its folder, beside `undrawn` finished runs that only earlier plans asked for."""

    folder: Path
    evidence: Evidence
    files: Sequence[Path]
    undrawn: int = 0


def conclude(
    study: Study,
    settings: Any,
    folder: Path,
    rows: pd.DataFrame,
    record: Mapping[str, Any],
    pictures: Mapping[str, Figure] | None = None,
) -> Written:
    """Make the evidence of `rows`, write all of it and bring what rests on all evidence up to date.

    `record` says where the rows come from, with the ids of the plan's runs: the evidence is drawn from these alone, and
    rows that an earlier plan asked for stay in the file. Raises OSError where the folder cannot be written.
    """
    drawn, files = made(study, settings, folder, rows, record, pictures or {})
    keep(folder, files, every=bool(pictures))
    evidence = publish(folder.parents[1], {folder: drawn})[folder]
    paths = [folder / name for name in (*files, "evidence.json", "evidence.md")]
    return Written(folder, evidence, paths, undrawn(rows, record.get("plan", ())))


def keep(folder: Path, files: Mapping[str, bytes], *, every: bool) -> None:
    """Write the files of a folder, and remove what is `outdated`. Raises OSError where it cannot be written."""
    for name in outdated(folder, files, every=every):
        (folder / name).unlink(missing_ok=True)
    write_rows(folder, files)


def outdated(folder: Path, files: Collection[str], *, every: bool) -> set[str]:
    """PNG files in `folder` that are not among `files`, the new ones: charts of the evidence that is replaced, and with
    `every` pictures of weights too. Without, those that cannot be made here stay.
    """
    there = {path.name for path in folder.glob("*.png")} - set(files)
    try:
        charts = {f"{name}.png" for name in Evidence.loads((folder / "evidence.json").read_text()).figures}
    except (OSError, ValueError):
        charts = set()
    return there if every else there & charts


def undrawn(rows: pd.DataFrame, plan: Collection[str]) -> int:
    """How many finished runs the rows have beside those of the plan."""
    if not plan or "task.kind" not in rows.columns:
        return 0
    return len(set(rows.loc[rows["status"] == "finished", "run"].dropna()) - set(plan))


def made(
    study: Study,
    settings: Any,
    folder: Path,
    rows: pd.DataFrame,
    record: Mapping[str, Any],
    pictures: Mapping[str, Figure],
) -> tuple[Evidence, dict[str, bytes]]:
    """The evidence of `rows`, not decided yet; and the files that `folder` is to hold: rows, provenance, figures."""
    counted = drawable(rows, record.get("plan", ()), diverged=study.diverged)
    try:
        drawn = study.draw(counted, settings)
    except NothingToShow:
        drawn = Evidence(summary="Too few runs have finished to compare anything.")
    warnings = [
        *record.get("cautions", []),
        *([] if study.diverged else left_out(planned(rows, record.get("plan", ())))),
    ]
    drawn = replace(drawn, summary=" ".join([*warnings, drawn.summary]).strip())
    text = to_csv(rows)
    about = {**record["rows"], "count": len(rows), "checksum": checksum(text)}
    about |= {"seed": sorted(set(counted["seed"].dropna().tolist()))} if "seed" in counted else {}
    record = {**record, **study.about(), "command": portable(record["command"]), "rows": about}
    files = _figures(drawn, pictures)
    name, content = rows_content(folder, text)
    files |= {name: content, "provenance.json": (json.dumps(record, indent=2) + "\n").encode()}
    return drawn, files


def recorded(
    study: Study,
    settings: Any,
    plan: Sequence[Run],
    arguments: Sequence[str],
    rows: pd.DataFrame,
    measured: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What `provenance.json` says: who asked for what, which runs were meant, who made the rows.

    Meant are the plan's runs, and those whose rows were just `measured`: what an earlier call measured is not drawn
    with them.
    """
    command = [*program(study.name), *arguments]
    ids = [link.id for run in plan for link in run.chain()] + [row["run"] for row in measured if "run" in row]
    return {**study.about(), **provenance(plain(settings), command, rows), "plan": list(dict.fromkeys(ids))}


def together(old: pd.DataFrame | None, rows: Sequence[Mapping[str, Any]], study: str) -> pd.DataFrame:
    """The rows of a study with those that its folder holds already."""
    new = frame([{"study": study, **row} for row in rows])
    return new if old is None else merged(old, new)


def publish(
    results: Path, fresh: Mapping[Path, Evidence] | None = None, claims: Sequence[Claim] | None = None
) -> dict[Path, Evidence]:
    """Decide the verdicts of all evidence below `results` together; write what is `fresh`, or changed by it.

    The ledger and the pages are made of all evidence. `claims` is the catalogue of all that could have been run; by
    default that of the last ledger.
    """
    stored = _stored(results)
    every = stored | dict(fresh or {})
    judged = decided({folder: evidence.verdicts for folder, evidence in every.items()})
    whole = {folder: replace(evidence, verdicts=tuple(judged[folder])) for folder, evidence in every.items()}
    files: dict[Path, str] = {}
    for folder, evidence in whole.items():
        if folder in (fresh or {}) or evidence.verdicts != stored[folder].verdicts:
            question = read_provenance(folder)["question"]
            files |= {
                folder / "evidence.json": evidence.dumps(),
                folder / "evidence.md": in_markdown(evidence, question),
            }
    write_changed({path: text.encode() for path, text in files.items()})
    try:
        write_changed(_pages(results, whole, claims))
    except ValueError as error:  # what was just measured is written, and must not be lost for a page
        print(f"The ledger and the pages of {results} are left as they are: {error}", file=sys.stderr)
    return whole


def _pages(results: Path, whole: Mapping[Path, Evidence], claims: Sequence[Claim] | None) -> dict[Path, bytes]:
    """`ledger.json`, `README.md`, and the pages with the script that they share."""
    entries = [entry(folder, evidence) for folder, evidence in sorted(whole.items())]
    if claims is None:
        known = {claim.id: claim for claim in catalogue(results / "ledger.json")}
        for claim in (verdict.claim for one in entries for verdict in one.evidence.verdicts):
            # Of several pairs of models only one is primary, which says nothing of the claim itself.
            known[claim.id] = replace(claim, primary=known.get(claim.id, claim).primary)
        claims = list(known.values())
    found = ledger([(one.name, one.evidence.verdicts) for one in entries], claims)
    texts = {"ledger.json": json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n"}
    texts |= {"README.md": readme(entries, found, redraw_command(results))}
    pages = {results / name: text for name, text in texts.items()} | site(entries, found, results, _beside(results))
    files = {path: text.encode() for path, text in pages.items()}
    return files | {results / SCRIPT: plotly_script().read_bytes()}


def _beside(results: Path) -> list[Entry]:
    """The suite's own evidence, for the page of what a person ran within the same checkout."""
    own = results.resolve()
    if own == COMMITTED or COMMITTED.parent not in own.parents:
        return []
    return [entry(folder, evidence) for folder, evidence in _stored(COMMITTED).items()]


def _stored(results: Path) -> dict[Path, Evidence]:
    """All evidence that can be read; what cannot is named, and must not cost what is being written."""
    found = {}
    for path in sorted(results.glob("*/*/evidence.json")):
        try:
            found[path.parent] = Evidence.loads(path.read_text())
        except ValueError as error:
            print(f"{path} is left out: {error}", file=sys.stderr)
    return found


def in_markdown(evidence: Evidence, question: str) -> str:
    """All of the evidence as Markdown: the question, its answer, figures, verdicts and tables."""
    plainly = tables.markdown_text
    parts = [f"# {plainly(question)}\n", f"{plainly(evidence.answer)}\n"]
    parts += [f"![{plainly(chart.title)}]({name}.png)\n" for name, chart in evidence.figures.items()]
    parts += [verdicts.to_markdown(evidence.verdicts)] if evidence.verdicts else []
    return "\n".join([*parts, *map(tables.to_markdown, evidence.tables)])


def _figures(evidence: Evidence, pictures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Charts and pictures as PNG; charts as vectors are what `export` is for."""
    from vitlab.report.draw import draw
    from vitlab.report.style import render, settle

    charts = {name: draw(chart) for name, chart in evidence.figures.items()}
    for figure in (*charts.values(), *pictures.values()):
        settle(figure)
    files = {f"{name}.png": render(figure, "png") for name, figure in charts.items()}
    return files | {f"{name}.png": render(figure, "png", photographs=True) for name, figure in pictures.items()}


def export(written: Written) -> None:
    """What a paper takes, in `export/` of the folder: tables as LaTeX and CSV, figures as PDF in a column's width."""
    from vitlab.report.draw import for_column

    shown = [*written.evidence.tables, *verdicts.to_tables(written.evidence.verdicts)]
    files = {f"{table.name}.tex": tables.to_latex(table).encode() for table in shown}
    files |= {f"{table.name}.csv": tables.to_csv(table).encode() for table in shown}
    files |= {f"{name}.pdf": for_column(chart) for name, chart in written.evidence.figures.items()}
    write_all({written.folder / "export" / name: content for name, content in files.items()})
    print(f"\nFor a paper, in {written.folder / 'export'}: {', '.join(sorted(files))}")


def show(written: Written) -> None:
    """The tables, where everything is, and the answer."""
    from rich.console import Console

    console = Console(emoji=False)
    for table in written.evidence.tables:
        console.print(tables.to_rich(table))
    print(f"\nWritten to {written.folder}: " + ", ".join(path.name for path in written.files))
    if written.undrawn:
        kept = next(path.name for path in written.files if path.name.startswith("rows.csv"))
        print(f"{written.undrawn} runs of earlier plans stay in {kept} and are not drawn: this one lacks them.")
    print(f"\n{written.evidence.answer}")
