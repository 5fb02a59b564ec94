"""Docker command lines taken apart, as far as a simulated engine understands them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from coordinator.faults.lifecycle import signal_name

FLAGS: Final = frozenset({"-d", "--detach", "-i", "--interactive", "-t", "--tty", "--privileged", "-f", "--force",
    "--rm", "--read-only", "--no-healthcheck"})  # fmt: skip


class WrongUsage(Exception):
    """The command line itself is refused; nothing reached the engine."""


@dataclass(slots=True)
class Line:
    """A command line taken apart: options with their values, and what follows them."""

    values: list[tuple[str, str]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def value(self, names: frozenset[str], default: str) -> str:
        """The last value given."""
        return next((value for name, value in reversed(self.values) if name in names), default)


def parse(argv: list[str], valued: frozenset[str]) -> Line:
    """Options up to the first word that is none; everything after it belongs to the command."""
    line = Line()
    words = list(argv)
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        if name in valued:
            if not equals and not words:
                raise WrongUsage(f"flag needs an argument: {name}")
            line.values.append((name, value if equals else words.pop(0)))
        elif name not in FLAGS:
            raise WrongUsage(f"unknown flag: {name}")
    line.rest = words
    if not line.rest:
        raise WrongUsage("docker: requires at least 1 argument")
    return line


def known_signal(text: str) -> str:
    """The name of a signal that docker knows. Raises WrongUsage."""
    try:
        return signal_name(text)
    except ValueError:
        raise WrongUsage(f"Error response from daemon: Invalid signal: {text}") from None
