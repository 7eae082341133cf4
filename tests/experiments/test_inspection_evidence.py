"""Section 4.5: what training has done to a model is what was not so before."""

import pandas as pd

from experiments.inspection_evidence import verdicts


def test_fewer_local_heads_that_untrained_weights_have_too_are_no_finding():
    near = {"ViT-Pico/4": (2, 2, 1, 2), "HybridViT-Pico/4": (0, 0, 0, 0)}  # local heads of two, by seed
    row = {"part": "attention", "layer": 1, "step": 0, "uniform_px": 16.0, "side_px": 32, "task.kind": "inspect"}
    rows = pd.DataFrame(
        row | {"model": model, "seed": seed, "stage": stage, "distance_px": 4.0 if head < local[seed] else 15.0}
        for model, local in near.items() for seed in range(4) for stage in ("snapshot", "selected") for head in (0, 1)
    )  # fmt: skip
    trained = rows.assign(title="d", distance_px=rows["distance_px"].where(rows["stage"] == "selected", 15.0))
    for seen, failed in ((trained, []), (rows.assign(title="d"), ["it holds for untrained weights too: +87.5"])):
        (verdict,) = (one for one in verdicts(seen, seen, "ViT-Pico/4") if one.claim.id == "inside.hybrid")
        assert [words.partition(" [")[0] for words in verdict.failed] == failed
