"""What is said where nothing was done to a container because of how it was found: by the engine through its command
line, and by a helper's program. Pure judgement of texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coordinator.faults.commands import Command, Outcome

_DAEMON: Final = "Error response from daemon: "
_GONE: Final = "no such container"
_FOUND: Final[Mapping[str, tuple[str, ...]]] = {
    "pause": ("is already paused", "is not running", "is restarting", _GONE),
    "kill": ("is not running", _GONE),
    "stop": (_GONE,),
    "network": ("is not connected to", _GONE),
    "run": ("no process of this container is seen", "is gone"),
}
"""By the verb, in lower case: engines differ in the first letter. Of other verbs no refusal says that nothing was done.
"""

_SHORT: Final = 12


def refusal(command: Command, outcome: Outcome, container_id: str) -> str:
    """The line that says that a command did nothing to this container, and will not; empty where none does.

    One command may be for many containers; each is told of in a line of its own.
    """
    if outcome.exit_code in {None, 0}:
        return ""
    if network_gone(command, outcome):
        return f"network {command.argv[-2]} not found"
    told = _FOUND.get(command.argv[0], ())
    for line in outcome.stderr.splitlines():
        names = container_id in line or line.startswith(container_id[:_SHORT])
        if names and any(text in line.lower() for text in told):
            return line.removeprefix(_DAEMON)
    return ""


def network_gone(command: Command, outcome: Outcome) -> bool:
    """Whether a connect or disconnect was refused because the engine has no such network."""
    if command.argv[0] != "network" or outcome.exit_code in {None, 0}:
        return False
    network = command.argv[-2].lower()
    texts = (f"network {network} not found", f"no such network: {network}")
    return any(text in outcome.stderr.lower() for text in texts)


def done_to(outcome: Outcome, container_id: str) -> bool:
    """Whether the command did what it was asked to this container, whatever became of the others."""
    return outcome.ok or container_id in outcome.stdout.split()
