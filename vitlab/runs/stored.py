"""`rows.csv`: the rows of a study on disk, in a stable order, read back bit for bit and never written over by less.

Large ones are compressed, as `rows.csv.gz`, which pandas reads as they are.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vitlab.files import write_changed
from vitlab.report.plain import data_title
from vitlab.runs.rows import complete, text_columns, with_init

FIRST = """run study status reason split score last_score images classes title model seed init data. options. task.
    recipe. snapshots shots draw l2 l2_choice part stage step layer head image_size train_images steps epochs best_step
    best_epoch late_gain parameters train_flops_per_image wall_s images_per_s""".split()
LAST = "hardware threads torch lightning timm vitlab commit date superseded".split()
SORTED_BY = """study task.kind data.name model init data.image_size data.train_size shots l2 recipe.lr recipe.steps seed
    draw run split""".split()
NAME, PACKED = "rows.csv", "rows.csv.gz"
MOST = 10_000  # bytes of rows that stay legible where they lie; compressed, rows are a fifteenth of that
WHOLE = "images classes seed train_images steps best_step".split()
# Read as text whatever they look like: a commit such as 12e4567 and a version such as 2.10 would pass as numbers.
TEXT = frozenset("run study status reason split title hardware torch lightning timm vitlab commit date".split())


def frame(rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a frame in the stable order: what and how good first, who made it last; sorted by what was asked for."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    table = table[sorted(table.columns, key=_rank)]
    by = [name for name in SORTED_BY if name in table.columns]
    return (table.sort_values(by, kind="stable") if by else table).reset_index(drop=True)


def _rank(column: str) -> tuple[int, str]:
    part = column if column in FIRST else column.partition(".")[0] + "."
    if column in LAST:
        return len(FIRST) + 1 + LAST.index(column), column
    return (FIRST.index(part) if part in FIRST else len(FIRST)), column


def to_csv(rows: pd.DataFrame) -> str:
    """The text of `rows.csv`: header, one line a row, floats in the shortest form that reads back to the same bits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows([_cell(value) for value in row] for row in rows.itertuples(index=False, name=None))
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)


def checksum(text: str) -> str:
    """What `provenance.json` keeps of the rows, so that a change by hand shows."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def rows_file(folder: Path) -> Path | None:
    """Where the rows of a folder are; None without any. Raises ValueError if it holds them twice."""
    found = [path for name in (NAME, PACKED) if (path := folder / name).exists()]
    if len(found) > 1:
        raise ValueError(
            f"{folder} has both {NAME} and {PACKED}, of which one is older: remove that. Its provenance.json has the "
            "checksum of the other, and a redraw says whether the right one was kept."
        )
    return found[0] if found else None


def rows_folders(results: Path, study: str = "*") -> list[Path]:
    """The folders of evidence below `results` that hold rows, of one study or of all, sorted."""
    return sorted({path.parent for name in (PACKED, NAME) for path in results.glob(f"{study}/*/{name}")})


def rows_content(folder: Path, text: str) -> tuple[str, bytes]:
    """The name and the content of the file that keeps the rows `text` in a folder.

    Compressed bytes that say the same stay as they are, since not every zlib makes the same.
    """
    content = text.encode()
    if len(content) <= MOST:
        return NAME, content
    before = folder / PACKED
    if before.exists() and _text(before) == text:
        return PACKED, before.read_bytes()
    return PACKED, gzip.compress(content, mtime=0)


def write_rows(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a folder by name, its rows among them, and remove what held the rows before."""
    write_changed({folder / name: content for name, content in files.items()})
    for name in {NAME, PACKED} - set(files):
        (folder / name).unlink(missing_ok=True)


def _text(path: Path) -> str:
    opened = gzip.open if path.name == PACKED else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            return str(file.read())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as rows: {error}.") from None


