"""What the server that forks the workers imports once for all of them; and it leaves at once when the study is gone.

An interpreter with torch takes seconds to import, and to take itself apart, for nothing.
"""

import atexit
import os
import threading

STUDY, IMPORTED = os.getppid(), threading.Event()


def leave_with_the_study() -> None:
    """End this process if the study's ends before the imports do."""
    while not IMPORTED.wait(0.1):
        if os.getppid() != STUDY:
            os._exit(0)


watch = threading.Thread(target=leave_with_the_study, daemon=True)
watch.start()
import vitlab.runs.execute  # noqa: E402, F401

IMPORTED.set()
watch.join()  # what is forked later shares no threads
atexit.register(os._exit, 0)
