"""The command line: flags to calls, answers to text and exit codes. Decides nothing of a scenario or an engine."""

from coordinator.cli.main import main

__all__ = ["main"]
