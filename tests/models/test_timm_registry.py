from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2

import vitlab
from vitlab.models import timm_registry
from vitlab.models.weight_files import timm_numerics


def test_importing_vitlab_is_cheap_and_timm_learns_the_names_when_it_comes():
    code = (
        "import sys, vitlab; assert not {'torch', 'timm', 'numpy'} & set(sys.modules); import importlib.util; "
        "assert importlib.util.find_spec('timm'); "  # as packages look whether it is there
        "import timm; assert not any('WhenTimm' in type(one).__name__ for one in sys.meta_path); "
        "print(timm.create_model('vitlab_vit_pico_patch4_32', num_classes=3).num_classes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


def test_timm_first():
    timm_registry.register()
    importlib.reload(vitlab)
    assert timm.is_model("vitlab_vit_tiny_patch4_32")
    assert not any(type(finder).__name__ == "_WhenTimmIsImported" for finder in sys.meta_path)


def test_a_registered_model_serves_timms_tools(images):
    model = timm.create_model("vitlab_vit_tiny_patch4_32", num_classes=10, drop_path_rate=0.1, depth=2)
    assert timm.data.resolve_model_data_config(model)["input_size"] == (3, 32, 32)
    assert model.model.config.drop_path == 0.1
    groups = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.1, layer_decay=0.7).param_groups
    assert len({group["lr_scale"] for group in groups}) == 4
    undecayed = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    assert id(model.model.positions[0].table) in undecayed
    batch = images(2, 3, 32, 32)
    assert model(batch).shape == (2, 10)
    model.reset_classifier(0)
    assert model(batch).shape == model.forward_features(batch).shape == (2, 192)
    model.reset_classifier(4)
    assert model(batch).shape == (2, 4) and model.get_classifier().out_features == 4


def test_a_resnet_takes_the_zeros_that_timms_training_script_passes_and_no_dropout():
    zeros = {"drop_rate": 0.0, "drop_path_rate": 0.0}
    assert timm.create_model("vitlab_resnet_pico_32", num_classes=3, **zeros).num_classes == 3
    with pytest.raises(ValueError, match="dropout"):
        timm.create_model("vitlab_resnet_pico_32", drop_rate=0.1)


@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "relu", "quick_gelu"])
def test_what_a_timm_model_computes_with_is_read_off_it(act):
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3, depth=1, act_layer=act).eval()
    if act == "quick_gelu":
        with pytest.raises(ValueError, match="QuickGELU; ours have GELU"):
            timm_numerics("vit", theirs)
        return
    assert timm_numerics("vit", theirs) == {"activation": act, "norm_eps": 1e-6, "numerics": "timm"}


def test_names_are_unique_and_settings_are_passed():
    names = timm_registry.timm_names()
    assert names["vitlab_r50_vit_base_patch16_224"] == ("R50+ViT-B/16", 224)
    assert (
        names["vitlab_resnet_small_28" if "vitlab_resnet_small_28" in names else "vitlab_resnet_smallimage_28"][1] == 28
    )
    assert len({value for value in names.values()}) == len(names)
    with torch.device("meta"):
        assert timm.create_model("vitlab_vit_pico_patch4_8", num_classes=0, in_chans=1, img_size=16).num_features == 64
    with pytest.raises(ValueError, match="no pretrained weights"):
        timm.create_model("vitlab_vit_pico_patch4_8", pretrained=True)


def test_global_pool_is_followed_or_refused():
    name = "vitlab_vit_tiny_patch4_32"
    assert timm.create_model(name, global_pool="avg").model.config.pooling == "gap"
    assert timm.create_model(name, global_pool="token").model.config.pooling == "cls"
    assert timm.create_model("vitlab_resnet_pico_32", global_pool="avg")
    with pytest.raises(ValueError, match="global_pool='token' of R50x1: choose from avg"):
        timm.create_model("vitlab_r50x1_224", global_pool="token")
    with pytest.raises(ValueError, match="global_pool='map'.*avg, token"):
        timm.create_model(name, global_pool="map")
