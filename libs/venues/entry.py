"""Load what an entry string names: ``"package.module:name"``."""

import importlib
import importlib.util
from typing import Any


def load_entry(entry: str) -> Any:
    """Import the module and return the named object.

    Raises:
        ImportError, AttributeError: the module or the name does not exist.
    """
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def is_installed(entry: str) -> bool:
    """Whether the module of an entry exists, without running it."""
    try:
        return importlib.util.find_spec(entry.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False
