"""The warden as a program: a file that is run as it stands, so that nothing is imported but what it needs."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """`watch` for a coordinator beside it (a name may follow, for who lists processes), or `recover` for it."""
    root = str(Path(__file__).resolve().parents[2])
    if root not in sys.path:
        # Without installed packages: behind the standard library, which a folder of such packages must never hide.
        # With them: before them, for it is a working tree that is not installed, and maybe another one is.
        sys.path.insert(len(sys.path) if sys.flags.no_site else 0, root)
    if sys.argv[1] == "recover":
        from coordinator.assembly.recovery_pass import main as recover

        return recover()
    from coordinator.warden.sibling import watch

    return watch()


if __name__ == "__main__":
    sys.exit(main())
