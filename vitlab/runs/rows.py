"""Rows that say all of their run: its settings, flattened under fixed names, and the way back from a row to its Run.

`recipe.lr`, `data.train_size`, `task.ratio`, `options.pooling`: a new setting is a new column by itself. A column that
older rows lack holds the setting's default, which means what was done before the setting existed. Nothing here imports
torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from vitlab.errors import suggest
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import TASKS, Recipe, task_name

if TYPE_CHECKING:
    import pandas as pd

PARTS: dict[str, type] = {"data": Data, "recipe": Recipe}
PLAIN = ("model", "seed", "snapshots")
CONTENT = "init_fingerprint"
INIT = "init."  # before the columns of the run that a row's run starts from
OPTION = "options."


def flat(run: Run) -> dict[str, Any]:
    """The run's settings as columns, defaults included; tuples are words joined by spaces, no value is None."""
    parts = {name: _flat(name, getattr(run, name)) for name in (*PARTS, "task")}
    return {
        **{name: getattr(run, name) for name in PLAIN},
        "init": run.init.id if isinstance(run.init, Run) else run.init,
        **({CONTENT: run.init_fingerprint} if run.init_fingerprint else {}),
        **parts["data"],
        **parts["recipe"],
        "task.kind": task_name(run.task),
        **parts["task"],
        **{OPTION + name: _text(value) for name, value in run.options},
    }


def _flat(part: str, value: Any) -> dict[str, Any]:
    kind: type = type(value)
    return {f"{part}.{name}": _text(getattr(value, name)) for name in _hints(kind)}


