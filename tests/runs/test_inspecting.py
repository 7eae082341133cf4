"""Rows of a model's weights: what they hold for every kind of model, of trained and untrained weights alike."""

import pandas as pd
import pytest
import torch

from vitlab.inspection import uniform_distance
from vitlab.models import create
from vitlab.runs.inspecting import measure, neighbours_and_others, opened_rows, shape_rows, similarity_of

IMAGES = torch.rand(3, 3, 16, 16)


def test_rows_of_a_vit_hold_every_head_its_positions_and_the_way_of_an_image():
    model = create("ViT-Pico/4", image_size=16, num_classes=3).eval()
    rows = pd.DataFrame(measure(model, IMAGES, shapes=True))
    heads = rows[rows["part"] == "attention"]
    assert list(zip(heads["layer"], heads["head"], strict=True)) == [(i, j) for i in (1, 2) for j in (1, 2, 3, 4)]
    assert (heads["uniform_px"] == uniform_distance((4, 4), 4.0)).all() and (heads["side_px"] == 16).all()
    assert heads["distance_px"].between(0, 16).all() and (rows["part"] == "positions").sum() == 1
    shapes = rows[rows["part"] == "shape"].set_index("what")["shape"]
    assert shapes["patches"] == "4 × 4 patches" and shapes["positions"] == "17 × 64" and shapes["logits"] == "3"


def test_rows_of_a_resnet_are_receptive_fields_that_grow():
    rows = pd.DataFrame(measure(create("ResNet-Pico", image_size=16, num_classes=3).eval(), IMAGES))
    assert set(rows["part"]) == {"receptive_field"} and rows["distance_px"].is_monotonic_increasing


def test_weights_that_no_run_made_stand_beside_untrained_ones_of_their_shape():
    model = create("ViT-Pico/4", image_size=16, num_classes=3, positions="2d").eval()
    with torch.no_grad():
        for weights in model.positions.parameters():
            weights.fill_(1.0)
    rows = pd.DataFrame(opened_rows(model, IMAGES, seed=3))
    positions = rows[rows["part"] == "positions"].set_index("stage")
    assert positions.loc["selected", "near_cosine"] == pytest.approx(1.0)
    assert abs(positions.loc["snapshot", "near_cosine"]) < 1 and (rows["step"] == 0).all()
    assert len(rows[rows["part"] == "attention"]) == 2 * 8 and (rows["images"] == 3).all()
    again = pd.DataFrame(opened_rows(model, IMAGES, seed=3))
    pd.testing.assert_frame_equal(rows, again)


def test_neighbours_share_a_side():
    similarity = torch.zeros(2, 2, 2, 2)
    similarity[0, 0, 0, 1] = similarity[0, 0, 1, 0] = 1.0
    near, others = neighbours_and_others(similarity)
    assert near == pytest.approx(2 / 8) and others == 0.0


@pytest.mark.parametrize("positions", ["none", "relative"])
def test_models_without_vectors_for_patches_have_no_similarity(positions):
    model = create("ViT-Pico/4", image_size=16, num_classes=3, positions=positions)
    assert similarity_of(model) is None
    assert [row["part"] for row in shape_rows(model.eval(), IMAGES[:1])][0] == "model"
