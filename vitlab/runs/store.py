"""The run store: one folder a run, named by its identity, holding what is needed to go on and what came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from vitlab.files import Damaged, Found, patiently, put_aside, sum_of, sweep, whole, write_all
from vitlab.lease import Lease
from vitlab.runs.run import Run, settings
from vitlab.tasks.settings import TRAINING

Rows = list[dict[str, Any]]

WEIGHTS = "model.safetensors"
SOURCE = "images.json"
KEPT = (".safetensors", ".npz", ".csv")
CHECKPOINTS = ("last.ckpt", "previous.ckpt")


_open: set[Path] = set()  # folders of the runs that this process works on


class Stopped(Exception):
    """The study was asked to stop; the run goes on from its last checkpoint when the study is started again."""


@dataclass(frozen=True)
class Store:
    """Runs under `folder`. A run is finished when its `rows.json` is there, which is written last and at once.

    Every file has a checksum beside it, which is looked at whenever the file is read. What is damaged is put aside,
    said in one line, and made again. Files from before there were checksums count as they are.

    The folder may be a shared one that is out of reach for some minutes: who works on a run waits for it, see
    `vitlab.files.patiently`, and takes nothing that is out of sight for lost.
    """

    folder: Path

    def path(self, run: Run, name: str = "") -> Path:
        """The run's folder, or the file `name` in it."""
        return self.folder / run.id / name if name else self.folder / run.id

    def weights(self, run: Run) -> Path:
        """The weights of the best evaluation, as a self-describing `.safetensors` file.

        Raises:
            Damaged: if they are; the run is then done again when it is asked for next.
        """
        path = self.path(run, WEIGHTS)
        if path.is_file() and not _same(path, path.stat().st_mtime_ns, path.stat().st_size):
            self._again(run, path)
            raise Damaged(f"The weights {path} are damaged and were put aside; the same command makes them again.")
        return path

    def finished(self, run: Run) -> bool:
        """Whether the run has all that was asked of it."""
        return bool(self._read(run, "rows.json"))

    def complete(self, run: Run) -> bool:
        """Whether the run is finished and every file that it kept is whole, so that others can start from it.

        To be asked by who works on the run.
        """
        return self._patiently(run, lambda: self._complete(run))

    def _complete(self, run: Run) -> bool:
        if not self.finished(run):
            return False
        needed = {self.path(run, WEIGHTS)} if isinstance(run.task, TRAINING) else set()
        damaged = [path for path in sorted(needed.union(self._kept(run))) if not whole(path)]
        for path in damaged:
            self._again(run, path)
        return not damaged

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The flat result rows of a finished run; a failed one has a single row with status "failed"."""
        return self._read(run, "rows.json") or self._read(run, "failed.json")

    @contextmanager
    def open(self, run: Run, stop: Callable[[], bool]) -> Iterator[Lease]:
        """Work on a run, which no other process on any machine does meanwhile; its settings are recorded.

        One that sees that its lease is lost leaves the run; what it wrote until then is what the other one writes too.

        Raises:
            Stopped: when `stop` says so while another process is at the run.
            OSError: if the folder cannot be written.
        """
        self.path(run).mkdir(parents=True, exist_ok=True)
        lease = Lease(self.path(run, "lease"))
        with lease.held(stop) as taken:
            if not taken:
                raise Stopped
            _open.add(self.path(run))
            try:
                sweep(self.path(run), older=0)
                if not whole(self.path(run, "run.json")):
                    self.put(run, {"run.json": _json(settings(run))})
                yield lease
            finally:
                _open.discard(self.path(run))

    def put(self, run: Run, files: Mapping[str, bytes]) -> None:
        """Write files of a run, in this order, each whole or not at all and with its checksum."""
        contents = {self.path(run, name): content for name, content in files.items()}
        self._patiently(run, lambda: write_all(contents, checked=True, folders=not self._is_open(run)))

    def put_source(self, run: Run, source: str) -> None:
        """Remember where the run's images are, for those who look at it later; no part of its identity."""
        if self.source(run) != source:
            self.put(run, {SOURCE: _json({"source": source})})

    def source(self, run: Run) -> str:
        """Where the run's images were when it was last worked on; empty where that is not known."""
        path = self.path(run, SOURCE)
        try:
            return str(json.loads(path.read_bytes())["source"]) if path.exists() and whole(path) else ""
        except (ValueError, KeyError, TypeError):
            return ""

    def put_round(self, run: Run, files: Mapping[str, bytes], checkpoint: bytes) -> None:
        """Write what a round gave and then what the run can go on from; the checkpoint before is kept, in case that
        this one is damaged.
        """
        last, previous = (self.path(run, name) for name in CHECKPOINTS)
        contents = {self.path(run, name): content for name, content in files.items()}
        contents[last] = checkpoint
        keep, folders = {last: previous}, not self._is_open(run)
        self._patiently(run, lambda: write_all(contents, checked=True, keep=keep, folders=folders))

    def checkpoint(self, run: Run) -> Path | None:
        """What the run can go on from: the last checkpoint, the one before where that is damaged, or nothing.

        Where weights that it kept on the way are damaged it has to start afresh.
        """
        return self._patiently(run, lambda: self._checkpoint(run))

    def _checkpoint(self, run: Run) -> Path | None:
        damaged = [path for path in self._kept(run) if not whole(path)]
        for path in damaged:
            put_aside(path, f"the run {run.id} starts afresh")
        if damaged or not self.path(run, WEIGHTS).exists():
            self._drop(run, CHECKPOINTS)
        last, previous = (self.path(run, name) for name in CHECKPOINTS)
        for path, then in {last: "goes on from the one before", previous: "starts afresh"}.items():
            if whole(path, like=last):
                return path
            if path.exists():
                put_aside(path, f"the run {run.id} {then}")
        return None

    def finish(self, run: Run, rows: list[dict[str, Any]]) -> None:
        """Record the rows, which makes the run a finished one, and drop what only an unfinished one needs."""
        self.put(run, {"rows.json": _json(rows)})
        self._drop(run, (*CHECKPOINTS, "failed.json"))

    def fail(self, run: Run, row: dict[str, Any], *, keep: bool) -> None:
        """Record why a run could not be finished; `keep` its checkpoints, or let the next try start afresh.

        Raises OSError where not even the run's folder can be made, or the store is out of reach: nothing is waited for.
        """
        self.path(run).mkdir(exist_ok=True)
        self.put(run, {"failed.json": _json([row])})
        if not keep:
            self._drop(run, CHECKPOINTS)

    def wait(self) -> None:
        """Return when the folder of the store, which was there before, is in reach. Raises OSError after 10 min."""
        patiently(self.folder, lambda: None)

    def check_writable(self) -> None:
        """Write a little into the store, and sweep what killed processes left there.

        Raises:
            ValueError: if that cannot be.
        """
        probe = self.folder / ".writable"
        try:
            write_all({probe: b"x" * 4096})
            probe.unlink(missing_ok=True)
            sweep(self.folder)
        except OSError as error:
            raise ValueError(
                f"The run store {self.folder} cannot be written ({error.strerror}); make room, or name another folder "
                "with --runs."
            ) from error

    def _kept(self, run: Run) -> list[Path]:
        return [path for path in sorted(self.path(run).glob("*")) if path.suffix in KEPT]

    def _read(self, run: Run, name: str) -> Rows:
        """The rows in a file, none if it is not there; one that holds no rows of this run is put aside."""
        path = self.path(run, name)
        try:
            if not path.exists():
                return []
            rows = json.loads(path.read_bytes()) if whole(path) else None
        except (ValueError, RecursionError):
            rows = None
        if _are_rows(rows, run):
            return cast(Rows, rows)
        put_aside(path, f"the run {run.id} is done again")
        return []

    def _again(self, run: Run, path: Path) -> None:
        """Put a damaged or lost file of a run aside, so that the run is done again if it was finished."""
        rows = self.path(run, "rows.json")
        with suppress(FileNotFoundError):
            rows.replace(rows.with_name("rows.json.before"))
        put_aside(path, f"the run {run.id} is done again")

    def _drop(self, run: Run, names: tuple[str, ...]) -> None:
        def drop() -> None:
            for name in names:
                self.path(run, name).unlink(missing_ok=True)
                sum_of(self.path(run, name)).unlink(missing_ok=True)

        self._patiently(run, drop)

    def _is_open(self, run: Run) -> bool:
        return self.path(run) in _open

    def _patiently(self, run: Run, do: Callable[[], Found]) -> Found:
        """Do it, waiting for the run's folder where this process works on the run, so that the folder was there."""
        return patiently(self.path(run), do) if self._is_open(run) else do()


def _are_rows(found: Any, run: Run) -> bool:
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(row, dict) and row.get("run") == run.id and "status" in row for row in found)
    )


@lru_cache(maxsize=64)
def _same(path: Path, changed: int, size: int) -> bool:
    """Whether a file is whole, looked at once a process for each of its contents."""
    return whole(path)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
