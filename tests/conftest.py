"""What every test shares: how hypothesis draws. anyio's own plugin runs async tests on asyncio and on trio."""

import os
from pathlib import Path

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
"""How much longer than usual to wait for anything: emulated machines are slow (tools/vm.py)."""

# No deadline per example: it would measure the machine, not the code.
settings.register_profile(
    "house",
    deadline=None,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(ROOT / ".cache" / "hypothesis"),
)
settings.load_profile("house")
