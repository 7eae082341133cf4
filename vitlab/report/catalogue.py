"""The pages that lead to the evidence: `results/README.md`, and the table and the answers in the project's README.

    python -m vitlab.report.catalogue        # writes both anew from what is stored in results/

Both are made of stored files alone, so that no number is typed in.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from vitlab.report.files import write_text
from vitlab.report.provenance import read_provenance, short_commit

MARKED = re.compile(r"<!-- (table|answers): ([^\n]+) -->\n.*?<!-- end -->", re.DOTALL)
LEAD = """# Results

What real runs gave. Each folder holds `rows.csv` (a flat row per run: the evidence), `table.md` and figures (made from
the rows, made again by the command with `--redraw`) and `provenance.json` (settings, versions, hardware, commit;
`--config` asks for the same again). Intervals: 95%, over seeds. `python -m vitlab.report.catalogue` writes this page.
"""


def entry(folder: Path, results: Path) -> str:
    """One section of the page: the question, the answer, the command, what ran on what and how long, links, notes."""
    record = read_provenance(folder)
    place = folder.relative_to(results).as_posix()
    links = ", ".join(
        f"[{path.name}]({place}/{path.name})"
        for path in sorted(folder.iterdir())
        if path.suffix in (".md", ".html", ".csv")
    )
    picture = f"![{record['question']}]({place}/figure.png)\n\n" if (folder / "figure.png").exists() else ""
    return (
        f"## {place}\n\n{record['question']}\n\n{record['answer']}\n\n{picture}"
        f"    {_command(record)}\n\n{_facts(record)} {links}\n{_note(folder)}"
    )


def _facts(record: dict[str, Any]) -> str:
    """Numbers of rows and seeds, hardware, time, versions and commits; those that the rows do not have are left out."""
    about = record["rows"]
    seeds = len(about.get("seed") or ())
    counts = (
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((about["count"], "row"), (seeds, "seed"))
        if count
    )
    parts = [
        ", ".join(counts),
        "; ".join(about["hardware"]),
        f"{about['wall_s'] / 3600:.2g} h of training in all, one process after the other" if about["wall_s"] else "",
        f"torch {', '.join(about['torch'])}",
        f"commit {', '.join(short_commit(commit) for commit in about['commit'])}",
        record["date"][:10],
    ]
    return "; ".join(part for part in parts if part) + "."


def _note(folder: Path) -> str:
    """What a person wrote beside the evidence; its links to other evidence, from two folders down, are made to fit."""
    path = folder / "NOTES.md"
    return f"\n{path.read_text().strip().replace('](../../', '](')}\n" if path.exists() else ""


def _command(record: dict[str, Any]) -> str:
    """What to type; a time budget says when to pause and not what is asked for, and is left out."""
    return re.sub(r" --time_budget[= ]\S+", "", shlex.join(map(str, record["command"])))


def catalogue(results: Path) -> str:
    """The text of `results/README.md`, from the folders in it that hold a provenance.json, by name."""
    folders = sorted(path.parent for path in results.glob("*/*/provenance.json"))
    return "\n".join([LEAD, *(entry(folder, results) for folder in folders)])


def with_evidence(readme: str, root: Path) -> str:
    """`readme` with its marked blocks made anew.

    `<!-- table: results/x/y -->` becomes table, command and circumstances of that folder, `<!-- answers: results/x/y
    results/x/z -->` a line for each folder; both end with `<!-- end -->`.
    """

    def shown(found: re.Match[str]) -> str:
        kind, places = found[1], found[2].split()
        text = "".join({"table": _table, "answers": _answer}[kind](root / place) for place in places)
        return f"<!-- {kind}: {found[2]} -->\n{text}<!-- end -->"

    return MARKED.sub(shown, readme)


def _table(folder: Path) -> str:
    record = read_provenance(folder)
    return f"{(folder / 'table.md').read_text().strip()}\n\n    {_command(record)}\n\n{_facts(record)}\n"


def _answer(folder: Path) -> str:
    """A list item; the link leads to the section in `results/README.md`, whose anchor GitHub makes of its title."""
    place = f"{folder.parent.name}/{folder.name}"
    answer = " ".join(read_provenance(folder)["answer"].split())
    return f"- [{place}](results/README.md#{place.replace('/', '')}): {answer}\n"


def main(root: Path = Path()) -> None:
    """Write both pages in the checkout at `root`."""
    write_text(root / "results" / "README.md", catalogue(root / "results"))
    readme = root / "README.md"
    write_text(readme, with_evidence(readme.read_text(), root))


if __name__ == "__main__":
    main()
