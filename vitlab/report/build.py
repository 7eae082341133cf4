"""From result rows to evidence: frames of intervals for tables, and charts.

    pivot(rows, "model", "train_images")                  a frame of intervals of `score`
    gap_row(rows, first, second, "train_images")          one more row for it: first - second, seed by seed
    scaling_table(name, rows, "train_images")             both, with parameters and FLOPs, as a Table
    curves(rows, x="shots", panel="data.name", ...)       a Chart of lines, a panel for each set
    curves_and_gaps(rows, x="train_images", ...)          a column for each model size, the gap of each pair below
    bars(rows, category="step", ...), dots(rows, x=, y=)   the other kinds; captions.describe(rows) says what made them

Everywhere: rows that agree in `unit` (the seed) are averaged first (draws of a seed), and what is left counts as
independent. With `accuracy` (the default) values are fractions in [0, 1], whose spread counts as no less than the
sampling error of the test images (column `images`); other quantities need `accuracy=False`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Required, TypedDict, Unpack

import pandas as pd

from vitlab.claims.interval import MISSING
from vitlab.report.averaging import SEED, averaged, check, dot_points, gap_points, interval, ordered, points
from vitlab.report.captions import cost, millions, seeds_line, with_parameters
from vitlab.report.evidence import Chart, Panel, Series, Table
from vitlab.report.families import by_family, columns, family, in_order, matched_pairs, size
from vitlab.report.plain import number

Pairs = Sequence[tuple[str, str]]
ACROSS = 3


class Labels(TypedDict, total=False):
    """What a chart says around its panels, as in `Chart`; without a subtitle it says how many seeds there are."""

    title: Required[str]
    ylabel: Required[str]
    xlabel: str
    subtitle: str
    log_x: bool
    scale: float
    x_scale: float
    digits: int
    same_y: bool


def pivot(
    rows: pd.DataFrame,
    index: str | Sequence[str],
    columns: str,
    value: str = "score",
    *,
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
) -> pd.DataFrame:
    """Intervals of `value`: a row for each combination of the `index` columns, a column for each value of `columns`.

    Models are in the order of families and sizes, numbers rise, everything else is as it first occurs. Cells without
    rows hold `MISSING`. Raises ValueError for unknown columns, no rows, and accuracies outside of [0, 1].
    """
    index = [index] if isinstance(index, str) else list(index)
    keys = [*index, columns]
    check(rows, *keys, value)
    rows = rows.dropna(subset=[value])
    order = {name: [*ordered(rows[name]), *(["–"] if rows[name].isna().any() else [])] for name in keys}
    rows = rows.assign(**{name: rows[name].astype(object).where(rows[name].notna(), "–") for name in keys})
    behind = dict(list(rows.groupby(keys)))
    runs = averaged(rows, keys, value, unit)
    cells = {key: interval(group, behind[key], value, accuracy) for key, group in runs.groupby(keys)}
    heads = sorted(
        dict.fromkeys(key[:-1] for key in cells),
        key=lambda head: [order[name].index(part) for name, part in zip(index, head, strict=True)],
    )
    data = [[cells.get((*head, column), MISSING) for column in order[columns]] for head in heads]
    made = pd.MultiIndex.from_tuples(heads, names=index)
    made = made if len(index) > 1 else made.get_level_values(0)
    return pd.DataFrame(data, index=made, columns=order[columns], dtype=object)


def gap_row(
    rows: pd.DataFrame,
    first: str,
    second: str,
    columns: str,
    value: str = "score",
    *,
    by: str = "model",
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
) -> pd.DataFrame:
    """`first` - `second` (values of column `by`), seed by seed: a frame of one row to be put below `pivot`'s.

    Its label is "first − second"; give it to `Table(signed=...)`. Raises ValueError if one of the two has no rows.
    """
    found = gap_points(rows, first, second, columns, value, by=by, unit=unit, accuracy=accuracy)
    label = pd.Index([f"{first} − {second}"], name=by)
    return pd.DataFrame([[point.interval for point in found]], index=label, columns=[point.x for point in found])


def scaling_table(
    name: str,
    rows: pd.DataFrame,
    columns: str,
    value: str = "score",
    *,
    by: str = "model",
    pairs: Pairs | None = None,
    caption: str = "",
    unit: Sequence[str] = SEED,
) -> Table:
    """Accuracy of each model against `columns`, its parameters and FLOPs, then a row of gaps for each of `pairs`.

    By default a pair is the ViT and the ResNet of one size. With `by` the rows are of other things than models (whose
    parameters are the same). Raises ValueError as `pivot`.
    """
    frame = pivot(rows, by, columns, value, unit=unit)
    costs = {"parameters (M)": "parameters", "train MFLOPs/image": "train_flops_per_image"} if by == "model" else {}
    costs = {title: column for title, column in costs.items() if column in rows and rows[column].notna().any()}
    for i, (title, column) in enumerate(costs.items()):
        frame.insert(i, title, [cost(rows, model, column) for model in frame.index])
    signed = []
    for first, second in matched_pairs(frame.index) if pairs is None else pairs:
        ((label, cells),) = gap_row(rows, first, second, columns, value, by=by, unit=unit).iterrows()
        frame.loc[label] = ["" if title in costs else cells.get(title, MISSING) for title in frame.columns]
        signed.append(label)
    return Table(name, frame, caption, signed=tuple(signed))


def curves(
    rows: pd.DataFrame,
    *,
    x: str,
    y: str = "score",
    series: str = "model",
    panel: str = "",
    names: Sequence[str] = (),
    first: str = "",
    references: Mapping[str, float] | None = None,
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
    **labels: Unpack[Labels],
) -> Chart:
    """`y` against `x`: a line for each value of `series`, a panel for each value of `panel` (`first` comes first).

    `names` chooses and orders the series; `references` are horizontal lines by label, in the unit of `y`. Raises
    ValueError as `pivot`.
    """
    lines = tuple((references or {}).items())
    found = [
        Panel(_series(part, x, y, series, names, unit, accuracy), number(name), references=lines)
        for name, part in sorted(_panels(rows, panel).items(), key=lambda item: item[0] != first)
    ]
    about = {"subtitle": seeds_line(rows, unit), **labels}
    return Chart(panels=_grid(_named(found)), **about)  # type: ignore[arg-type]


def curves_and_gaps(
    rows: pd.DataFrame,
    *,
    x: str,
    y: str = "score",
    pairs: Pairs | None = None,
    unit: Sequence[str] = SEED,
    **labels: Unpack[Labels],
) -> Chart:
    """Accuracy against `x` (on a log scale) for each model, and below it the gap of each pair in points.

    A pair is a ViT and a ResNet of one size unless `pairs` says otherwise. Several families in several sizes get a
    column for each size, all on one scale. Raises ValueError as `pivot`.
    """
    check(rows, "model")
    models = in_order(rows["model"])
    pairs = matched_pairs(models) if pairs is None else pairs
    upper, lower = [], []
    for heading, shown in columns(models, pairs):
        some = rows[rows["model"].isin(shown)]
        named = by_family(shown) if heading else {name: with_parameters(rows, name) for name in shown}
        lines = _series(some.replace({"model": named}), x, y, "model", list(named.values()), unit, True)
        upper += _named([Panel(lines, f"{heading}, {millions(some)}" if heading else "")])
        own = [pair for pair in pairs if set(pair) <= set(shown)]
        if own:
            said = _difference([(named[one], named[other]) for one, other in own]) if heading else ""
            lower.append(gap_panel(some, own, x=x, y=y, unit=unit, title=said))
    panels = (tuple(upper), tuple(lower)) if lower else (tuple(upper),)
    about = {"subtitle": seeds_line(rows, unit), "log_x": True, "same_y": True, **labels}
    return Chart(panels=panels, **about)  # type: ignore[arg-type]


def gap_panel(
    rows: pd.DataFrame,
    pairs: Pairs,
    *,
    x: str,
    y: str = "score",
    by: str = "model",
    title: str = "",
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
) -> Panel:
    """The gap of each pair against `x`, to be put below a panel of curves; its title says what is subtracted."""
    found = []
    sizes = [size(one) if size(one) == size(other) else "" for one, other in pairs]
    alike = len(pairs) > 1 and len({(family(one), family(other)) for one, other in pairs}) == 1
    for (one, other), scale in zip(pairs, sizes, strict=True):
        # A size names a pair where it tells it from the others.
        name = scale if alike and scale and sizes.count(scale) == 1 else f"{one} − {other}"
        found.append(Series(name, gap_points(rows, one, other, x, y, by=by, unit=unit, accuracy=accuracy)))
    return Panel(tuple(found), title or _difference(pairs), "gap (points)", gap=True)


def bars(
    rows: pd.DataFrame,
    *,
    category: str,
    y: str = "score",
    series: str = "",
    panel: str = "",
    order: Sequence[str] = (),
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
    **labels: Unpack[Labels],
) -> Chart:
    """A bar of the mean of `y` for each `category` (in `order`, or in that of `pivot`), side by side for each `series`.

    Raises ValueError as `pivot`.
    """
    check(rows, category)
    rows = pd.concat([rows[rows[category] == name] for name in order or ordered(rows[category])])
    rows = rows.assign(_category=rows[category].map(number))
    found = [
        Panel(_series(part, "_category", y, series, (), unit, accuracy), str(name))
        for name, part in _panels(rows, panel).items()
    ]
    about = {"subtitle": seeds_line(rows, unit, dots=False), **labels}
    return Chart(panels=_grid(_named(found)), kind="bar", **about)  # type: ignore[arg-type]


def dots(
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    series: str = "model",
    panel: str = "",
    unit: Sequence[str] = SEED,
    **labels: Unpack[Labels],
) -> Chart:
    """A dot for each seed at two accuracies of the same weights, a panel for each value of `panel`.

    Raises ValueError for unknown columns and no rows.
    """
    check(rows, x, y, series, *unit)
    rows = rows.dropna(subset=[x, y])
    found = []
    for name, part in _panels(rows, panel).items():
        own = {of: part[part[series] == of] for of in ordered(part[series])}
        found.append(Panel(tuple(Series(str(of), dot_points(some, x, y, unit)) for of, some in own.items()), str(name)))
    return Chart(panels=_grid(found), kind="dots", **{"x_scale": 100.0, **labels})  # type: ignore[arg-type]


def _panels(rows: pd.DataFrame, panel: str) -> dict[Any, pd.DataFrame]:
    """The rows of each panel; all of them where there is one."""
    if not panel:
        return {"": rows}
    check(rows, panel)
    return {name: rows[rows[panel] == name] for name in ordered(rows[panel])}


def _named(panels: Sequence[Panel]) -> list[Panel]:
    """A panel without a title has the name of its only series there: alone it has no legend."""
    return [
        replace(panel, title=panel.series[0].name) if len(panel.series) == 1 and not panel.title else panel
        for panel in panels
    ]


def _grid(panels: Sequence[Panel]) -> tuple[tuple[Panel, ...], ...]:
    """Panels in rows of at most `ACROSS`."""
    across = 2 if len(panels) == 4 else ACROSS
    return tuple(tuple(panels[at : at + across]) for at in range(0, len(panels), across))


def _series(
    rows: pd.DataFrame, x: str, y: str, series: str, names: Sequence[str], unit: Sequence[str], accuracy: bool
) -> tuple[Series, ...]:
    """A series for each value of the column `series` (of `names`, if given), or a single one without a name."""
    if not series:
        return (Series("", points(rows, x, y, unit, accuracy)),)
    check(rows, x, y, series, *unit)
    rows = rows.dropna(subset=[y])
    present = ordered(rows[series])
    chosen = [name for name in names if name in present] if names else present
    return tuple(Series(str(name), points(rows[rows[series] == name], x, y, unit, accuracy)) for name in chosen)


def _difference(pairs: Pairs) -> str:
    """What is subtracted from what, where one thing can be said of all pairs."""
    said = {" − ".join(map(family, pair) if len(pairs) > 1 else pair) for pair in pairs}
    return f"gap: {said.pop()}" if len(said) == 1 else "gap"
