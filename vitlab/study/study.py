"""A study is a question, claims, a plan and its evidence; `main` takes one from the command line to the files.

The plan lists the Runs; those that the store lacks are executed; verdicts, tables and figures are pure functions of
the rows. Nothing here imports torch, so that help, a dry run's arithmetic and a redraw are quick.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.runs.place import WorkerDied
from vitlab.runs.run import Run
from vitlab.runs.signals import INTERRUPTED, STOPPED, ending
from vitlab.runs.store import WEIGHTS
from vitlab.study.command_line import Execution, fail, parse
from vitlab.study.own_data import Photographs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.report.evidence import Evidence
    from vitlab.runs.store import Store


def by_data(settings: Any) -> str:
    """The folder's name where a study has no better one: the data's, without its classes."""
    from vitlab.data.sources import set_name  # here, because it takes numpy

    return set_name(settings.data).partition("@")[0]


def by_weights(source: str) -> str:
    """The folder's name of evidence about given weights, in letters that every system takes: theirs, or their folder's
    where all are called alike (in runs, and in Hugging Face's layout).
    """
    path = Path(source)
    named = path.parent if path.name == WEIGHTS and path.parent.name else path
    return re.sub(r"[^\w.-]+", "_", named.name)


@dataclass(frozen=True)
class Study:
    """One study of the paper.

    `plan(settings)` lists the Runs and `draw(rows, settings)` makes the evidence of their finished rows, each with the
    columns of the run that it starts from (`init.data.name`); `folder(settings)` names the evidence in
    `results/<study>/`. `measure(settings, how)` gives rows that are not of runs, one after the other so that an end
    before the last (it raises Stopped) costs none of them; nothing on a dry run, of which it says what would be done.
    `pictures(settings, store)` gives figures of what runs kept beside their rows; a redraw, which has rows alone,
    leaves them as they are. `wrong(measured)` says whether they are not as they should be, which is exit code 1.
    `shown` names the settings that the evidence alone depends on. `protocol` says what is done and how, as the study's
    module does. `photographs`: the recipe for images that nobody has studied yet, whose other settings then come from
    them (`vitlab.study.own_data`). `diverged`: whether `draw` takes the rows of runs that diverged too, as
    `vitlab.runs.stored.drawable` gives them.
    """

    name: str
    section: str
    question: str
    presets: Mapping[str, Any]
    draw: Callable[[pd.DataFrame, Any], Evidence]
    plan: Callable[[Any], list[Run]] = lambda settings: []
    claims: tuple[Claim, ...] = ()
    folder: Callable[[Any], str] = by_data
    measure: Callable[[Any, Execution], Iterable[dict[str, Any]]] | None = None
    known: Callable[[Any], Mapping[str, list[dict[str, Any]]]] = lambda settings: {}
    pictures: Callable[[Any, Store], Mapping[str, Figure]] = lambda settings, store: {}
    wrong: Callable[[list[dict[str, Any]]], bool] = lambda measured: False
    shown: frozenset[str] = frozenset()
    protocol: str = ""
    photographs: Photographs | None = None
    diverged: bool = False

    def about(self) -> dict[str, str]:
        """What its evidence records of the study itself."""
        return {"study": self.name, "section": self.section, "question": self.question, "protocol": self.protocol}

    def evidence_folder(self, settings: Any, how: Execution) -> Path:
        """The folder of the evidence, `results/<study>/<name>`.

        Raises:
            ValueError: for a --name that is no single folder's.
        """
        name = how.name or self.folder(settings)
        if not re.fullmatch(r"[\w.@,+-]*[\w@,+-][\w.@,+-]*", name):
            raise ValueError(
                f"The evidence cannot be named {name!r}; give --name letters, digits and -_.+ for one folder, such as "
                "longer."
            )
        return how.results / self.name / name


def main(study: Study, arguments: Sequence[str] | None = None) -> None:
    """Run `study` from the command line. Exit codes: 0 done, 1 a run failed, 2 wrong input, 3 stopped before the
    end.
    """
    arguments = sys.argv[1:] if arguments is None else arguments

    def conducted() -> int:
        settings, how = parse(study.name, study.question, study.presets, arguments)
        from vitlab.study.conduct import conduct, redraw  # after parsing, so that help comes at once

        with ending:
            return redraw(study, settings, how, arguments) if how.redraw else conduct(study, settings, how, arguments)

    end_with(conducted)


def end_with(work: Callable[[], int]) -> None:
    """End the program with the exit code of `work`, and with one message and its code where that raises.

    Without groups of processes, by which a study ends all that it started, no work is begun.
    """
    if not hasattr(os, "killpg"):
        fail("vitlab's studies need Linux or macOS; on Windows, install and start it within WSL (wsl --install).")
    try:
        raise SystemExit(work())
    except ValueError as error:
        fail(str(error))
    except (WorkerDied, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        raise SystemExit(STOPPED if ending.signalled else INTERRUPTED) from None
