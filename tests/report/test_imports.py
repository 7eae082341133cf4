import pkgutil
import subprocess
import sys

import vitlab.report

HEAVY = ("torch", "lightning", "timm", "matplotlib.pyplot", "scipy.stats", "sklearn")


def test_report_imports_no_torch_and_draws_without_it() -> None:
    modules = [f"vitlab.report.{module.name}" for module in pkgutil.iter_modules(vitlab.report.__path__)]
    program = "\n".join(
        [
            "import sys",
            *(f"import {module}" for module in modules),
            "import pandas as pd",
            "rows = pd.DataFrame([dict(model=m, train_images=n, seed=s, score=0.5 + s / 100)",
            "    for m in ('ViT-Pico/2', 'ResNet-Pico') for n in (50, 100) for s in (0, 1)])",
            "from vitlab.report import build, draw, evidence",
            "chart = build.curves_and_gaps(rows, x='train_images', title='t', ylabel='y')",
            "table = build.scaling_table('t', rows, 'train_images')",
            "found = evidence.Evidence(tables=(table,), figures={'figure': chart})",
            "back = evidence.Evidence.loads(found.dumps())",
            "assert 'matplotlib' not in sys.modules",
            "draw.for_column(back.figures['figure'])",
            f"print([name for name in {HEAVY} if name in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
