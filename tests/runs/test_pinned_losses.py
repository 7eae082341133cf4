"""The losses of three short trainings, one a family: what is meant to make things faster may not change a number.

On the processor and version of torch that they were pinned on they agree to the last bit, elsewhere up to rounding.
"""

import csv
from dataclasses import replace

import pytest
import torch

from vitlab.machine import hardware
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe

RECIPE = Recipe(steps=6, batch_size=32, lr=3e-3, evaluations=3, warmup_steps=2, augment=("crop", "flip"))
ROUNDING = {"fp32": 1e-4, "bf16": 1e-2}
MADE_ON = ("AMD EPYC (AVX-512 bf16)", "2.14.1")
PINNED = {
    ("ViT-Pico/2", "fp32"): (2.3058087825775146, 2.3091697692871094, 2.3062825202941895),
    ("ViT-Pico/2", "bf16"): (2.305778980255127, 2.3089184761047363, 2.308091640472412),
    ("HybridViT-Pico/2", "fp32"): (2.3058671951293945, 2.3095035552978516, 2.314945697784424),
    ("HybridViT-Pico/2", "bf16"): (2.3059165477752686, 2.310091018676758, 2.315061092376709),
    ("ResNet-Pico", "fp32"): (2.3056514263153076, 2.3136544227600098, 2.3128738403320312),
    ("ResNet-Pico", "bf16"): (2.3056423664093018, 2.313767910003662, 2.3126869201660156),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("model", "precision"), PINNED)
def test_the_losses_of_a_short_training_are_those_that_were_pinned(model, precision, tmp_path):
    place = Place(tmp_path, tmp_path / "cache")
    run = Run(model, Data("digits", train_size=100), replace(RECIPE, precision=precision))
    assert execute(run, place, Listener(lambda event: None, lambda: False)).status == "finished"
    with place.store.path(run, "curve.csv").open() as file:
        losses = tuple(float(line["train_loss"]) for line in csv.DictReader(file))
    pinned = PINNED[model, precision]
    assert losses == pytest.approx(pinned, rel=ROUNDING[precision])
    if MADE_ON[0] in hardware() and torch.__version__.startswith(MADE_ON[1]):
        assert losses == pinned
