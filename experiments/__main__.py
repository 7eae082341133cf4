"""The list of studies: what each asks, its presets, the claims that it tests, and what results/ holds of it.

python -m experiments
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from experiments import studies

RESULTS = Path("results")


def main() -> None:
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
    console.print(
        "\npython -m experiments.<name> runs a study on data that comes with an installed package; --help lists its "
        "settings.\npython -m experiments.paper runs all of them, and experiments.compare holds two results against "
        "each other.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
