"""A laboratory for "An Image is Worth 16x16 Words" (Dosovitskiy et al., ICLR 2021): its models, studies and figures.

Importing it is cheap, neither torch nor timm comes along. timm, whenever it is imported, learns our models' names.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__version__ = "0.1.0"


def _register() -> None:
    from vitlab.models.timm_registry import register

    register()


class _WhenTimmIsImported(MetaPathFinder):
    """Registers our models at the end of the first `import timm`, then steps aside; others may look for it before."""

    looking = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "timm" or self.looking:
            return None
        self.looking = True  # so that the other finders are asked
        try:
            spec = importlib.util.find_spec("timm")
        finally:
            self.looking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if "timm" in sys.modules:
    _register()
elif not any(type(finder).__name__ == _WhenTimmIsImported.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _WhenTimmIsImported())
