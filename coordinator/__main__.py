"""The program: `test-coordinator`, also `python -m coordinator`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code."""
    from coordinator.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
