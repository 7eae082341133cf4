"""The list of studies: what each asks, its presets, the claims that it tests, and what results/ holds of it.

python -m experiments                       # or, where vitlab is installed, from any folder: vitlab
vitlab data_scaling --data path/to/folder   # the same as python -m experiments.data_scaling in a checkout
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vitlab.errors import suggest
from vitlab.study.command_line import fail, program
from vitlab.study.study import main as run
from . import NAMES, studies

RESULTS = Path("results")
OTHERS = ("paper", "compare")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the list; or run the study that the first word names, with the others as its command line."""
    name, *words = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in OTHERS:
        importlib.import_module(f"{__package__}.{name}").main(words)
    elif name in NAMES:
        run(studies([name])[name], words)
    elif name in ("", "-h", "--help"):
        show()
    else:
        fail(f"There is no study {name!r}; allowed: {', '.join((*NAMES, *OTHERS))}.{suggest(name, (*NAMES, *OTHERS))}")


def show() -> None:
    """Print the list."""
    console = Console(highlight=False)
    for name, study in studies().items():
        section = f"section {study.section}" if study.section.strip("-") else "not in the paper"
        console.print(f"[bold]{name}[/] ({escape(section)}): {escape(study.question)}", soft_wrap=True)
        console.print(f"    presets   {', '.join(study.presets)}", soft_wrap=True)
        if study.claims:
            console.print(f"    claims    {', '.join(claim.id for claim in study.claims)}", soft_wrap=True)
        if found := sorted(path.parent.name for path in RESULTS.glob(f"{name}/*/evidence.json")):
            console.print(f"    evidence  {', '.join(f'{RESULTS}/{name}/{one}' for one in found)}", soft_wrap=True)
    called, paper, compare = (" ".join(program(name)) for name in ("<name>", "paper", "compare"))
    console.print(
        f"\n{escape(called)} runs a study on data that comes with an installed package; --help lists its settings.\n"
        f"{paper} runs all of them, and {compare} holds two results against each other.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
