"""Settings that the images do not allow are refused with the option that asks for them."""

from dataclasses import replace

import pytest

from experiments import head, inspection, transfer, tuning
from tests.data.conftest import write_folder
from vitlab.runs.execute import prepare
from vitlab.runs.place import Place
from vitlab.runs.run import Run
from vitlab.study.settings import data_of, shares_of
from vitlab.study.study import main
from vitlab.tasks.settings import FewShot


@pytest.mark.parametrize(
    ("study", "option", "asked"),
    [
        (head, "train_size", 5000),
        (tuning, "train_sizes", (20, 5000)),
        (inspection, "train_size", 5000),
        (transfer, "upstream_size", 5000),
        (transfer, "finetune_size", 5000),
    ],
)
def test_more_images_than_there_are_are_refused_when_planned_and_by_their_option(study, option, asked):
    settings = study.PRESETS["digits_cpu" if study is inspection else "quick"]
    with pytest.raises(ValueError, match=f"^--{option}: Train size 5000 is above the .* Give at most"):
        study.STUDY.plan(replace(settings, **{option: asked}))


def test_shares_are_of_the_images_of_the_classes_that_are_kept(tmp_path):
    source = f"{write_folder(tmp_path / 'photos', {'a': 300, 'b': 100, 'c': 20})}@1,2"
    data, sizes = shares_of("label_shares", source, (0.1, 0.5, 1.0))
    assert (data.classes, sizes) == ((1, 2), [9, 43, None]), "of 86: 72 and 14 are for training"
    with pytest.raises(ValueError, match="^--label_shares has 0.001, .* one between 0.0233 "):
        shares_of("label_shares", source, (0.001,))


def test_a_dry_run_counts_the_images_of_the_classes_that_are_kept(tmp_path):
    source = f"{write_folder(tmp_path / 'photos', {'a': 60, 'b': 20, 'c': 9})}@1,2"
    run = Run("ViT-Pico/4", data_of(source)[0], task=FewShot(shots=(5,)))
    read, dry = (prepare([run], Place(tmp_path, tmp_path / "cache"), read=read).flops for read in (True, False))
    assert read == dry


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--preset digits_cpu --train_size 0", "--train_size: Train size 0 is no number of images"),
        ("--preset digits_cpu --depth 0", "depth=0 must be at least 1"),
        ("--preset digits_cpu --image_size 0", "--image_size is 0; give a whole number of pixels from 1 on"),
    ],
)
def test_nothing_is_not_taken_for_all_there_is(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(inspection.STUDY, [*words.split(), "--dry_run", "--runs", str(tmp_path)])
    assert end.value.code == 2 and said in capsys.readouterr().err
