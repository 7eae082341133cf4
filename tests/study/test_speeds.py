"""Speeds that were measured before."""

import json
from types import SimpleNamespace

import pytest

from vitlab.study.speeds import Speeds


def speeds(file) -> Speeds:
    """With a launcher whose every measurement gives 7 images/s."""
    engine = SimpleNamespace(resources=SimpleNamespace(cpus=1))
    return Speeds(file, SimpleNamespace(engine=engine, ask=lambda *_: 7.0), "cpu", 16)


def test_what_was_measured_is_not_measured_again(tmp_path):
    first = speeds(tmp_path / "speed.json")
    assert first("ViT-Pico/4", 32, "bf16") == 7
    first.keep()
    kept = json.loads((tmp_path / "speed.json").read_text())
    kept[first.machine]["ViT-Pico/4 at 32 px in bf16"] = 5
    (tmp_path / "speed.json").write_text(json.dumps(kept))
    assert speeds(tmp_path / "speed.json")("ViT-Pico/4", 32, "bf16") == 5


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [1]}', '{"a": {"b": "fast"}}', '{"a": {"b": NaN}}'])
def test_a_damaged_file_is_measured_anew(content, tmp_path):
    (tmp_path / "speed.json").write_text(content)
    found = speeds(tmp_path / "speed.json")
    assert found.known == {} and found("ViT-Pico/4", 32, "bf16") == 7
