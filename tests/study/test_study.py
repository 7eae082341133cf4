"""What a study calls its evidence."""

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
