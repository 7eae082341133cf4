"""Studies as real processes: starting them, finding what they started, and waiting with a deadline."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TINY = "--models ViT --train_sizes 50 --seeds 1 --steps 12 --evaluations 3 --wandb off --jobs 1".split()
STARTED: list[subprocess.Popen] = []
SLOW_STEPS = "--models ViT --sizes Small --train_sizes 1149 --batch_size 1149 --seeds 2 --wandb off --jobs 1".split()


def start(folder: Path, *words: str, **options) -> subprocess.Popen:
    """Start `experiments.data_scaling` in a session of its own, by which all that it starts is found."""
    command = [sys.executable, "-m", "experiments.data_scaling", *words]
    command += ["--results", str(folder / "results"), "--runs", str(folder / "runs")]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    STARTED.append(subprocess.Popen(command, start_new_session=True, **options))
    return STARTED[-1]


def end_all() -> None:
    """Kill what is left of all that was started."""
    while STARTED:
        for number in alive(STARTED.pop().pid):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def until(what: Callable[[], object], seconds: float = 300.0) -> object:
    """Wait until `what()` is true, and return it; an assertion fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "what was waited for never came"
        time.sleep(0.01)
    return found


def told(path: Path) -> str:
    """What a file of /proc tells of a process; nothing where it has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def alive(session: int) -> dict[int, int]:
    """Processes of a session that are not zombies: the number of each, and that of its group."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == session and state != "Z":
            found[int(folder.name)] = int(group)
    return found


def workers(session: int) -> list[int]:
    """The workers of a study: they lead groups of their own."""
    return [number for number, group in alive(session).items() if number == group != session]


def cpu_seconds(process: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_work(process: subprocess.Popen, runs: Path) -> bool:
    """Whether a worker has a run's lock and has been computing for a while since its start."""
    assert process.poll() is None, process.communicate()
    begun = list(runs.glob("*/run.json")) and workers(process.pid)
    return bool(begun) and cpu_seconds(workers(process.pid)[0]) > 3