def read_rows(folder: Path, *, accept_edited: bool = False) -> pd.DataFrame:
    """The rows of a folder, bit for bit as they were written, with settings that are newer than they are.

    Raises:
        ValueError: if there are none, if the file is damaged, or if it is not the one that its provenance.json
            describes and `accept_edited` was not asked for.
    """
    path = rows_file(folder)
    if path is None:
        raise ValueError(
            f"There are no rows at {folder / NAME}; run the study first, or name the folder that has its {NAME}."
        )
    text = _text(path)
    if not accept_edited:
        _check_unchanged(path, text)
    kinds = {name: "str" for name in TEXT | text_columns()}
    try:
        rows = pd.read_csv(io.StringIO(text), dtype=kinds, keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} cannot be read as rows: {error}.") from None
    needed = ["study", "status", *(["run"] if "task.kind" in rows.columns else [])]
    if missing := [name for name in needed if name not in rows.columns]:
        raise ValueError(f"{path} has no column {' and '.join(missing)}: it is damaged, or no study wrote it.")
    for name in (name for name in WHOLE if name in rows.columns):
        wrong = rows[name][rows[name].notna() & (pd.to_numeric(rows[name], errors="coerce") % 1 != 0)]
        if len(wrong):
            raise ValueError(f"{path} says {wrong.iloc[0]} in line {wrong.index[0] + 2} for {name}, no whole number.")
    return complete(rows)


def _check_unchanged(path: Path, text: str) -> None:
    try:
        known = json.loads(path.with_name("provenance.json").read_text())["rows"]["checksum"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # rows from before there were checksums, or without a record
    if known != checksum(text):
        raise ValueError(
            f"{path} is not what its provenance.json describes: it was edited or damaged. Restore it, "
            "or take it as it is with --accept_edited."
        )


def rows_by_run(rows: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The finished rows by their run, each without its empty cells; none where the rows are not of runs."""
    found: dict[str, list[dict[str, Any]]] = {}
    if not {"run", "status"} <= set(rows.columns):
        return found
    for row in rows[rows["status"] == "finished"].astype(object).to_dict("records"):
        found.setdefault(row["run"], []).append({name: value for name, value in row.items() if not pd.isna(value)})
    return found


def planned(rows: pd.DataFrame, plan: Collection[str]) -> pd.DataFrame:
    """The rows of a plan's runs, of which it has the ids; all of them without a plan."""
    return rows[rows["run"].isin(plan)] if plan else rows


def drawable(rows: pd.DataFrame, plan: Collection[str] = (), *, diverged: bool = False) -> pd.DataFrame:
    """The finished rows of a plan's runs, with every column of results that evidence may ask for, and those of `init`.

    Without a plan, all finished rows; rows that are not of runs are left as they are. With `diverged` also those of
    runs that fail however often they are tried, which have no split and no score.
    """
    kept = rows["status"] == "finished"
    rows = rows[kept | (rows["failure"] == "certain")] if diverged and "failure" in rows.columns else rows[kept]
    if "task.kind" not in rows.columns:
        return rows
    rows = planned(rows, plan)
    text = rows.select_dtypes("str")  # each an array of its own; as objects they are one, filtered at once
    rows = pd.concat([rows.drop(columns=text.columns), text.astype(object)], axis=1)[rows.columns]
    named = [name for name in FIRST if not name.endswith(".")]
    rows = with_init(rows.reindex(columns=list(dict.fromkeys([*rows.columns, *named]))))
    for name in {"title", "init.title"} & set(rows.columns):
        rows[name] = rows[name].map(data_title, na_action="ignore")
    return rows.copy()  # in few blocks of memory


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """`new` with the rows of `old` whose run it does not have, so that evidence never shrinks.

    A failed run does not replace a finished one. Rows that are not of runs are replaced as a whole.
    """
    if "run" not in old.columns or "run" not in new.columns:
        return new
    finished = set(old.loc[old["status"] == "finished", "run"])
    new = new[~((new["status"] == "failed") & new["run"].isin(finished))]
    kept = old[~old["run"].isin(set(new["run"]))]
    return frame(pd.concat([new, kept], ignore_index=True)) if len(kept) else frame(new)
