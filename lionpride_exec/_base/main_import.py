"""
Whether this process only imports the main module of a program, to make calls for the program.

A worker process of AnyIO or multiprocessing imports the main module of its program as ``__mp_main__``. While that
import goes on, ``sys.modules`` has the module under this name only, or beside another ``__main__``. Afterwards both
names lead to it. An interpreter of ours keeps its own ``__main__``, so it tells when the import is over.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

# The name of the program's main module where it is only imported, as in multiprocessing and AnyIO.
IMPORTED_MAIN: Final = "__mp_main__"

_NO_GUARD: Final = (
    "an executor cannot start here: a worker process imports the main module of the program, and the module starts the "
    "program once more, so all its work would be done twice. Put the start of the program, such as anyio.run(main), "
    'below if __name__ == "__main__":'
)

# The main modules that keep_imported_main() was called with: their import is over.
_kept: Final[list[ModuleType]] = []


def keep_imported_main(module: ModuleType) -> None:
    """Keep the main module that this interpreter has imported."""
    sys.modules[IMPORTED_MAIN] = module
    _kept.append(module)


def check_main_import_is_over() -> None:
    """
    Check that no import of a program's main module goes on in this process.

    Raises:
        ConfigurationError: The main module is being imported by a worker process.
    """
    module = sys.modules.get(IMPORTED_MAIN)
    if (
        module is not None
        and module.__name__ == IMPORTED_MAIN  # a program has its own main module under this name, to read its classes
        and module is not sys.modules.get("__main__")
        and not any(each is module for each in _kept)
    ):
        raise ConfigurationError(_NO_GUARD)
