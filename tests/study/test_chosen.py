"""What is said of the choices for one's own images: what is left out, and which option says otherwise."""

from dataclasses import replace

from tests.study.test_own_data import QUICK, chosen, machine, photos
from vitlab.data.info import describe
from vitlab.study.chosen import told
from vitlab.study.own_data import options_given

__all__ = ["photos"]


def words_about(found, photos, rate: float, *words: str) -> str:
    return "\n".join(told(found, describe(str(photos)), options_given(words), machine(rate).speed))


def test_what_is_left_out_is_what_there_would_be_and_what_nobody_said(photos):
    plenty = words_about(chosen(photos, 10**7), photos, 10**7)
    assert plenty.endswith("Left out, as each asks for more time: the hybrid (--models ViT HybridViT ResNet).")
    for words, asked in (
        (("--models", "ResNet-Pico"), {"models": ("ResNet-Pico",)}),
        (("--patch", "7"), {"patch": 7}),  # which tiles no larger one
        (("--epochs", "90"), {"recipe": replace(QUICK.recipe, epochs=90)}),
    ):
        said = words_about(chosen(photos, 400, *words, **asked), photos, 400, *words)
        assert ("--sizes" in said) == (words[0] != "--models") and "want of time" not in said
        assert ("--image_size 64" in said) == (words[0] != "--patch")
        assert ("--steps" in said) == (words[0] != "--epochs")
        assert ("(--patch)" in said) == (words[0] == "--epochs")
