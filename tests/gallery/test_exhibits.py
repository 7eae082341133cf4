"""What a picture of one image shows of its model."""

from types import SimpleNamespace

import numpy as np
import torch

from vitlab.gallery.exhibits import view
from vitlab.inspection import attention_rollout
from vitlab.models import create


def test_rollout_follows_what_the_model_pools_though_it_keeps_a_class_token():
    for pooling in ("gap", "cls"):
        model = create("ViT-Pico/2", image_size=8, num_classes=3, pooling=pooling, class_token=True).eval()
        with torch.no_grad():
            seen = model.inspect(torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
        subject = SimpleNamespace(classes=["a", "b", "c"])
        shown = view(subject, model, seen, "x", torch.zeros(3, 8, 8), "a", 1).rollout
        about = {"grid": model.grid, "prefix": 1}
        np.testing.assert_array_equal(shown, attention_rollout(seen.attention, **about, pooling=pooling)[0].numpy())
        other = attention_rollout(seen.attention, **about, pooling="cls" if pooling == "gap" else "gap")[0].numpy()
        assert not np.allclose(shown, other)
