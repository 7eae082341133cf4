"""The weights that come with vitlab beside one's own images: which are taken, and at which rate they are fine-tuned."""

from pathlib import Path

import pandas as pd
import pytest

from experiments import recipes
from vitlab.report.families import SIZES, family, size
from vitlab.runs.stored import drawable, read_rows
from vitlab.study.beside import start_of
from vitlab.study.own_data import LONGEST_FINETUNING, weights_for
from vitlab.weights import shipped

RESULTS = Path(__file__).parents[2] / "results"
TRIALS = {"ViT": ("vit_pico_4.200_steps", "vit_pico_4.tiny_imagenet_32"), "ResNet": ("resnet_pico.200_steps",)}


@pytest.mark.parametrize("kind", TRIALS)
def test_the_rate_of_fine_tuning_is_the_best_on_average_of_trials_with_its_recipe(kind):
    recipe, found = recipes.PHOTOGRAPHS.finetune, []
    for name in TRIALS[kind]:
        rows = drawable(read_rows(RESULTS / "few_shot" / name))
        trials = rows[(rows["task.kind"] == "classify") & (rows["split"] == "validation")]
        tried = trials.filter(
            regex=r"^recipe\.(batch_size|optimizer|weight_decay|augment|precision)$"
        ).drop_duplicates()
        assert len(tried) == 1 and set(trials["recipe.steps"]) <= {200, LONGEST_FINETUNING}
        assert all(
            getattr(recipe, column.partition(".")[2]) in (value, tuple(str(value).split()))
            for column, value in tried.iloc[0].items()
        )
        scores = trials.groupby(["recipe.lr", "data.name"])["score"].mean().unstack()
        assert scores.shape[1] == 4
        found.append(scores.mean(axis=1))
    means = pd.concat(found, axis=1).dropna().mean(axis=1)
    assert recipes.PHOTOGRAPHS.finetune_rates[kind] == (means.idxmax(),)
    assert means.index.min() < means.idxmax() < means.index.max()


def test_a_family_that_is_not_trained_has_no_weights_beside():
    (source,) = weights_for(["ResNet-Pico"])
    assert family(start_of(source)[0].model) == "ResNet"


def test_larger_models_are_held_against_larger_weights_one_of_each_family():
    every = {source: start_of(source)[0].model for source in shipped()}
    for largest in ("Pico", "Nano", "Micro", "B"):
        models = [every[source] for source in weights_for([f"ViT-{largest}/4", "ResNet-Pico"])]
        trained = [name for name in every.values() if family(name) in ("ViT", "ResNet")]
        smaller = [name for name in trained if SIZES.index(size(name)) <= SIZES.index(largest)]
        assert {family(name) for name in models} == {family(name) for name in smaller}
        assert all(
            SIZES.index(size(name)) == max(SIZES.index(size(one)) for one in smaller if family(one) == family(name))
            for name in models
        )
