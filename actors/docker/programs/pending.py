"""Programs of ours that are still about to put a fault when its undo comes: whoever waited for one gives up sooner than
it does, and what it did then would stay. Found by their command lines, and ended. Standard library only.
"""

from __future__ import annotations

from actors.docker.programs.limits import ALL
from actors.docker.programs.running import FEW, PROGRAMS, end, others, words_of


def end_puts(program: str, fault: str, container: str) -> None:
    """End whoever puts this fault, or with `all` any, into this container by this program. Raises Failed."""

    def still(pid: int) -> bool:
        return puts(words_of(pid), program, fault, container)

    end("process", lambda: list(filter(still, others())), still)


def puts(words: list[str], program: str, fault: str, container: str) -> bool:
    """Whether a command line asks for that."""
    for at, word in enumerate(words[:FEW]):
        if word.endswith(PROGRAMS + program):
            match words[at + 1 :]:
                case ["put", named, *_, whose]:
                    return fault in {named, ALL} and container == whose
    return False
