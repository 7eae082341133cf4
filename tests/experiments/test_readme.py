"""The commands that the README shows are accepted, and every study's help comes without torch."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vitlab.study.study import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"python -m experiments\.(\w+)((?: [^\n`|#]*)?)", README)))
STUDIES = sorted(path.stem for path in (ROOT / "experiments").glob("*.py") if "STUDY = Study(" in path.read_text())
SMALLER = ["--dry_run", "--wandb", "off"]


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory) -> Path:
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for i in range(600):
        path = folder / f"class_{i % 2}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), i % 256, dtype=np.uint8)).save(path)
    return folder


def weights(folder: Path) -> Path:
    from vitlab.models import create, save_checkpoint

    return save_checkpoint(create("ViT-Pico/8", image_size=32, num_classes=2), folder / "weights.safetensors")


@pytest.mark.parametrize(("name", "words"), [command for command in COMMANDS if command[0] in STUDIES])
def test_a_command_of_the_readme_makes_a_plan(name, words, folder_of_images, tmp_path, capsys):
    places = {"path/to/folder": str(folder_of_images), "--checkpoint RUN": f"--checkpoint {weights(tmp_path)}"}
    for word, place in places.items():
        words = words.replace(word, place)
    arguments = shlex.split(words)
    if "--config" in arguments:
        return
    if "cifar10_cpu" in arguments:
        arguments += ["--data", str(folder_of_images), "--train_sizes", "200"]
    with pytest.raises(SystemExit) as end:
        main(importlib.import_module(f"experiments.{name}").STUDY, [*arguments, *SMALLER, "--runs", str(tmp_path)])
    assert end.value.code == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    measures = name in ("again", "throughput", "inspection")  # and has no runs to count
    assert "to do" in said or measures
    assert name != "inspection" or " px" in said, "the weights that would be opened"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([\w-]+)", README))))
def test_a_make_target_of_the_readme_exists(target):
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", STUDIES)
def test_help_comes_without_torch_and_names_the_presets(name):
    code = (
        f"import sys\nfrom experiments.{name} import STUDY\nfrom vitlab.study.study import main\n"
        "try: main(STUDY, ['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "Presets: quick" in found and "--time_budget" in found


@pytest.mark.parametrize("name", STUDIES)
def test_an_unknown_preset_is_one_message_and_exit_code_2(name):
    command = [sys.executable, "-m", f"experiments.{name}", "--preset", "nope"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "nope" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", STUDIES)
def test_every_preset_of_every_study_parses(name):
    from vitlab.study.command_line import parse

    presets = importlib.import_module(f"experiments.{name}").STUDY.presets
    for preset, settings in presets.items():
        assert parse(name, "", presets, ["--preset", preset])[0] == settings
