"""Where the real data is, for the tests that need it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Kernels compile at their first call, so a deadline a call would only measure the compiler.
settings.register_profile("nilometer", deadline=None, print_blob=True)
settings.load_profile("nilometer")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: ``$NILOMETER_DATA``, else ``../shared/data``; without either the test is skipped."""
    root = Path(__file__).resolve().parent.parent
    for place in (os.environ.get("NILOMETER_DATA"), root.parent / "shared" / "data"):
        if place and Path(place).is_dir():
            return Path(place)
    pytest.skip("no real data: set NILOMETER_DATA to the folder that holds it")
