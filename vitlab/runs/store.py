"""The run store: one folder a run, named by its identity, holding what is needed to go on and what came out."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from vitlab.runs.run import Run, settings


@dataclass(frozen=True)
class Store:
    """Runs under `folder`. A run is finished when its `rows.json` is there, which is written last and at once."""

    folder: Path

    def path(self, run: Run, name: str = "") -> Path:
        """The run's folder, or the file `name` in it."""
        return self.folder / run.id / name if name else self.folder / run.id

    def weights(self, run: Run) -> Path:
        """The weights of the best evaluation, as a self-describing `.safetensors` file."""
        return self.path(run, "model.safetensors")

    def finished(self, run: Run) -> bool:
        """Whether the run has all that was asked of it."""
        return self.path(run, "rows.json").exists()

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The flat result rows of a finished run; a failed one has a single row with status "failed"."""
        for name in ("rows.json", "failed.json"):
            if self.path(run, name).exists():
                return json.loads(self.path(run, name).read_text())
        return []

    def open(self, run: Run) -> FileLock:
        """Make the run's folder, record its settings and return the lock that a worker holds while it works there."""
        self.path(run).mkdir(parents=True, exist_ok=True)
        write_json(self.path(run, "run.json"), settings(run))
        return FileLock(self.path(run, "lock"))

    def finish(self, run: Run, rows: list[dict[str, Any]]) -> None:
        """Record the rows, which makes the run a finished one, and drop what only an unfinished one needs."""
        write_json(self.path(run, "rows.json"), rows)
        for name in ("last.ckpt", "failed.json"):
            self.path(run, name).unlink(missing_ok=True)

    def fail(self, run: Run, row: dict[str, Any]) -> None:
        """Record why a run could not be finished; its checkpoint goes, so that the next try starts afresh."""
        write_json(self.path(run, "failed.json"), [row])
        self.path(run, "last.ckpt").unlink(missing_ok=True)

    def forget(self, run: Run) -> None:
        """Remove all of a run."""
        shutil.rmtree(self.path(run), ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON so that a reader sees the old file or the whole new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    os.replace(temporary, path)
