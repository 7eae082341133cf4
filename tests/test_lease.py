"""Leases between real processes, on one machine and as if on two."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vitlab.lease import Lease

NEVER, AT_ONCE = lambda: False, lambda: True
HOLD = """
import sys, time
from pathlib import Path
from vitlab.lease import Lease
lease = Lease(Path(sys.argv[1]), beat=0.05, machine=sys.argv[2])
assert lease.take(lambda: False)
print("taken", flush=True)
while not lease.lost:
    time.sleep(0.01)
print("lost", flush=True)
"""
COUNT = """
import sys
from pathlib import Path
from vitlab.lease import Lease
counter = Path(sys.argv[1]).with_name("counter")
for _ in range(40):
    with Lease(Path(sys.argv[1])).held(lambda: False):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


@pytest.fixture
def holder(tmp_path):
    """Starts another process that holds the lease, as one of `machine`."""
    started = []

    def start(machine=""):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "lease"), machine]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "taken\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_lease_is_one_processs_at_a_time_and_then_the_nexts(tmp_path):
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert first.take(NEVER) and not second.take(AT_ONCE)
    first.free()
    assert second.take(AT_ONCE) and not first.take(AT_ONCE)
    assert [path.name for path in tmp_path.iterdir()] == ["lease.2"]
    assert not (first.lost or second.lost)


def test_the_lease_of_a_process_that_was_killed_on_this_machine_is_free_at_once(tmp_path, holder):
    process = holder()
    assert not Lease(tmp_path / "lease").take(AT_ONCE)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Lease(tmp_path / "lease").take(AT_ONCE)


def test_a_zombie_holds_nothing(tmp_path, holder):
    process = holder()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert Lease(tmp_path / "lease").take(AT_ONCE)


def test_a_machine_that_is_silent_loses_its_lease_and_notices(tmp_path, holder):
    process = holder("elsewhere")
    assert not Lease(tmp_path / "lease", stale=30).take(AT_ONCE)
    process.send_signal(signal.SIGSTOP)
    taken = Lease(tmp_path / "lease", stale=0.3)
    assert taken.take(NEVER)
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == "lost\n" and not taken.lost


def test_a_machine_whose_heart_beats_keeps_its_lease_however_long_one_waits(tmp_path, holder):
    holder("elsewhere")
    until = time.monotonic() + 1.0
    assert not Lease(tmp_path / "lease", stale=0.5).take(lambda: time.monotonic() > until)


def test_processes_that_count_under_a_lease_lose_no_count(tmp_path):
    (tmp_path / "counter").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "lease")]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait() == 0
    assert (tmp_path / "counter").read_text() == "160"


def test_of_many_that_take_a_stale_lease_over_one_gets_it(tmp_path):
    (tmp_path / "lease.7").write_text("elsewhere 1 1")
    taken = []

    def contend():
        taken.append(Lease(tmp_path / "lease", stale=0.2).take(lambda: bool(taken)))

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert [path.name for path in tmp_path.iterdir()] == ["lease.8"]
