import pytest

from vitlab.report.families import called, family, in_order, matched_pairs, size


@pytest.mark.parametrize(
    ("model", "of", "scale"),
    [
        ("ViT-Micro/4", "ViT", "Micro"),
        ("HybridViT-Nano/4", "HybridViT", "Nano"),
        ("R50+ViT-B/16", "HybridViT", "B"),
        ("ResNet-Nano", "ResNet", "Nano"),
        ("R152x4", "ResNet", "152x4"),
        ("from scratch", "from scratch", ""),
    ],
)
def test_family_and_size(model: str, of: str, scale: str) -> None:
    assert (family(model), size(model)) == (of, scale)


def test_a_setting_may_mean_a_model_by_its_size() -> None:
    assert called("ViT-Micro/4") == ("ViT-Micro/4", "ViT-Micro", "ViT")
    assert called("ResNet-Nano") == ("ResNet-Nano", "ResNet-Nano", "ResNet")
    assert called("R50+ViT-B/16") == ("R50+ViT-B/16", "R50+ViT-B", "HybridViT")


def test_order_and_pairs() -> None:
    names = ["ResNet-Micro", "ViT-Micro/4", "ResNet-Nano", "HybridViT-Nano/4", "ViT-Nano/4"]
    assert in_order(names) == ["ViT-Nano/4", "ViT-Micro/4", "HybridViT-Nano/4", "ResNet-Nano", "ResNet-Micro"]
    assert matched_pairs(names) == [("ViT-Nano/4", "ResNet-Nano"), ("ViT-Micro/4", "ResNet-Micro")]
    assert matched_pairs(["ViT-B/16", "R50x1"]) == [("ViT-B/16", "R50x1")]
    assert matched_pairs(["ViT-B/16"]) == []
    figure_4 = ["ViT-b/32", "ViT-B/32", "ViT-L/16"]  # b is B with half its widths
    assert in_order(reversed(figure_4)) == figure_4
