"""What a Hugging Face folder says of the pixels and the classes that its weights were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vitlab.models.facts import known_facts

GIVEN = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}
MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("preparation", "facts"),
    [
        (GIVEN, {"mean": MEAN, "std": STD}),
        ({**GIVEN, "do_normalize": True}, {"mean": MEAN, "std": STD}),
        ({"do_normalize": False}, {"mean": (0, 0, 0), "std": (1, 1, 1)}),
        ({**GIVEN, "do_normalize": False}, {"mean": (0, 0, 0), "std": (1, 1, 1)}),
        ({"image_std": [0.1, 0.2, 0.3], "image_mean": None}, {"std": STD}),
        ({"size": 224}, {}),
        (None, {}),
    ],
)
def test_pixels_as_far_as_they_are_told(preparation: Any, facts: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    if preparation is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(preparation))
    assert known_facts(tmp_path) == facts


def test_classes_and_channels_of_the_model(tmp_path: Path) -> None:
    labels = {str(index): f"class {index}" for index in range(12)}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(sorted(labels.items())), "num_channels": 1}))
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert known_facts(tmp_path) == {"mean": (0,), "std": (1,), "classes": tuple(labels.values())}
