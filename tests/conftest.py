"""One thread a test process: several share the machine, and sums come out the same on any number of cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
