"""What files of this folder share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def guided_worlds() -> ModuleType:
    """The file that makes worlds in which images are guided."""
    spec = importlib.util.spec_from_file_location("guided_worlds", Path(__file__).with_name("guided_worlds.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module
