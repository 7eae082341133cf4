"""What a model's name says: its family and its size, so that equal things look equal in every table and figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SIZES = ("Pico", "Nano", "Micro", "Mini", "Small", "Ti", "S", "b", "B", "L", "H")


def family(model: str) -> str:
    """`ViT`, `HybridViT` or `ResNet` for names of the zoo (`ViT-B/16`, `R50+ViT-B/16`, `R50x1`), otherwise the name."""
    if model.startswith("HybridViT") or "+ViT" in model:
        return "HybridViT"
    if model.startswith("ViT"):
        return "ViT"
    if model.startswith("ResNet") or re.fullmatch(r"R\d+x\d+.*", model):
        return "ResNet"
    return model


def size(model: str) -> str:
    """The part of a name that says its size (`Micro` of `ViT-Micro/4`, `50x1` of `R50x1`), or an empty string."""
    match = re.fullmatch(r"(?:.*ViT|ResNet)-([A-Za-z]+)(?:/\d+)?", model) or re.fullmatch(r"R(\d+x\d+).*", model)
    return match.group(1) if match else ""


def called(model: str) -> tuple[str, str, str]:
    """The names by which a setting may mean a model, the closest first: its own, that without a patch size
    (`ViT-Micro` of `ViT-Micro/4`), and its family."""
    return model, model.partition("/")[0], family(model)


def by_family(models: Sequence[str]) -> dict[str, str]:
    """What models of one size are called: their family, or their own name where another has that family too."""
    families = [family(model) for model in models]
    return {model: of if families.count(of) == 1 else model for model, of in zip(models, families, strict=True)}


def in_order(models: Iterable[str]) -> list[str]:
    """Distinct names: ViTs, hybrids, ResNets, others; small before large within a family."""
    families = ["ViT", "HybridViT", "ResNet"]

    def key(model: str) -> tuple[int, int, str]:
        of = family(model)
        scale = SIZES.index(size(model)) if size(model) in SIZES else len(SIZES)
        return (families.index(of) if of in families else len(families), scale, model)

    return sorted(set(models), key=key)


def matched_pairs(models: Iterable[str], first: str = "ViT", second: str = "ResNet") -> list[tuple[str, str]]:
    """Pairs (model of family `first`, model of family `second`) of one size; the only two models pair in any case."""
    names = in_order(models)
    left, right = ([name for name in names if family(name) == wanted] for wanted in (first, second))
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    return [(a, b) for a in left for b in right if size(a) and size(a) == size(b)]


def columns(models: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Heading and models of each column of a figure: one a size where each size has a pair, else one without a heading.

    A pair across sizes needs both of its models in one panel.
    """
    sizes = list(dict.fromkeys(size(model) for model in models))
    across = any(size(first) != size(second) for first, second in pairs)
    if len(sizes) == 1 or across or {size(first) for first, _ in pairs} != set(sizes):
        return [("", list(models))]
    return [(name, [model for model in models if size(model) == name]) for name in sizes]
