"""Mirroring a study to Weights & Biases, beside it: nothing that happens there holds the study up or costs a run.

W&B lives in a process of its own, `vitlab.runs.mirror`, which is told what happens as lines of JSON, one W&B run per
run of the study. A service that hangs is waited for at the end, for a limited time, and then ended.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import logging
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vitlab.errors import suggest
from vitlab.runs.run import Run
from vitlab.runs.signals import ending
from vitlab.tasks.settings import task_name

log = logging.getLogger("vitlab.tracking")

MODES = ("offline", "online", "off")
WAIT, WAIT_STOPPED = 10.0, 2.0  # seconds for W&B to finish when a study ends, and when it was asked to stop
END = "end\n"
NOT_IN_NAMES, TAG = r"[^a-zA-Z0-9_.-]", 64  # what W&B refuses: characters in artifacts' names, and longer tags


class Tracker:
    """Mirrors a study: `mode` is "offline" (the default of the studies), "online" or "off".

    WANDB_PROJECT and WANDB_ENTITY count where they are set. A run has the id of its settings, and stays one W&B run
    however often it is stopped and goes on.

    Raises:
        ValueError: for another mode.
    """

    def __init__(self, study: str, mode: str, folder: Path) -> None:
        if mode not in MODES:
            raise ValueError(f"Unknown --wandb {mode!r}; allowed: {', '.join(MODES)}.{suggest(mode, MODES)}")
        self.study, self.mode, self.folder = study, mode, folder
        self._lines = queue.SimpleQueue[str | None]()
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def start(self, run: Run, values: Mapping[str, Any]) -> None:
        """Open the W&B run of `run`, with all of its settings as config."""
        task = task_name(run.task)
        about = {"name": str(run), "group": self._group([run.data.name]), "job_type": task, "config": config(run)}
        self._tell("start", run.id, **about, tags=_tags([self.study, run.data.name, run.model, task]))

    def round(self, run: Run, values: Mapping[str, Any]) -> None:
        """Log one point of the curves."""
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        curves = {name: value for name, value in numbers.items() if name not in ("step", "share")}
        self._tell("round", run.id, values=curves, step=values["step"])

    def finish(self, run: Run, rows: list[dict[str, Any]], status: str) -> None:
        """Write the summary (one row a split as it is, more as a table) and close."""
        self._tell("finish", run.id, rows=rows, status=status)

    def evidence(self, folder: Path, data: Sequence[str]) -> None:
        """Log the evidence in a folder, which is about these data sets, as a W&B run of its own that stays one."""
        tags = _tags([self.study, *data, "evidence"])
        about = {"name": f"{self.study}/{folder.name}", "job_type": "evidence", "tags": tags}
        written, ours = str(folder.resolve()), re.sub(NOT_IN_NAMES, "_", f"{self.study}-{folder.name}")
        self._tell("evidence", ours, **about, group=self._group(data[:1]), folder=written)

    @property
    def sync(self) -> str:
        """What to type to send all offline runs, those of other studies in the same store too; empty otherwise."""
        runs = f"{shlex.quote(str(self.folder / 'wandb'))}/offline-run-*"
        return f"wandb sync {runs}" if self.mode == "offline" and self._process else ""

    def _group(self, data: Sequence[str]) -> str:
        return " ".join([self.study, *data])

    def close(self) -> None:
        """Wait until W&B has all, for a limited time; then it is ended."""
        process = self._process
        if process is None:
            return
        self._lines.put(None)
        try:
            silent = process.wait(WAIT_STOPPED if ending.signalled else WAIT + 1) != 0
        except subprocess.TimeoutExpired:
            silent = True
            end_tree(process.pid)
        finally:
            self._process = None
            ending.last.remove(self._kill)
            atexit.unregister(self.close)
        for thread in self._threads:
            thread.join(1.0)
        if silent and self.mode != "off":
            log.warning("W&B does not answer and was ended; it may lack the last points.")
        self.mode = "off"

    def _tell(self, what: str, run: str, **about: Any) -> None:
        if self.mode == "off":
            return
        if self._process is None:
            self._begin()
        self._lines.put(json.dumps({"what": what, "run": run, **about}, default=str))

    def _begin(self) -> None:
        command = [sys.executable, "-m", "vitlab.runs.mirror", self.mode, str(self.folder)]
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
        ending.last.append(self._kill)
        atexit.register(self.close)
        for work in (self._feed, self._hear):
            self._threads.append(threading.Thread(target=work, args=(self._process,), daemon=True))
            self._threads[-1].start()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            end_tree(self._process.pid)

    def _feed(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        with suppress(OSError), process.stdin:
            while (line := self._lines.get()) is not None:
                process.stdin.write(line + "\n")
                process.stdin.flush()
            process.stdin.write(END)

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            said = process.stdout.read()  # It says one thing at most, and ends.
        if said and self.mode != "off":
            self.mode = "off"
            log.warning("W&B failed and is off from here on: %s", said.strip())


def _tags(words: Sequence[str]) -> list[str]:
    """Words as W&B takes them for tags."""
    return list(dict.fromkeys(word[:TAG] for word in words))


def config(run: Run) -> dict[str, Any]:
    """All settings of a run, defaults included, nested as they are; `init` is what it starts from."""
    found = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    init = {"run": run.init.id, **config(run.init)} if isinstance(run.init, Run) else run.init
    task = {"kind": task_name(run.task), **dataclasses.asdict(run.task)}
    parts = {"data": dataclasses.asdict(run.data), "recipe": dataclasses.asdict(run.recipe), "task": task}
    return {**found, **parts, "options": dict(run.options), "init": init}


def end_tree(process: int) -> None:
    """Kill a process and all that it started, also what is in a session of its own, as far as /proc tells."""
    found = [process]
    for number in found:
        for path in Path(f"/proc/{number}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, path.read_text().split())
    for number in reversed(found):
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
