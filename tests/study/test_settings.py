"""Settings that the images do not allow are refused with the option that asks for them."""

from dataclasses import replace

import pytest

from experiments import head, inspection, transfer, tuning


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
