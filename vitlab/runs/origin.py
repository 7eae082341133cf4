"""Where a run's weights come from, in the words of its rows."""

from __future__ import annotations

from typing import Any

from vitlab.runs.run import Run
from vitlab.runs.store import Store


def origin(run: Run, store: Store) -> dict[str, Any]:
    """The columns `init` (the run or the source that the weights start from), `upstream` and `upstream_size`.

    `upstream` names the data of the training that `init` ends with and `upstream_size` counts its images. All are None
    for a training from scratch, the last two for weights from elsewhere, whose data is not known.
    """
    if not isinstance(run.init, Run):
        return {"init": run.init, "upstream": None, "upstream_size": None}
    trained = store.rows(run.init)
    size = trained[0].get("train_size") if trained else run.init.data.train_size
    return {"init": run.init.id, "upstream": run.init.data.name, "upstream_size": size}