def _text(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The type of each setting of a part that is part of the run's identity."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.metadata.get("identity", True)}


@cache
def text_columns() -> frozenset[str]:
    """Columns that are text whatever they look like: words, and lists of numbers such as the shots `5`."""
    parts = {**PARTS, **{f"task {name}": kind for name, kind in TASKS.items()}}
    found = {"model", "init", CONTENT, "task.kind"}
    for part, kind in parts.items():
        for name, hint in _hints(kind).items():
            kinds = {typing.get_origin(hint), hint, *typing.get_args(hint)}
            if kinds & {str, tuple, typing.Literal}:
                found.add(f"{part.partition(' ')[0]}.{name}")
    return frozenset(found)


@cache
def defaults() -> dict[str, Any]:
    """Column and default of every setting that has one, of all tasks."""
    run = Run("", Data(""))
    found = {name: value for name, value in flat(run).items() if not name.startswith("task.")}
    for kind in TASKS.values():
        found |= _flat("task", kind())
    return {name: value for name, value in found.items() if value is not None}


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the columns of settings that did not exist yet when they were made, at their defaults."""
    import pandas as pd

    if "task.kind" not in rows.columns:  # measurements that are not of runs
        return rows
    missing: dict[str, pd.Series] = {}
    for name, value in defaults().items():
        if name not in rows.columns:
            part, _, setting = name.partition(".")
            of_task = {task: value for task, kind in TASKS.items() if part == "task" and setting in _hints(kind)}
            column = rows["task.kind"].map(of_task) if of_task else pd.Series(value, index=rows.index)
            missing |= {name: column} if column.notna().any() else {}
    return rows.assign(**missing)


def with_init(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the columns of the run that each starts from, as `init.data.name`, empty where there is none.

    They come from that run's own rows (those of its test split, where it has several).
    """
    first = rows.sort_values("split", kind="stable") if "split" in rows.columns else rows
    first = first.drop_duplicates("run").set_index("run").add_prefix(INIT)
    keys = rows["init"].astype(object)  # a column without any run to start from would count as numbers
    return rows.assign(init=keys).join(
        first.drop(columns=f"{INIT}init").set_axis(first.index.astype(object)), on="init"
    )


def labelled(rows: pd.DataFrame, column: str, named: Mapping[str, Run], *, aside: Collection[str] = ()) -> pd.DataFrame:
    """The rows whose settings are those of a run in `named`, with its name in `column`.

    Data, seed and init count for nothing, nor do the columns that `aside` names.
    """
    import pandas as pd

    found = pd.Series(pd.NA, index=rows.index, dtype=object)
    for name, run in named.items():
        wanted = {key: value for key, value in flat(run).items() if not key.startswith("data.")}
        wanted |= dict.fromkeys(key for key in rows.columns if key.startswith(OPTION) and key not in wanted)
        same = pd.Series(True, index=rows.index)
        for key in wanted.keys() - {"seed", "init", CONTENT, *aside}:
            cells = rows[key] if key in rows.columns else pd.Series(None, index=rows.index, dtype=object)
            same &= (cells.isna() | (cells == "")) if _empty(wanted[key]) else cells == wanted[key]
        found = found.where(~same, name)
    return rows.assign(**{column: found}).dropna(subset=[column])


def by_start(rows: pd.DataFrame, column: str, named: Mapping[str, Run]) -> pd.DataFrame:
    """The rows with the name in `named` of their run, or else of the run that they start from, in `column`.

    Where several names are of equal settings, a row stands there once for each; others have an empty cell.
    """
    import pandas as pd

    known = pd.concat([labelled(rows, column, {name: run}) for name, run in named.items()])
    known = known[["run", column]].drop_duplicates().set_index("run")
    keys = rows["run"].where(rows["run"].isin(known.index), rows["init"])
    return rows.join(known, on=keys).reset_index(drop=True)


def run_of(
    row: Mapping[str, Any], rows: Iterable[Mapping[str, Any]] = (), sources: Mapping[str, str] | None = None
) -> Run:
    """The Run whose settings a row holds; `rows` hold the runs that it starts from, `sources` say where data is.

    Raises:
        ValueError: if settings are missing, unknown or of a wrong kind, or are not those of the row's run.
    """
    return _run_of(row, {other["run"]: other for other in rows}, sources or {})


def _run_of(row: Mapping[str, Any], by_run: Mapping[str, Mapping[str, Any]], sources: Mapping[str, str]) -> Run:
    kind = row.get("task.kind")
    if kind not in TASKS:
        raise ValueError(f"A row has the task {kind!r}; allowed: {', '.join(TASKS)}.{suggest(str(kind), TASKS)}")
    parts = {name: _part(row, name, of) for name, of in {**PARTS, "task": TASKS[kind]}.items()}
    name = parts["data"].name.partition("@")[0]
    init: Any = row.get("init")
    if init in by_run:
        init = _run_of(by_run[init], by_run, sources)
    run = Run(
        str(row["model"]),
        dataclasses.replace(parts["data"], source=sources.get(name, name)),
        parts["recipe"],
        parts["task"],
        int(row["seed"]),
        None if _empty(init) else init,
        snapshots=int(row.get("snapshots") or 0),
        init_fingerprint="" if _empty(row.get(CONTENT)) else str(row[CONTENT]),
    )
    return _with_options(run, row)


def _with_options(run: Run, row: Mapping[str, Any]) -> Run:
    """`run` with the row's model options, of the types and in the order that give the row's identity."""
    cells = {name[len(OPTION) :]: value for name, value in row.items() if name.startswith(OPTION) and not _empty(value)}
    for values in itertools.product(*map(_options, cells.values())):
        for order in itertools.permutations(zip(cells, values, strict=True)):
            found = dataclasses.replace(run, options=order)
            if row.get("run") in (None, found.id):
                return found
    raise ValueError(f"The settings in the row of run {row['run']} are not those of that run: the row was altered.")


def _part(row: Mapping[str, Any], part: str, kind: type) -> Any:
    """One part of a Run from its columns; a missing one leaves the default."""
    given = {name: row.get(f"{part}.{name}") for name in _hints(kind)}
    return kind(
        **{
            name: _typed(f"{part}.{name}", value, _hints(kind)[name])
            for name, value in given.items()
            if not _empty(value)
        }
    )


def _empty(value: Any) -> bool:
    return value is None or value != value or value == ""


def _typed(name: str, value: Any, hint: Any) -> Any:
    """A cell as the setting's type: CSV knows only text and numbers."""
    options = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    try:
        if typing.get_origin(hint) is tuple:
            return tuple(options[0](word) for word in str(value).split())
        if typing.get_origin(hint) is typing.Literal:
            return str(value)
        kind = options[0] if options else hint
        if kind is bool:
            return {"True": True, "False": False}[str(value)]
        return int(float(value)) if kind is int else kind(value)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name} is {value!r} in a row, which is no {hint}.") from None


def _options(cell: Any) -> list[Any]:
    """What a model option may have been, the likeliest first: its cell has lost the type, and may be one of a tuple."""
    if isinstance(cell, str):
        truth = {"True": [True], "False": [False]}.get(cell, [])
        words = cell.split()
        numbers = [tuple(map(int, words))] if all(word.lstrip("-").isdecimal() for word in words) else []
        return [*truth, cell, *numbers]
    number = float(cell)
    whole = [int(number)] if number.is_integer() else []
    return [*whole, number, *([bool(number)] if number in (0, 1) else []), *((one,) for one in whole)]
