"""`vitlab data_scaling ...` from anywhere, beside a person's own folder `experiments`."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from experiments import NAMES
from experiments.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path) -> Path:
    """vitlab as an installation lays it out, with the studies inside of it, and a person's folder `experiments`."""
    package = tmp_path / "site" / "vitlab"
    package.mkdir(parents=True)
    for entry in (ROOT / "vitlab").iterdir():
        (package / entry.name).symlink_to(entry)
    (package / "experiments").symlink_to(ROOT / "experiments")
    own = tmp_path / "person" / "experiments"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("raise RuntimeError('this is of a person')")
    return tmp_path


@pytest.mark.parametrize("name", ["data_scaling", "inspection", "few_shot"])
def test_a_study_needs_no_folder_of_the_name_experiments(name, installed):
    code = (
        f"import sys; sys.argv[0] = '/bin/vitlab'; from vitlab.experiments.__main__ import main; main(['{name}', '-h'])"
    )
    environment = os.environ | {"PYTHONPATH": f"{installed / 'person'}:{installed / 'site'}"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=installed / "person", env=environment, capture_output=True, text=True)
    assert ended.returncode == 0 and f"usage: vitlab {name}" in ended.stdout, ended.stderr


def test_everything_is_installed_and_the_command_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {".".join(init.relative_to(ROOT).parent.parts) for init in (ROOT / "vitlab").rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == packages | {"vitlab.experiments"}
    assert project["project"]["scripts"] == {"vitlab": "vitlab.experiments.__main__:main"}
    assert (ROOT / "vitlab" / "py.typed").exists()


def test_the_command_alone_lists_the_studies(capsys):
    main([])
    said = capsys.readouterr().out
    assert all(f"\n{name} (" in f"\n{said}" for name in NAMES)


def test_an_unknown_study_is_one_message(capsys):
    with pytest.raises(SystemExit) as end:
        main(["data_scalin"])
    assert end.value.code == 2 and "Did you mean 'data_scaling'?" in capsys.readouterr().err


def test_the_words_after_a_study_are_its_own(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["data_scaling", "--seeds", "0"])
    assert end.value.code == 2 and "--seeds is 0" in capsys.readouterr().err
