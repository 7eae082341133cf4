"""Weights & Biases. This is the one module that knows it, and no failure in here ever costs a run.

The study's own process mirrors what the workers report: one W&B run per training, however many trainings share a
worker.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from vitlab.errors import suggest
from vitlab.runs.run import Run, settings

MODES = ("offline", "online", "off")


def _never_fatal(method: Callable) -> Callable:
    """Turn any failure into one warning, after which the study goes on without W&B."""

    @wraps(method)
    def guarded(self: Tracker, *args: Any, **kwargs: Any) -> None:
        if self.mode == "off":
            return
        try:
            method(self, *args, **kwargs)
        except (
            Exception
        ) as error:  # W&B may fail in ways of its own (network, disk, service); the local rows are the truth.
            warnings.warn(f"W&B failed and is off from here on: {error}", stacklevel=2)
            self.mode = "off"

    return guarded


class Tracker:
    """Mirrors a study to W&B: `mode` is "offline" (the default of the studies), "online" or "off".

    Raises:
        ValueError: for another mode.
    """

    def __init__(self, study: str, mode: str, folder: Path) -> None:
        if mode not in MODES:
            raise ValueError(f"Unknown --wandb {mode!r}; allowed: {', '.join(MODES)}.{suggest(mode, MODES)}")
        self.study, self.mode, self.folder = study, mode, folder
        self.open: dict[str, Any] = {}

    @_never_fatal
    def start(self, run: Run, values: Mapping[str, Any]) -> None:
        """Open the W&B run of `run`, with its settings as config; a run that goes on keeps its W&B id."""
        self.open[run.id] = self._init(id=run.id, name=str(run), config=settings(run))

    @_never_fatal
    def round(self, run: Run, values: Mapping[str, Any]) -> None:
        """Log one point of the curves."""
        curves = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "step"}
        self.open[run.id].log(curves, step=values["step"])

    @_never_fatal
    def finish(self, run: Run, rows: list[dict[str, Any]], status: str) -> None:
        """Write the summary (a single row as it is, several as a table) and close."""
        opened = self.open.pop(run.id, None)
        if opened is None:
            return
        if len(rows) == 1:
            opened.summary.update(rows[0])
        elif rows:
            opened.log({"rows": self._table(rows)})
        opened.finish(exit_code=0 if status == "finished" else 1)

    @_never_fatal
    def evidence(self, rows: list[dict[str, Any]], figures: Mapping[str, Path], answer: str) -> None:
        """Log the study's table and figures as a W&B run of their own."""
        import wandb

        opened = self._init(name=f"{self.study} evidence", job_type="evidence")
        opened.log({"rows": self._table(rows), **{name: wandb.Image(str(path)) for name, path in figures.items()}})
        opened.summary.update({"answer": answer})
        opened.finish()

    def _init(self, **about: Any) -> Any:
        import wandb

        os.environ.setdefault("WANDB_SILENT", "true")
        self.folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project="vitlab",
            group=self.study,
            mode="online" if self.mode == "online" else "offline",
            dir=str(self.folder),
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(console="off", x_disable_stats=True, disable_git=True, silent=True),
            **about,
        )

    @staticmethod
    def _table(rows: list[dict[str, Any]]) -> Any:
        import pandas as pd
        import wandb

        return wandb.Table(dataframe=pd.DataFrame(rows).astype(str))
