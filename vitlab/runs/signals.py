"""What Ctrl-C and `kill` do to a study: the first asks it to stop, the second ends it, and nothing outlives 5 seconds.

    with ending:                 # around the whole program: a signal is a KeyboardInterrupt,
        with ending.gently():    # but in here it only sets `ending.asked`, which the launcher looks at.

Signals belong to the process, and so there is one `ending`. SIGKILL needs none of this: workers notice by themselves
when the study's process is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LIMIT = 4.5  # seconds from the first signal to the end, however far the study has come
STOPPED, INTERRUPTED = 3, 130  # exit codes
SHOW_CURSOR = b"\x1b[?25h"  # a progress display hides it


class Ending:
    """How this process ends on a signal; see the module."""

    def __init__(self) -> None:
        self.asked, self.signalled = False, False  # `signalled` stays when the program has left `with ending`
        self.last: list[Callable[[], None]] = []  # what must be done before the process may be gone
        self._depth, self._gentle, self._before = 0, 0, dict[int, Any]()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Ending:
        self._depth += 1
        if self._depth == 1 and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before, self.asked = {}, False
        if self._timer:
            self._timer.cancel()

    @contextmanager
    def gently(self) -> Iterator[None]:
        """In here the first signal raises nothing: what is going on looks at `asked`, and comes to its end."""
        self._gentle += 1
        try:
            yield
        finally:
            self._gentle -= 1

    def at_once(self, code: int) -> None:
        """End the process and what it started; nothing is waited for, and what the store holds is whole."""
        for act in self.last:
            act()
        if sys.stderr.isatty():
            os.write(2, SHOW_CURSOR)
        os.write(2, b"Stopped. The same command goes on from the last checkpoints.\n")
        os._exit(code)

    def _handle(self, number: int, frame: Any) -> None:
        if self.asked:
            self.at_once(INTERRUPTED)
        self.asked = self.signalled = True
        self._timer = threading.Timer(LIMIT, self.at_once, (STOPPED,))
        self._timer.daemon = True
        self._timer.start()
        if not self._gentle:
            raise KeyboardInterrupt


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started in here hear no signals: a terminal and a batch system signal the whole group, but it
    is the study that stops the others. Signals to this process wait until the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


ending = Ending()
