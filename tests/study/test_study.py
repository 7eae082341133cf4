"""What a study calls its evidence."""

import subprocess
import sys

import pytest

from vitlab.study.study import by_weights


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("runs/0123456789ab/model.safetensors", "0123456789ab"),
        ("/models/vit base/model.safetensors", "vit_base"),
        ("model.safetensors", "model.safetensors"),
        ("weights/B_16.npz", "B_16.npz"),
        ("0123456789ab", "0123456789ab"),
        ("vitlab/vit_pico_4.tiny_imagenet_32", "vit_pico_4.tiny_imagenet_32"),
    ],
)
def test_evidence_about_weights_has_the_name_that_tells_them_from_others(source, name):
    assert by_weights(source) == name


@pytest.mark.parametrize("words", [["data_scaling", "--dry_run"], ["paper", "--redraw"]])
def test_a_system_without_groups_of_processes_is_told_what_to_do(words):
    windows = (  # what Python has not there
        "import os, signal, sys; del os.killpg, os.setpgid, os.getpgrp, os.sysconf, os.fork, os.uname;"
        "del signal.SIGKILL, signal.pthread_sigmask; sys.modules.update(resource=None, fcntl=None);"
        f"from experiments.__main__ import main; main({words!r})"
    )
    ended = subprocess.run([sys.executable, "-c", windows], capture_output=True, text=True)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.startswith("error: ") and "Windows" in ended.stderr and "WSL" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
