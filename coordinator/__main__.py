"""The program: `test-coordinator`, also `python -m coordinator`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code."""
    if sys.argv[1:3] == ["warden", "--"]:
        # It waits for as long as the coordinator lives: nothing is loaded that it does not need.
        from coordinator.warden.parent import main as warden

        return warden(sys.argv[3:])
    from coordinator.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
