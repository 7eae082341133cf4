"""Sentences that many claims share: who is ahead, who gains more. They fill `Claim.says`, and what has no number
`Claim.paper`.
"""

from __future__ import annotations

from collections.abc import Mapping

from vitlab.claims.sentences import DEFAULTS

UNTESTED = DEFAULTS["cannot be tested here"]
UNSAID = "no number"  # the paper says it, and measures something else or nothing
OURS = "ours: no number"


def leads(where: str = "", plural: bool = False) -> Mapping[str, str]:
    """Clauses on `first` - `second`; `where` comes first, such as "with {train_images:,} images "."""
    verb = "are" if plural else "is"
    return {
        "holds": f"{where}{{first}} {verb} {{amount}} ahead of {{second}}",
        "does not hold": f"{where}{{second}} {verb} {{amount}} ahead of {{first}}",
        "undecided": f"{where}it is not decided whether {{first}} or {{second}} is ahead",
        "cannot be tested here": where + UNTESTED,
    }


def alike(where: str = "") -> Mapping[str, str]:
    """Clauses on whether `first` and `second` are the same within the claim's margin."""
    return {
        "holds": f"{where}{{first}} and {{second}} are alike",
        "does not hold": f"{where}{{first}} and {{second}} differ by {{amount}}",
        "undecided": f"{where}whether {{first}} and {{second}} are alike is not decided",
        "cannot be tested here": where + UNTESTED,
    }


def not_worse(where: str = "", plural: bool = False) -> Mapping[str, str]:
    """Clauses on `first` - `second` above a bound below 0: how much worse would still do."""
    verb = "are" if plural else "is"
    return {
        "holds": f"{where}{{first}} {verb} not worse than {{second}} ({{effect}} {{unit}})",
        "does not hold": f"{where}{{first}} {verb} worse than {{second}} ({{effect}} {{unit}})",
        "undecided": f"{where}whether {{first}} {verb} worse than {{second}} is not decided",
        "cannot be tested here": where + UNTESTED,
    }


def catches_up(over: str) -> Mapping[str, str]:
    """Clauses on whether `first` gains on `second`, whoever is ahead; `over`: along what, "from {few:,} images on"."""
    return {
        "holds": f"{{first}} gains on {{second}} {over}",
        "does not hold": f"{{first}} loses ground to {{second}} {over}",
        "undecided": f"whether {{first}} gains on {{second}} {over} is not decided",
    }


def gains_more(over: str) -> Mapping[str, str]:
    """Clauses on whether `first` gains more than `second`."""
    return {
        "holds": f"{over} {{first}} gains {{amount}} more than {{second}}",
        "does not hold": f"{over} {{first}} gains {{amount}} less than {{second}}",
        "undecided": f"{over} it is not decided whether {{first}} gains more than {{second}}",
    }


def shrinks(where: str) -> Mapping[str, str]:
    """Clauses on what becomes of a lead of `first` over `second`, if there is one; `where` begins the sentence."""
    verbs = {"holds": "loses {amount} against", "does not hold": "gains {amount} on"}
    return {outcome: f"{where}{{first}} {verb} {{second}}" for outcome, verb in verbs.items()}
