"""Tables of result rows, for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vitlab.report.families import in_order, matched_pairs
from vitlab.report.files import write_text
from vitlab.report.gaps import PAIR, gap_intervals, gap_values
from vitlab.report.intervals import MISSING, Bounds, bootstrap_mean
from vitlab.report.provenance import short_commit

if TYPE_CHECKING:
    from rich.table import Table as RichTable

ACCURACY: Bounds = (0.0, 1.0)


@dataclass(frozen=True)
class Table:
    """Cells as text below column titles; the first `labels` columns are left-aligned, the others right-aligned."""

    titles: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    caption: str = ""
    labels: int = 1

    def __post_init__(self) -> None:
        wrong = [row for row in self.cells if len(row) != len(self.titles)]
        if wrong:
            raise ValueError(f"A table with {len(self.titles)} columns has a row of {len(wrong[0])} cells: {wrong[0]}.")


def pivot(
    rows: pd.DataFrame,
    index: Sequence[str],
    columns: str,
    value: str,
    *,
    unit: Sequence[str] = (),
    bounds: Bounds | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Intervals of `value`: a row per combination of the `index` columns, a column per value of `columns`.

    Every row of `rows` counts as one independent run, unless `unit` names columns (such as the seed): rows that agree
    in them (draws of one seed) are averaged first. Cells without rows hold `MISSING`. Raises ValueError for unknown
    columns.
    """
    unknown = [name for name in (*index, columns, value, *unit) if name not in rows.columns]
    if unknown:
        raise ValueError(f"The rows have no column {', '.join(unknown)}; they have {', '.join(rows.columns)}.")
    keys = [*index, columns]
    if unit:
        rows = rows.groupby([*keys, *unit], dropna=False, sort=False)[value].mean().reset_index()
    cells = {
        key: bootstrap_mean(group.to_numpy(), bounds=bounds, level=level)
        for key, group in rows.groupby(keys, dropna=False, sort=False)[value]
    }
    heads = list(dict.fromkeys(key[:-1] for key in cells))
    across = sorted(dict.fromkeys(key[-1] for key in cells))
    data = [[cells.get((*head, column), MISSING) for column in across] for head in heads]
    labels = pd.MultiIndex.from_tuples(heads, names=list(index)) if len(index) > 1 else pd.Index([h[0] for h in heads])
    return pd.DataFrame(data, index=labels.rename(list(index) if len(index) > 1 else index[0]), columns=across)


def interval_table(
    cells: pd.DataFrame,
    *,
    caption: str = "",
    digits: int = 1,
    scale: float = 100.0,
    titles: Sequence[str] | None = None,
) -> Table:
    """`pivot`'s frame as a table of `52.3 [50.1, 54.4]`; `titles` names the leading columns (the index by default)."""
    names = tuple(titles) if titles else tuple(str(name) for name in cells.index.names)
    heads = [key if isinstance(key, tuple) else (key,) for key in cells.index]
    body = [tuple(cell.format(digits=digits, scale=scale) for cell in row) for row in cells.to_numpy()]
    return Table(
        titles=(*names, *(number(column) for column in cells.columns)),
        cells=tuple((*(number(part) for part in head), *row) for head, row in zip(heads, body, strict=True)),
        caption=caption,
        labels=len(names),
    )


