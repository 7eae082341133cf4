"""A Table as Markdown, for the terminal, as LaTeX, CSV and HTML; whatever comes from rows is escaped."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from vitlab.claims.interval import Interval
from vitlab.report.evidence import Table
from vitlab.report.plain import number

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# What would be markup: signs, underscores at the ends of words, entities, the middle of a link, a line's first sign.
MARKDOWN = re.compile(r"[\\`*<|~]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)|(?<=\])\(|^[#>]")
SENTENCE = 30  # letters; a column with longer cells is one of sentences
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"${sign}$" for sign in "<>|"},  # other signs in LaTeX's first fonts
    "–": "--",
    "−": "$-$",
    "²": "$^2$",
    "×": r"$\times$",
}


def markdown_text(text: str) -> str:
    """Text as Markdown shows it: no markup, no HTML, one line."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def markdown_rows(titles: Sequence[str], left: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already; ends in a newline."""
    rule = ["---" if words else "---:" for words in left]
    return "".join(f"| {' | '.join(line)} |\n" for line in (titles, rule, *rows))


def to_markdown(table: Table) -> str:
    """The table in Markdown, its caption below as a line of its own; ends in a newline."""
    cells = [[markdown_text(cell) for cell in row] for row in (table.titles, *table.text())]
    caption = f"\n{markdown_text(table.caption)}\n" if table.caption else ""
    return markdown_rows(cells[0], table.left, cells[1:]) + caption


def to_rich(table: Table) -> RichTable:
    """The table for rich's console, its caption below; rows of gaps are bold."""
    from rich import box
    from rich.markup import escape as plain
    from rich.table import Table as RichTable

    made = RichTable(box=box.SIMPLE_HEAD, caption=plain(table.caption) or None, caption_justify="left")
    for title, words in zip(table.titles, table.left, strict=True):
        made.add_column(plain(title), justify="left" if words else "right")
    for row in table.text():
        bold = set(row[: len(table.heads)]) & set(table.signed)
        made.add_row(*map(plain, row), style="bold" if bold else None)
    return made


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped, a proper minus, and no bracket or star for a line break to take."""
    text = "".join(LATEX.get(sign, sign) for sign in text)
    return re.sub(r"^(\s*)([\[*])", r"\1{\2}", re.sub(r"(?<![\w.-])-(?=\d)", "$-$", text))


def to_latex(table: Table) -> str:
    """A `table` float for `booktabs`, gaps set apart by a rule, labelled `tab:<name>`; ends in a newline.

    With columns of sentences it is a `tabularx`: their lines break, and they share what the others leave of the line.
    """
    rows = table.text()
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    gaps = [i for i, row in enumerate(rows) if set(row[: len(table.heads)]) & set(table.signed)]
    if gaps:
        lines.insert(gaps[0], r"\midrule")
    kind, columns = _latex_columns(table.left, rows)
    width = r"{\linewidth}" if kind == "tabularx" else ""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(table.caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9:-]+', '-', table.name)}}}",
            rf"\begin{{{kind}}}{width}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.titles)) + r" \\",
            r"\midrule",
            *lines,
            f"\\bottomrule\n\\end{{{kind}}}\n\\end{{table}}\n",
        ]
    )


def _latex_columns(left: Sequence[bool], rows: Sequence[Sequence[str]]) -> tuple[str, str]:
    """The environment, and its columns: X for sentences, l for other words, r for numbers."""
    longest = [max(map(len, cells)) for cells in zip(*rows, strict=True)] or [0] * len(left)
    columns = ["Xl"[letters <= SENTENCE] if words else "r" for words, letters in zip(left, longest, strict=True)]
    return "tabularx" if "X" in columns else "tabular", "".join(columns)


def to_csv(table: Table) -> str:
    """The values unrounded; a column of intervals becomes four: its title, and that with low, high and n."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [list(table.frame.iloc[:, i]) for i in range(table.frame.shape[1])]
    wide = [any(isinstance(cell, Interval) for cell in column) for column in columns]
    titles = [table.heads]
    for title, parts in zip(map(number, table.frame.columns), wide, strict=True):
        titles.append([title, f"{title} low", f"{title} high", f"{title} n"] if parts else [title])
    writer.writerow(sum(titles, []))
    for row, cells in zip(table.text(), zip(*columns, strict=True), strict=True):
        values = [_values(cell, parts) for cell, parts in zip(cells, wide, strict=True)]
        writer.writerow([*row[: len(table.heads)], *sum(values, [])])
    return out.getvalue()


def _values(cell: object, wide: bool) -> list[str]:
    if isinstance(cell, Interval):
        return [*("" if part != part else repr(float(part)) for part in (cell.mean, cell.low, cell.high)), str(cell.n)]
    return ["" if cell is None or cell != cell else str(cell), *([""] * 3 if wide else [])]


def to_html(table: Table) -> str:
    """The table with its caption; leading columns are headers of their rows, numbers have class `n`."""
    left, heads = table.left, max(1, len(table.heads))

    def line(cells: Sequence[str], header: bool) -> str:
        made = []
        for i, cell in enumerate(cells):
            tag, scope = ("th", "col") if header else ("th", "row") if i < heads else ("td", "")
            about = (f' scope="{scope}"' if scope else "") + ("" if left[i] else ' class="n"')
            made.append(f"<{tag}{about}>{escape(cell)}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    body = "\n".join(line(row, False) for row in table.text())
    caption = f"<caption><span>{escape(table.caption)}</span></caption>" if table.caption else ""
    head = f"<thead>{line(table.titles, True)}</thead>"
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(table.name)}">'
    return f'{scroll}<table class="data">{caption}{head}<tbody>\n{body}\n</tbody></table></div>'
