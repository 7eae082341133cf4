"""The benchmark measures both sides and keeps what it measured; how fast they are is for the benchmark to say."""

import pytest

from experiments.throughput import PLAIN, main
from vitlab.runs.stored import read_rows


def test_both_sides_are_measured_and_kept(tmp_path, capsys):
    main(["--steps", "2", "--repeats", "2", "--batch_size", "8", "--model", "ViT-Nano/8", "--results", str(tmp_path)])
    rows = read_rows(tmp_path / "throughput" / "ViT-Nano_8_bf16")
    assert sorted(rows["side"]) == sorted(["vitlab", PLAIN] * 2)
    assert (rows["images_per_s"] > 0).all()
    assert "times as fast as the plain script" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--device", "gpu"], ["--model", "ViT-Nan/8"], ["--precision", "fp8"]])
def test_a_mistake_ends_with_code_2(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([*words, "--steps", "1", "--repeats", "1", "--results", str(tmp_path)])
    assert end.value.code == 2 and "Traceback" not in capsys.readouterr().err
