"""The floors against scikit-learn, on the subset that a run is trained on."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from vitlab.data.loading import load_data
from vitlab.runs.execute import execute, images_of, prepare
from vitlab.runs.floors import SIDE, pixels
from vitlab.runs.place import Listener, Place, Stopped
from vitlab.runs.rows import flat, run_of
from vitlab.runs.run import Data, Run, from_settings, settings
from vitlab.runs.training import run_indices
from vitlab.tasks.settings import Floors

SILENT = Listener(lambda event: None, lambda: False)
RUN = Run("pixels", Data("digits", train_size=80, subset_seed=1), task=Floors(), seed=1)


def test_floors_are_scikit_learns(tmp_path):
    place = Place(tmp_path, tmp_path / "cache")
    outcome = execute(RUN, place, SILENT)
    assert outcome.status == "finished", outcome.reason
    scores = {row["part"]: row["score"] for row in outcome.rows}
    data = images_of(RUN, place)
    chosen = run_indices(RUN, data)

    def flattened(split, indices):
        found = split.images(indices).double().div(255).flatten(1).numpy().reshape(len(indices), 3, -1)
        return ((found - np.array(data.mean)[:, None]) / np.array(data.std)[:, None]).reshape(len(indices), -1)

    train, test = flattened(data.train, chosen), flattened(data.test, torch.arange(len(data.test)))
    labels, truth = data.train.labels[chosen].numpy(), data.test.labels.numpy()
    near = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(train, labels)
    always = DummyClassifier(strategy="most_frequent").fit(train, labels)
    assert scores == pytest.approx(
        {"nearest neighbour on pixels": near.score(test, truth), "majority class": always.score(test, truth)}
    )
    assert scores["nearest neighbour on pixels"] > 0.7
    assert {row["train_images"] for row in outcome.rows} == {80} and outcome.rows[0]["train_split"] == len(data.train)


def test_the_run_is_stored_as_every_other(tmp_path):
    assert from_settings(settings(RUN)) == RUN
    assert run_of({"run": RUN.id, **flat(RUN)}).id == RUN.id
    assert prepare([RUN], Place(tmp_path, tmp_path / "cache")).flops[RUN.id] == 6 * 80 * 360 * 64


def test_large_images_are_averaged_down(tmp_path):
    data = load_data("digits", image_size=2 * SIDE, cache=tmp_path)
    found = pixels(data, "test", SILENT, torch.arange(3))
    assert found.shape == (3, 3 * SIDE**2)
    seen = data.test.images(torch.tensor([2])).double().div(255)[0]
    mean = (seen[0, :2, :2].mean() - data.mean[0]) / data.std[0]
    assert found[2, 0].item() == pytest.approx(float(mean), abs=1e-5)


def test_a_stop_is_heard(tmp_path):
    data = load_data("digits", cache=tmp_path)
    with pytest.raises(Stopped):
        pixels(data, "test", Listener(lambda event: None, lambda: True), torch.arange(3))
