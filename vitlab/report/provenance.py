"""Evidence on disk: rows, table and figures of a study, and where they come from."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from vitlab.report.files import write_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = (
    "vitlab",
    "torch",
    "lightning",
    "timm",
    "torchmetrics",
    "datasets",
    "scikit-learn",
    "numpy",
    "pandas",
    "wandb",
)

FIRST_COLUMNS = tuple(
    """run study task model parameters train_flops_per_image upstream upstream_size data image_size train_size
    shots draw l2 subset_seed seed steps epochs best_step best_epoch validation_best validation_last
    test_best test_last test_accuracy wall_s images_per_s hardware threads precision
    torch lightning timm vitlab commit status date""".split()
)
SORTED_BY = tuple(
    """study task data model upstream upstream_size image_size train_size shots l2 steps
    subset_seed draw seed run""".split()
)
# Read as text whatever they look like: a commit such as 12e4567 and a version such as 2.10 would pass as numbers.
TEXT_COLUMNS = frozenset(
    """run parent init study task model upstream data hardware precision torch lightning timm torchmetrics numpy python
    vitlab commit status date recipe preset measure name""".split()
)

Rows: TypeAlias = pd.DataFrame | Iterable[Mapping[str, Any]]


def short_commit(commit: str) -> str:
    """The first twelve characters of a commit; the mark of a tree with changes that were not committed stays."""
    head, mark, changes = commit.partition("+")
    return head[:12] + mark + changes


def frame(rows: Rows) -> pd.DataFrame:
    """Rows as a frame in the stable order: known columns first, the others by name; sorted by what was asked for."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    known = [name for name in FIRST_COLUMNS if name in table.columns]
    table = table[[*known, *sorted(set(table.columns) - set(known))]]
    by = [name for name in SORTED_BY if name in table.columns]
    return (table.sort_values(by, kind="stable") if by else table).reset_index(drop=True)


def _text(value: Any) -> str:
    """A cell of the file; floats in the shortest form that reads back to the same bits, nothing for a missing value."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    value = value.item() if hasattr(value, "item") else value
    return repr(value) if isinstance(value, float) else str(value)


def to_csv(rows: Rows) -> str:
    """`rows.csv`'s text: header, stable order, one line a row."""
    table = frame(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_text(value) for value in row] for row in table.itertuples(index=False, name=None))
    return out.getvalue()


def read_rows(folder: Path, *, text: Collection[str] = TEXT_COLUMNS) -> pd.DataFrame:
    """The rows of `folder/rows.csv` (or of a file), bit for bit as they were written; `text` columns stay text.

    Raises ValueError if there are none.
    """
    path = folder / "rows.csv" if folder.is_dir() or not folder.suffix else folder
    if not path.exists():
        raise ValueError(f"There are no rows at {path}; run the study first, or name the folder that has its rows.csv.")
    dtype = {name: "str" for name in text}
    return pd.read_csv(path, float_precision="round_trip", dtype=dtype, keep_default_na=False, na_values=[""])


def rows_by_run(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The finished rows of `folder/rows.csv` by their run, each without its empty cells; none if there is no file."""
    if not (folder / "rows.csv").exists():
        return {}
    rows = read_rows(folder)
    if not {"run", "status"} <= set(rows.columns):
        raise ValueError(
            f"{folder / 'rows.csv'} does not say which run each row is of; --extend needs a study's own rows."
        )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows[rows["status"] == "finished"].convert_dtypes().to_dict("records"):
        found.setdefault(row["run"], []).append({name: value for name, value in row.items() if not pd.isna(value)})
    return found


def _git(*arguments: str) -> str | None:
    """Output of git in the folder of this package, or None outside of a repository or without git."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def commit() -> tuple[str | None, bool | None]:
    """The git commit of this checkout, and whether tracked files of the code differ from it; (None, None) if unknown.

    `results/` does not count: writing a study's evidence must not make the next study's code look changed.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None, None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    return head, None if changed is None else bool(changed)


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages, without importing them; those not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return ""
    return f"{size / 2**30:.0f} GiB"


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware(gpu: str | None = None) -> str:
    """This machine in words, such as `2 x AMD EPYC, 23 GiB` (cores x model, memory), after the GPU if one is named."""
    return ", ".join(part for part in (gpu, f"{cores()} x {_cpu_name()}", _memory()) if part)


def provenance(settings: Mapping[str, Any], command: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Where a study's evidence comes from: command, settings, versions, commit, hardware, seeds, time. JSON-ready.

    `settings` is what the study was asked to do, in plain values, enough to start it again. Rows say on which hardware,
    versions and commits they were made; the same fields here describe the process that wrote the evidence.
    """
    table = frame(rows)
    head, dirty = commit()

    def distinct(column: str) -> list[Any]:
        return sorted(_plain(v) for v in table[column].dropna().unique()) if column in table.columns else []

    wall = float(table["wall_s"].sum()) if "wall_s" in table.columns else None
    return {
        "command": list(command),
        "settings": dict(settings),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": head,
        "dirty": dirty,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": versions(),
        "hardware": hardware(),
        "rows": {
            "count": len(table),
            "wall_s": wall,
            **{
                name: distinct(name)
                for name in ("seed", "subset_seed", "hardware", "threads", "precision", "torch", "commit", "status")
            },
        },
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def write_evidence(
    folder: Path,
    *,
    rows: Rows,
    table_md: str,
    figures: Mapping[str, Figure],
    provenance: Mapping[str, Any],
    extra: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write rows.csv, table.md, `<name>.png` and `<name>.svg` of every figure, and provenance.json: all or nothing.

    `extra` are further text files by name (verdicts.md). Everything is made in memory first, then written beside its
    place and renamed. Returns the paths. Raises OSError when the disk is full, leaving what was there before.
    """
    from vitlab.report.style import render

    files = {"rows.csv": to_csv(rows).encode(), "table.md": table_md.encode()}
    for name, figure in figures.items():
        files |= {f"{name}.{kind}": render(figure, kind) for kind in ("png", "svg")}
    files["provenance.json"] = (json.dumps(provenance, indent=2, default=_json) + "\n").encode()
    files |= {name: content.encode() for name, content in (extra or {}).items()}
    write_all({folder / name: content for name, content in files.items()})
    return [folder / name for name in files]


def _json(value: Any) -> Any:
    """Paths, tuples of other libraries and NumPy scalars as plain values."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def read_provenance(folder: Path) -> dict[str, Any]:
    """`folder/provenance.json` (or a file). Raises ValueError if it is missing or not such a file."""
    path = folder / "provenance.json" if folder.is_dir() else folder
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Cannot read {path} as a provenance.json: {error}.") from None
    if not isinstance(found, dict) or "settings" not in found:
        raise ValueError(f"{path} has no settings; give a provenance.json that a study wrote.")
    return found
