"""The pages that lead to the evidence: `results/README.md`, and the first table of the project's README.

    python -m vitlab.report.catalogue        # writes both anew from what is stored in results/

Both are made of stored files alone, so that no number is typed in.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vitlab.report.files import write_text
from vitlab.report.provenance import read_provenance

MARKED = re.compile(r"(<!-- (results/\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
LEAD = """# Results

What real runs gave. Each folder holds `rows.csv` (a flat row per run: the evidence), `table.md` and figures (made from
the rows, made again by the command with `--redraw`) and `provenance.json` (settings, versions, hardware, commit;
`--config` asks for the same again). Intervals: 95%, over seeds. `python -m vitlab.report.catalogue` writes this page.
"""


def entry(folder: Path, results: Path) -> str:
    """One section of the page: the question, the command, what ran on what and how long, the answer, links."""
    record = read_provenance(folder)
    about = record["rows"]
    place = folder.relative_to(results).as_posix()
    seeds = len(about.get("seed") or ())
    hours = (about.get("wall_s") or 0) / 3600
    facts = (
        f"{about['count']} rows, {seeds} seed{'s' if seeds != 1 else ''}; {'; '.join(about['hardware'])}; "
        f"{hours:.2g} h of training in all, one process after the other; torch {', '.join(about['torch'])}; "
        f"commit {', '.join(str(commit)[:12] for commit in about['commit'])}; {record['date'][:10]}."
    )
    links = ", ".join(
        f"[{path.name}]({place}/{path.name})"
        for path in sorted(folder.iterdir())
        if path.suffix in (".md", ".html", ".csv")
    )
    picture = f"![{record.get('question', place)}]({place}/figure.png)\n\n" if (folder / "figure.png").exists() else ""
    command = " ".join(_word(word) for word in record["command"])
    return (
        f"## {place}\n\n{record.get('question', '')}\n\n{record.get('answer', '')}\n\n{picture}"
        f"    {command}\n\n{facts} {links}\n{_note(folder)}"
    )


def _note(folder: Path) -> str:
    """What a person wrote beside the evidence; its links to other evidence, from two folders down, are made to fit."""
    path = folder / "NOTES.md"
    return f"\n{path.read_text().strip().replace('](../../', '](')}\n" if path.exists() else ""


def _word(word: Any) -> str:
    text = str(word)
    return f"'{text}'" if " " in text else text


def catalogue(results: Path) -> str:
    """The text of `results/README.md`, from the folders in it that hold a provenance.json, by name."""
    folders = sorted(path.parent for path in results.glob("*/*/provenance.json"))
    return "\n".join([LEAD, *(entry(folder, results) for folder in folders)])


def with_tables(readme: str, root: Path) -> str:
    """`readme` with each block between `<!-- results/... -->` and `<!-- end -->` replaced by the file that it names."""
    return MARKED.sub(lambda found: f"{found[1]}{(root / found[2]).read_text().strip()}\n{found[3]}", readme)


def main(root: Path = Path()) -> None:
    """Write both pages in the checkout at `root`."""
    write_text(root / "results" / "README.md", catalogue(root / "results"))
    readme = root / "README.md"
    write_text(readme, with_tables(readme.read_text(), root))


if __name__ == "__main__":
    main()
