"""One module per study of the paper; each is run with `python -m experiments.<name>`, and lists itself in `NAMES`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitlab.study.study import Study

# In the order of the paper's sections; what is about the recipe, the machine and the results themselves comes last.
NAMES = (
    "inductive_bias",
    "transfer",
    "few_shot",
    "data_scaling",
    "compute_scaling",
    "inspection",
    "masked_patch",
    "optimizer",
    "shape",
    "head",
    "position",
    "throughput",
    "axial",
    "block",
    "scratch",
    "tuning",
    "again",
)


def studies(names: Sequence[str] = NAMES) -> dict[str, Study]:
    """The studies by name. Raises ValueError for a name that is no study's."""
    from vitlab.errors import suggest

    for name in names:
        if name not in NAMES:
            raise ValueError(f"There is no study {name!r}; allowed: {', '.join(NAMES)}.{suggest(name, NAMES)}")
    return {name: importlib.import_module(f"{__name__}.{name}").STUDY for name in names}
