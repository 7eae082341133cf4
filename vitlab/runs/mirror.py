"""The process that mirrors a study to Weights & Biases. This is the one module that knows it.

    python -m vitlab.runs.mirror offline runs    # reads lines of JSON, see `vitlab.runs.tracking`

It ends when its input does, and says on its output why it ended before.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.runs.tracking import END, WAIT, WAIT_STOPPED, end_tree

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict

INIT_TIMEOUT = 10.0  # seconds to reach the service; without a network W&B's own default is 90


class Mirror:
    """The open W&B runs of a study."""

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode, self.folder = mode, folder
        self.open: dict[str, Any] = {}

    def take(self, what: str, run: str, about: Mapping[str, Any]) -> None:
        """Do what a line asks for."""
        acts: dict[str, Callable[..., None]] = {"start": self.start, "round": self.round, "finish": self.finish}
        acts.get(what, self.evidence)(run, **about)

    def start(self, run: str, **about: Any) -> None:
        """Open a run; one that goes on keeps its W&B id."""
        if run not in self.open:
            self.open[run] = self._init(id=run, resume="allow", **about)

    def round(self, run: str, values: Mapping[str, float], step: int) -> None:
        """Log one point of the curves."""
        self.open[run].log(values, step=step)

    def finish(self, run: str, rows: list[dict[str, Any]], status: str) -> None:
        """Write the summary and close."""
        opened = self.open.pop(run, None)
        if opened is None:
            return
        splits = [row.get("split") for row in rows]
        if len(rows) == 1:
            opened.summary.update(rows[0])
        elif rows and None not in splits and len(set(splits)) == len(rows):
            opened.summary.update({f"{row['split']}.{name}": value for row in rows for name, value in row.items()})
        elif rows:
            import pandas as pd

            opened.log({"rows": _table(pd.DataFrame(rows))})
        opened.finish(exit_code=0 if status == "finished" else 1)

    def evidence(self, run: str, folder: str, **about: Any) -> None:
        """Log what a study found as a run of its own: rows and tables, pictures, verdicts, and all files."""
        import pandas as pd
        import wandb

        from vitlab.report.evidence import Evidence
        from vitlab.report.tables import to_csv
        from vitlab.runs.stored import rows_file

        written = Path(folder)
        found = Evidence.loads((written / "evidence.json").read_text())
        opened = self._init(id=run, resume="allow", **about)
        tables = {table.name: pd.read_csv(io.StringIO(to_csv(table))) for table in found.tables}
        if rows := rows_file(written):
            tables["rows"] = pd.read_csv(rows, low_memory=False)
        images = {path.stem: wandb.Image(str(path)) for path in sorted(written.glob("*.png"))}
        opened.log({name: _table(frame) for name, frame in tables.items()} | images)
        opened.summary.update({"answer": found.answer, **dict(map(_verdict, found.verdicts))})
        files = wandb.Artifact(run, type="evidence")
        for path in sorted(path for path in written.iterdir() if path.is_file()):
            files.add_file(str(path))
        opened.log_artifact(files)
        opened.finish()

    def close(self) -> None:
        """Close what is open: the study was stopped."""
        for opened in self.open.values():
            opened.finish(exit_code=1)

    def _init(self, **about: Any) -> Any:
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            console="off", x_disable_stats=True, disable_git=True, silent=True, init_timeout=INIT_TIMEOUT
        )
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", "vitlab"),
            mode="online" if self.mode == "online" else "offline",
            dir=str(self.folder),
            reinit="create_new",
            settings=settings,
            **about,
        )


def _table(frame: pd.DataFrame) -> Any:
    """Numbers as numbers, so that W&B can sort and plot them; all else as text, with nothing where there is none."""
    import wandb
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    words = [name for name in frame if not is_numeric_dtype(frame[name]) or is_bool_dtype(frame[name])]
    return wandb.Table(dataframe=frame.assign(**{name: frame[name].fillna("").astype(str) for name in words}))


def _verdict(verdict: Verdict) -> tuple[str, dict[str, Any]]:
    """A verdict as values of the summary: the outcome with the numbers that decided it, in the claim's unit."""
    claim, found = verdict.claim, verdict.interval
    numbers = {"effect": found.mean, "low": found.low, "high": found.high}
    shown = {name: value * claim.scale for name, value in numbers.items() if value == value}
    p = {"adjusted_p": verdict.adjusted_p} if verdict.adjusted_p == verdict.adjusted_p else {}
    about = {"outcome": verdict.outcome, "unit": claim.unit, "seeds": found.n}
    return f"{claim.id} {verdict.data} {verdict.subject}".strip(), {**about, **shown, **p}


def _read(lines: queue.SimpleQueue[str | None]) -> None:
    """Take in lines at once, so that their end is noticed while W&B hangs; then W&B has a limited time."""
    line = ""
    for line in sys.stdin:
        if line != END:
            lines.put(line)
    lines.put(None)
    limit = threading.Timer(WAIT if line == END else WAIT_STOPPED, end_tree, (os.getpid(),))
    limit.daemon = True
    limit.start()


def main(mode: str, folder: str) -> None:
    """Mirror what comes as lines, until there are no more."""
    os.environ.setdefault("WANDB_SILENT", "true")
    mirror, lines = Mirror(mode, Path(folder)), queue.SimpleQueue[str | None]()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        while (line := lines.get()) is not None:
            message = json.loads(line)
            mirror.take(message.pop("what"), message.pop("run"), message)
        mirror.close()
    except (
        Exception
    ) as error:  # W&B may fail in ways of its own (network, disk, service); the local rows are the truth.
        print(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}", flush=True)
        end_tree(os.getpid())


if __name__ == "__main__":
    main(*sys.argv[1:])
