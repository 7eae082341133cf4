"""Why a run failed, in seven kinds, since they ask for different things. No torch."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from vitlab.files import Damaged
from vitlab.runs.place import NonFiniteLoss

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
# The words of torch, oneDNN and Python for it.
NO_MEMORY = ("out of memory", "not enough memory", "allocate memory", "create a primitive", "start new thread")
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "Socket Timeout", "gloo")
PASSING = ("CUDA error", "DataLoader worker", "No space left on device", "Stale file handle")


class Killed(Exception):
    """The worker at a run was ended from outside, more than once."""


@dataclass(frozen=True)
class Failure:
    """What went wrong, for people, and its `kind`:

    "certain": comes again however often it is tried; the checkpoint goes, so that the next try starts afresh.
    "passing": a disk, a memory, a device; the checkpoint is kept, and the run is tried again at the next start.
    "disk": passing, and so that no other run could be kept either: the study ends.
    "memory": torch could not have the memory, on the CPU or on a GPU; smaller micro-batches may do.
    "lost": another process of the same training is gone; as if the worker was killed.
    "killed": the worker was killed twice, or on a cluster many times; as passing.
    "unknown": kept as well, but taken for certain when the same comes again.
    """

    kind: str
    reason: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Tell the kind from the error or from what it came from."""
        causes = list(_causes(error))
        if isinstance(error, Killed):
            return cls("killed", str(error))
        for cause in causes:
            if isinstance(cause, OSError) and cause.errno in NO_ROOM:
                return cls("disk", _line(cause))
        if any(isinstance(cause, RuntimeError) and _has(cause, LOST) for cause in causes):
            return cls("lost", _line(error))
        if any(isinstance(cause, MemoryError) or _has(cause, NO_MEMORY) for cause in causes):
            return cls("memory", _line(error))
        if any(isinstance(cause, Damaged | OSError) or _has(cause, PASSING) for cause in causes):
            return cls("passing", _line(error))
        if isinstance(error, NonFiniteLoss | ValueError):
            return cls("certain", _line(error))
        return cls("unknown", "".join(traceback.format_exception(error)))


def _has(error: BaseException, words: tuple[str, ...]) -> bool:
    return not isinstance(error, ValueError) and any(word.lower() in str(error).lower() for word in words)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _line(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
