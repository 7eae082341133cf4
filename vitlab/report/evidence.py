"""Evidence as typed plain data: what a study found, complete enough that every rendering is made from it alone.

    Evidence(verdicts, tables, figures)     kept as evidence.json: `dumps()` and `Evidence.loads(text)`
    Table(name, frame, caption)             a DataFrame whose cells are Interval, int, float or text
    Chart(title, panels, ...)               rows of Panels, each of Series, each of Points

`build.py` makes frames and charts from result rows. `tables.py`, `verdicts.py`, `draw.py` and `interactive.py` render
them: Markdown, rich, LaTeX, CSV and HTML; PNG and PDF; plotly's JSON.

All values are kept as they were measured (accuracies in [0, 1]); `scale` and `digits` say how to show them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pandas as pd

from vitlab.claims.interval import Interval
from vitlab.report.plain import NothingToShow, number, to_cell, to_float, to_interval, to_plain

if TYPE_CHECKING:
    from vitlab.claims.claim import Verdict

Cell: TypeAlias = Interval | int | float | str
Kind = Literal["line", "bar", "dots"]
WORDS = {"title": "data set", "train_images": "training images"}  # for columns of rows that lead a table


@dataclass(frozen=True)
class Format:
    """How to show a number: times `scale` (100: percent, or points), with so many digits, with a sign or without."""

    digits: int = 1
    scale: float = 100.0
    sign: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """A named table: `frame` with its index as the leading columns (a plain RangeIndex is not shown).

    Intervals are shown by `digits`, `scale` and `sign`; ints, floats and text as they are. `signed` names rows whose
    intervals show their sign (gaps). `formats` overrides both by the title of a column or a label of a row (the row
    counts), there for plain numbers too.
    """

    name: str
    frame: pd.DataFrame
    caption: str = ""
    digits: int = 1
    scale: float = 100.0
    sign: bool = False
    signed: tuple[str, ...] = ()
    formats: Mapping[str, Format] = field(default_factory=dict)

    @property
    def heads(self) -> list[str]:
        """Titles of the leading columns, which say what a row is."""
        hidden = isinstance(self.frame.index, pd.RangeIndex) and self.frame.index.name is None
        return [] if hidden else [WORDS.get(str(name), str(name or "")) for name in self.frame.index.names]

    @property
    def titles(self) -> list[str]:
        """Titles of all columns."""
        return [*self.heads, *map(number, self.frame.columns)]

    @property
    def left(self) -> list[bool]:
        """Which columns are words (the leading ones, and those that are text throughout); others are numbers."""
        columns = (self.frame.iloc[:, i] for i in range(self.frame.shape[1]))
        return [True] * len(self.heads) + [all(isinstance(cell, str) for cell in column) for column in columns]

    def text(self) -> list[list[str]]:
        """Every row as text, the leading columns first."""
        titles, shown = [number(column) for column in self.frame.columns], []
        for key, cells in zip(self.frame.index, self.frame.to_numpy(dtype=object), strict=True):
            labels = [number(part) for part in (key if isinstance(key, tuple) else (key,))][: len(self.heads)]
            row = [self._show(cell, labels, title) for title, cell in zip(titles, cells, strict=True)]
            shown.append([*labels, *row])
        return shown

    def _show(self, cell: Cell, labels: Sequence[str], title: str) -> str:
        own = next((self.formats[name] for name in (*labels, title) if name in self.formats), None)
        how = own or Format(self.digits, self.scale, self.sign or bool(set(labels) & set(self.signed)))
        if isinstance(cell, Interval):
            return cell.format(**asdict(how))
        if own is None or isinstance(cell, str) or cell is None or math.isnan(cell):
            return number(cell)
        return f"{cell * how.scale:{'+' if how.sign else ''},.{how.digits}f}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        index = self.frame.index
        heads = [list(key) if isinstance(key, tuple) else [key] for key in index] if self.heads else None
        return to_plain(
            {
                **{name: value for name, value in vars(self).items() if name != "frame"},
                "heads": self.heads,
                "index": heads,
                "columns": list(self.frame.columns),
                "cells": self.frame.to_numpy(dtype=object).tolist(),
            }
        )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Table:
        """The table of `to_json`."""
        heads, keys = plain["heads"], [tuple(key) for key in plain["index"] or ()]
        index: pd.Index | None = None
        if len(heads) == 1:
            index = pd.Index([key[0] for key in keys], name=heads[0])
        elif heads:
            index = pd.MultiIndex.from_tuples(keys, names=heads)
        cells = [[to_cell(cell) for cell in row] for row in plain["cells"]]
        rest = {name: plain[name] for name in ("name", "caption", "digits", "scale", "sign")}
        formats = {name: Format(**how) for name, how in plain["formats"].items()}
        frame = pd.DataFrame(cells, index=index, columns=plain["columns"], dtype=object)
        return cls(frame=frame, signed=tuple(plain["signed"]), formats=formats, **rest)


@dataclass(frozen=True)
class Point:
    """A value over seeds at `x` (a number, or the text of a category); `seeds`: each one's label and value."""

    x: float | str
    interval: Interval
    seeds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Series:
    """Points under one name in the legend; the name of a model gives its family's colour."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """Series on one pair of axes.

    `gap`: the series are differences, drawn in ink with a line at zero; `references`: horizontal lines by label;
    `ylabel`: where it differs from the chart's.
    """

    series: tuple[Series, ...]
    title: str = ""
    ylabel: str = ""
    gap: bool = False
    references: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Chart:
    """A figure: rows of panels with common axes below a title.

    `kind`: "line" joins the means, with a band for the interval and a dot for each seed; "bar" has a horizontal bar
    for each text `x`, with whiskers; "dots" has a mark for each point, nothing joined. `xlabel` names the `x` of
    points and `ylabel` their values, however they are drawn. `x_scale` multiplies `x` (100 where it is an accuracy).
    `same_y`: panels of one row have one scale.
    """

    title: str
    panels: tuple[tuple[Panel, ...], ...]
    xlabel: str = ""
    ylabel: str = ""
    subtitle: str = ""
    kind: Kind = "line"
    log_x: bool = False
    scale: float = 100.0
    x_scale: float = 1.0
    digits: int = 1
    same_y: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"A chart is one of {', '.join(get_args(Kind))}, not {self.kind!r}.")
        if not any(series.points for series in self.series):
            raise NothingToShow("There are no finished runs to draw.")

    @property
    def series(self) -> list[Series]:
        """All series, panel by panel."""
        return [series for row in self.panels for panel in row for series in panel.series]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return to_plain(vars(self))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Chart:
        """The chart of `to_json`."""
        panels = tuple(tuple(_panel(panel) for panel in row) for row in plain["panels"])
        return cls(**{**plain, "panels": panels})


@dataclass(frozen=True)
class Picture:
    """A heading for an image file, and what to see in it."""

    title: str
    caption: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the rows of a study say: verdicts of its claims, tables, and figures by file name, the main one first.

    `pictures` says what to see in image files, by name: those of `figures`, and those that are drawn of weights; a
    name is that of `name_1.png`, `name_2.png`, ... too.
    """

    verdicts: tuple[Verdict, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, Chart] = field(default_factory=dict)
    summary: str = ""
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """What it comes to, in one or two sentences; the verdicts must have been decided."""
        from vitlab.claims.sentences import answer

        said = [self.summary] * bool(self.summary) + [answer(self.verdicts)] * bool(self.verdicts)
        return " ".join(said) or "Nothing has been compared yet."

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "tables": [table.to_json() for table in self.tables],
            "figures": {name: chart.to_json() for name, chart in self.figures.items()},
            "summary": self.summary,
            "pictures": to_plain(self.pictures),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Evidence:
        """The evidence of `to_json`."""
        return cls(
            tuple(map(_verdict, plain["verdicts"])),
            tuple(Table.from_json(table) for table in plain["tables"]),
            {name: Chart.from_json(chart) for name, chart in plain["figures"].items()},
            plain["summary"],
            {name: Picture(**one) for name, one in plain.get("pictures", {}).items()},
        )

    def dumps(self) -> str:
        """The text of evidence.json: strict JSON (NaN is null), floats to the last bit."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def loads(cls, text: str) -> Evidence:
        """The evidence of `dumps`; raises ValueError for another text."""
        try:
            return cls.from_json(json.loads(text))
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"This is no evidence.json ({error!r}); make it anew with --redraw.") from None


def _verdict(plain: Mapping[str, Any]) -> Verdict:
    from vitlab.claims.claim import Verdict

    return Verdict.from_json(plain)


def _point(plain: Mapping[str, Any]) -> Point:
    seeds = tuple((str(label), to_float(value)) for label, value in plain["seeds"])
    return Point(plain["x"], to_interval(plain["interval"]), seeds)


def _panel(plain: Mapping[str, Any]) -> Panel:
    series = tuple(Series(one["name"], tuple(map(_point, one["points"]))) for one in plain["series"])
    references = tuple((str(label), to_float(value)) for label, value in plain["references"])
    return replace(Panel(series, plain["title"], plain["ylabel"], plain["gap"]), references=references)
