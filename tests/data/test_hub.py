"""Without a network the hub is asked once, quickly, and the message says what to do instead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ASK = """
import sys, time
from pathlib import Path
from vitlab.data.cards import get_card
from vitlab.data.tables import hub_rows
import datasets
from huggingface_hub import constants
began = time.perf_counter()
try:
    hub_rows(get_card("cifar10"), Path(sys.argv[1]))
except ValueError as error:
    print(error)
print(time.perf_counter() - began, constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
"""


def ask(endpoint: str, folder: Path) -> tuple[str, float]:
    """The message and the seconds, of a process that takes `endpoint` for the hub."""
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", ASK, str(folder)]
    message, last = subprocess.check_output(command, env=environment, text=True).splitlines()
    seconds, *offline = last.split()
    assert offline == ["False", "False"]
    return message, float(seconds)


@pytest.fixture
def refusing() -> Iterator[tuple[str, list[str]]]:
    """A hub that is out of order, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(503)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_out_of_order_is_asked_once(refusing: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = refusing
    message, seconds = ask(endpoint, tmp_path)
    assert [path for path in asked if "cifar10" in path] == ["/api/datasets/uoft-cs/cifar10"] and seconds < 5
    assert "CIFAR-10 could not be fetched from the hub (uoft-cs/cifar10)" in message
    assert "--data path/to/copy" in message and "--data digits" in message


def test_no_network_at_all(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message, seconds = ask(f"http://127.0.0.1:{port}", tmp_path)
    assert seconds < 5 and "--data path/to/copy" in message


@pytest.mark.fault
def test_a_network_that_swallows_everything(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        began = time.perf_counter()
        message, seconds = ask(f"http://127.0.0.1:{deaf.getsockname()[1]}", tmp_path)
    assert seconds < 12 and time.perf_counter() - began < 30 and "--data path/to/copy" in message
