"""Which claims the main study tests: those that its models and numbers of images can tell anything about."""

from dataclasses import replace

import pytest

from experiments.data_scaling import PRESETS, STUDY, plan


@pytest.fixture
def verdicts(as_if_made):
    """The verdicts of the study's `quick` preset with other settings, as if every run had come out alike."""

    def found(**settings):
        asked = replace(PRESETS["quick"], **settings)
        rows = as_if_made(plan(asked), lambda run: 0.5)
        return STUDY.draw(rows.assign(train_images=rows["data.train_size"]), asked).verdicts

    return found


def test_one_number_is_not_held_against_two_claims(verdicts):
    pair = {"models": ("ViT-Pico/2", "ResNet-Pico")}
    assert [one.claim.id for one in verdicts(**pair, train_sizes=(50,))] == ["data.few"]
    assert {"data.few", "data.overtake"} < {one.claim.id for one in verdicts(**pair, train_sizes=(50, 100))}


def test_a_finer_patch_is_no_larger_vit(verdicts):
    def compared(*models):
        return [one.subject for one in verdicts(models=models) if one.claim.id.startswith("data.large")]

    assert compared("ViT-Pico/2", "ViT-Pico/4") == compared("ViT-Pico/4", "ViT-Nano/2") == []
    small, large = "ViT-Pico/4", "ViT-Nano/4"
    assert compared("ViT-Pico/2", large, small) == [f"{small} against {large}", f"{large} against {small}"]