def number(value: object) -> str:
    """Whole numbers with thousands separators, other numbers in four digits, everything else as its text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        plain = float(value)  # type: ignore[arg-type]
        return f"{int(plain):,}" if plain.is_integer() else f"{plain:.4g}"
    return str(value)


def _cost(rows: pd.DataFrame, model: str, column: str, scale: float) -> str:
    """Parameters or FLOPs of a model in millions, or a range when the rows have several."""
    if column not in rows.columns:
        return "–"
    values = sorted({float(v) / scale for v in rows.loc[rows["model"] == model, column].dropna()})
    text = list(dict.fromkeys(f"{v:.3g}" if v < 1000 else f"{v:,.0f}" for v in values))
    return "–" if not text else text[0] if len(text) == 1 else f"{text[0]}–{text[-1]}"


def scaling_table(
    rows: pd.DataFrame,
    *,
    x: str = "train_size",
    value: str = "test_best",
    pairs: Sequence[tuple[str, str]] | None = None,
    caption: str | None = None,
    unit: Sequence[str] = (),
) -> Table:
    """Accuracy (%) against `x` per model with intervals, parameters and training MFLOPs, then a row per gap in points.

    `pairs` are the (first, second) models whose difference is shown; by default the ViT and the ResNet of each size.
    Raises ValueError when `rows` is empty or lacks a column.
    """
    if rows.empty:
        raise ValueError("There are no finished runs to make a table of.")
    accuracy = pivot(rows, ["model"], x, value, bounds=ACCURACY, unit=unit)
    models = in_order(rows["model"])
    body = []
    for model in models:
        costs = (_cost(rows, model, "parameters", 1e6), _cost(rows, model, "train_flops_per_image", 1e6))
        body.append((model, *costs, *(cell.format() for cell in accuracy.loc[model])))
    for first, second in matched_pairs(models) if pairs is None else pairs:
        gaps = gap_intervals(gap_values(rows, first, second, x=x, value=value, pair=tuple(unit) or PAIR))
        shown = (gaps.get(column, MISSING).format(sign=True) for column in accuracy.columns)
        body.append((f"gap: {first} − {second}", "", "", *shown))
    titles = ("model", "parameters (M)", "train MFLOPs/image", *(number(column) for column in accuracy.columns))
    return Table(titles, tuple(body), scaling_caption(rows, x=x) if caption is None else caption)


def describe(rows: pd.DataFrame) -> str:
    """What the rows were made with, for a caption: seeds, hardware, versions, commit (each as far as known)."""
    parts = []
    for column, word in (("seed", "seeds"), ("subset_seed", "subset seeds"), ("draw", "draws")):
        if column in rows.columns and rows[column].notna().any():
            n = rows[column].nunique()
            parts.append(f"{n} {word if n > 1 else word[:-1]}")
    for column, word in (("steps", "steps"), ("epochs", "epochs"), ("precision", ""), ("hardware", "")):
        if column in rows.columns and rows[column].notna().any():
            values = [number(value) for value in sorted(rows[column].dropna().unique())]
            shown = " / ".join(values) if len(values) <= 3 else f"{values[0]} to {values[-1]}"
            parts.append(f"{shown} {word}".strip())
    for column in ("torch", "lightning", "timm", "vitlab", "commit"):
        if column in rows.columns and rows[column].notna().any():
            short = short_commit if column == "commit" else str
            parts.append(f"{column} " + " / ".join(sorted(short(value) for value in rows[column].dropna().unique())))
    return "; ".join(parts)


def scaling_caption(rows: pd.DataFrame, *, x: str = "train_size") -> str:
    """The line below `scaling_table`: what the numbers are, on which data, and what made them."""
    data = ", ".join(sorted(set(rows["data"]))) if "data" in rows.columns else "the data"
    what = (
        f"Test accuracy in % on {data} against {x.replace('_', ' ')}; mean over seeds [95% interval]; gaps in points."
    )
    made = describe(rows)
    return f"{what} {made[0].upper()}{made[1:]}." if made else what


def to_markdown(table: Table) -> str:
    """The table in Markdown (pipes escaped), its caption below as a line of its own; ends in a newline."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = ["---" if i < table.labels else "---:" for i in range(len(table.titles))]
    lines = [line(table.titles), "| " + " | ".join(rule) + " |", *(line(row) for row in table.cells)]
    return "\n".join([*lines, *(["", table.caption] if table.caption else [])]) + "\n"


def to_text(table: Table) -> str:
    """The table as aligned plain text for a terminal or a log; ends in a newline."""
    lines = [table.titles, *table.cells]
    widths = [max(len(row[i]) for row in lines) for i in range(len(table.titles))]

    def line(row: Sequence[str]) -> str:
        aligned = (
            c.ljust(w) if i < table.labels else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    rule = "  ".join("-" * width for width in widths)
    body = [line(table.titles), rule, *(line(row) for row in table.cells)]
    return "\n".join([*body, *([table.caption] if table.caption else [])]) + "\n"


def to_rich(table: Table) -> RichTable:
    """The table for rich's console, its caption below."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    made = RichTable(box=box.SIMPLE_HEAD, caption=escape(table.caption) or None, caption_justify="left")
    for i, title in enumerate(table.titles):
        made.add_column(escape(title), justify="left" if i < table.labels else "right")
    for row in table.cells:
        made.add_row(*(escape(cell) for cell in row), style="bold" if row[0].startswith("gap") else None)
    return made


def write_table(path: Path, table: Table) -> None:
    """Write the table's Markdown to `path`, whole or not at all."""
    write_text(path, to_markdown(table))
