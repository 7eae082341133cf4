"""Where the time of a training goes: Lightning's profiler hooks, gathered into a few phases and a trace.

Lightning calls `start` and `stop` around everything that it does, nested. A phase has the time of its actions without
what is nested in them and belongs elsewhere; an action that has no phase of its own counts to what is around it.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler

from vitlab.runs.execute import images_of
from vitlab.runs.place import Listener, Place, Stopped
from vitlab.runs.run import Run
from vitlab.runs.training import train

REST = "rest"
PHASES = ("data", "forward", "backward", "optimiser", "evaluation", "checkpoint", REST)
# The last word of an action's name, and the phase that it begins.
OF_ACTION = {
    "train_dataloader": "data",
    "train_dataloader_next": "data",
    "batch_to_device": "data",
    "training_step": "forward",
    "backward": "backward",
    "on_train_batch_start": "optimiser",  # where our task zeroes the gradients
    "optimizer_step": "optimiser",
    "optimizer_zero_grad": "optimiser",
    "configure_gradient_clipping": "optimiser",
    "lr_scheduler_step": "optimiser",
    "validation_step": "evaluation",
    "test_step": "evaluation",
    "val_next": "evaluation",
    "test_next": "evaluation",
    "save_checkpoint": "checkpoint",
    "Rounds.on_train_epoch_end": "checkpoint",
}


class Phases(Profiler):
    """Seconds of each phase, and every action for a trace. On a GPU every action waits for it, so that times are true.

    `seconds` has the phases; `events` are Chrome's trace events, which ui.perfetto.dev and chrome://tracing open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.events: list[dict[str, Any]] = []
        self._open: list[tuple[str, str, float]] = []
        self._since = self._began = _now()

    def start(self, action_name: str) -> None:
        """An action begins within those that are open."""
        now = self._account()
        self._open.append((action_name, _phase(action_name) or self._inside(), now))

    def stop(self, action_name: str) -> None:
        """The innermost action of that name ends, and what an exception left open within it."""
        now = self._account()
        while self._open:
            name, phase, began = self._open.pop()
            times = {"ts": 1e6 * (began - self._began), "dur": 1e6 * (now - began)}
            self.events.append({"name": name, "cat": phase, "ph": "X", "pid": 0, "tid": 0, **times})
            if name == action_name:
                return

    def trace(self) -> str:
        """The events as the text of a trace file."""
        return json.dumps({"traceEvents": self.events, "displayTimeUnit": "ms"})

    def end(self) -> None:
        """Count what came after the last action."""
        self._account()

    def _inside(self) -> str:
        return self._open[-1][1] if self._open else REST

    def _account(self) -> float:
        """Give the time since the last look to the phase that is open."""
        now = _now()
        self.seconds[self._inside()] += now - self._since
        self._since = now
        return now


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _phase(action: str) -> str | None:
    """The phase of an action such as `[Strategy]SingleDeviceStrategy.backward`."""
    name = action.rpartition("]")[2]
    return OF_ACTION.get(name) or OF_ACTION.get(name.rpartition(".")[2])


def profile(run: Run, place: Place, deadline: float) -> tuple[dict[str, float], str]:
    """Train `run` for the sake of its times: seconds of each phase, and a trace; nothing is kept.

    A training that will not end before `deadline`, as time.time() gives it, is left after the round before.
    """
    data = images_of(run, place)
    phases = Phases()
    with tempfile.TemporaryDirectory() as folder:
        store = replace(place, runs=Path(folder)).store
        listener = Listener(lambda event: None, lambda: False, deadline)
        with store.open(run, listener.stop), suppress(Stopped):
            train(run, data, store, listener, place.device, profiler=phases)
    phases.end()
    return phases.seconds, phases.trace()
