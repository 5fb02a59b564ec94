"""Commands as values: the language in which every effect and every undo is written, printed, stored and run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Final

from coordinator.faults.facts import Value
from coordinator.identity import LABEL_EXECUTION, LABEL_FAULT, LABEL_ROLE

SINGLE_PROCESS_VERBS = frozenset({"pause", "unpause", "kill"})
"""Verbs the engine works off fast for many containers named in one command (measured)."""

PARALLEL_VERBS = frozenset({"start", "stop", "restart"})
"""Verbs the CLI works off one container after another: these run as up to MAX_CHUNKS parallel commands."""

MAX_CHUNKS = 4

NAMESPACE_DEADLINE_S: Final = 20.0
"""How long something inside a network namespace may take; most of it is the start of a helper on a busy engine."""

FAST_VERB_S = 1.0
"""What each further container of a pause, unpause or kill adds to the deadline; 0.1 s is usual."""

HELPER_IMAGE: Final = "{helper-image}"
"""Stands in argv, alone, for the image that helpers run; known only where the command runs."""

HELPER_IMAGE_SHOWN: Final = "${HELPER_IMAGE}"
"""The same for a person, whose shell fills it in."""

LABEL_PROGRAMS: Final = "test-coordinator.programs"
"""On an image: which programs are inside, as a hash. An image of another version may have others."""

SET_HELPER_IMAGE: Final = (
    f"HELPER_IMAGE=$(docker image ls --quiet --filter label={LABEL_PROGRAMS} --filter dangling=false | head -n 1)"
)
"""What a person's shell fills it in from, where nobody here knows which image it is."""

HELPER_PROGRAMS: Final = "/usr/local/lib/test-coordinator/actors/docker/programs"
"""The folder in the helper image that holds the programs; its end is the package they import each other from."""

MANY: Final = "--"
"""Before the last argument of a helper's command: a container id, to which others may be added."""

NETNS_PROGRAM: Final = f"{HELPER_PROGRAMS}/netns.py"
"""What acts inside a target's network namespace."""

STRESS_PROGRAM: Final = f"{HELPER_PROGRAMS}/stress.py"
"""What starts stressors in a cgroup of the engine's machine, and ends them."""

LIMITS_PROGRAM: Final = f"{HELPER_PROGRAMS}/limits.py"
"""What sets limits on the engine's machine, and sets them back."""

LEFT: Final = "left as it is: "
"""Begins what it prints where it was asked to set back what somebody else has changed since."""

HOLD: Final = ("hold",)
"""What any of these three is asked in order to be asked more."""

HELD: Final = (NETNS_PROGRAM, STRESS_PROGRAM, LIMITS_PROGRAM)

FAULT: Final = "{fault}"
"""Stands in argv, alone, for the id of the fault; known when it is armed."""

MARK: Final = "{mark}"
"""Stands in argv, alone, for what names a fault inside a kernel: its id, execution, instance and deadline."""

KEPT: Final = "{kept}"
"""Stands in argv, alone, for what was read of a target when its fault was armed."""

HOSTS_PROGRAM: Final = f"{HELPER_PROGRAMS}/hosts.py"
"""What acts on a target's own /etc/hosts."""

_NAMESPACE: Final = "container:"
_SHOWN: Final = {HELPER_IMAGE: HELPER_IMAGE_SHOWN, FAULT: "${FAULT}", MARK: "${MARK}", KEPT: "${KEPT}"}
SHOWN: Final = frozenset(_SHOWN.values())
"""What stands in a shown command for what is known only when it runs."""


class EnvEntry(Value):
    """A variable or header of a command: plain `value`, or the name of a `secret` resolved when the command runs."""

    name: str
    value: str = ""
    secret: str = ""


class DockerCommand(Value):
    """`docker` with these arguments. `deadline_s` is seconds; the process is killed when it passes."""

    argv: tuple[str, ...]
    env: tuple[EnvEntry, ...] = ()
    deadline_s: float = 60.0

    def shown(self) -> str:
        """The command as a person would paste it into a shell; secrets stay names."""
        return " ".join(self.pasted())

    def pasted(self) -> list[str]:
        """The words of that."""
        environment = [
            f"{entry.name}=" + (f"${{{entry.secret}}}" if entry.secret else shlex.quote(entry.value))
            for entry in self.env
        ]
        words = [_SHOWN.get(part) or shlex.quote(part) for part in self.argv]
        return [*environment, "docker", *words]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of those it needs."""
        return tuple(entry.secret for entry in self.env if entry.secret)

    @property
    def waits(self) -> bool:
        """Whether it may wait long for what goes on in a container: a grace period, a program."""
        return self.argv[:1] in {("stop",), ("restart",), ("exec",)}

    @property
    def of_helper(self) -> bool:
        """Whether it runs a helper container."""
        return HELPER_IMAGE in self.argv

    @property
    def namespace(self) -> str:
        """The container whose network namespace it acts in through NETNS_PROGRAM; empty where it does not."""
        if NETNS_PROGRAM not in self.argv:
            return ""
        return next((part.removeprefix(_NAMESPACE) for part in self.argv if part.startswith(_NAMESPACE)), "")

    @property
    def place(self) -> str:
        """Where a helper acts that can be held open: a network namespace, or the host's cgroups with what it may do
        there, or the limits of cgroups; empty for all others.
        """
        if LIMITS_PROGRAM in self.argv:
            return "limits"
        if STRESS_PROGRAM not in self.argv:
            return self.namespace
        options = zip(self.argv, self.argv[1:], strict=False)
        return " ".join(["cgroups", *sorted(value for option, value in options if option == "--cap-add")])

    @property
    def outlasts_helper(self) -> bool:
        """Whether what it puts stays when the helper that is held open is lost: a limit, which is the cgroup's."""
        return LIMITS_PROGRAM in self.argv

    @property
    def container(self) -> str:
        """The container that a helper that can be held open acts on."""
        return self.namespace or self.argv[-1]

    @property
    def inside(self) -> tuple[str, ...]:
        """What is asked of the program of a helper that can be held open."""
        return self.argv[self._program + 1 :]

    @property
    def _program(self) -> int:
        return next(place for place, part in enumerate(self.argv) if part in HELD)

    def held(self, name: str) -> DockerCommand:
        """What keeps its helper open under this name, to be asked on its standard input, instead of asking once.

        Not removed by the engine when it ends: an engine that restarts would kill it without its clean-up.
        """
        options = self.argv[1 : self._program + 1]
        kept = tuple(part for part in options if part != "--rm")
        return self.model_copy(update={"argv": ("run", "--interactive", "--name", name, *kept, *HOLD)})

    def filled(self, values: Mapping[str, str]) -> DockerCommand:
        """The same with what stands for a fault replaced by these."""
        return self.model_copy(update={"argv": tuple(values.get(part, part) for part in self.argv)})

    def labelled(self, labels: Mapping[str, str]) -> DockerCommand:
        """The same with these labels on the helper it runs; as it is where it runs none."""
        if not self.of_helper:
            return self
        options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
        return self.model_copy(update={"argv": (self.argv[0], *options, *self.argv[1:])})

    def on_behalf(self, execution: str, fault: str) -> DockerCommand:
        """The same with the helper it runs labelled with whose it is: one that comes too late is found by that."""
        return self.labelled({LABEL_EXECUTION: execution, LABEL_FAULT: fault})


ADDRESS: Final = "{address}"
"""Stands in a URL for where its container is; known when the request is sent."""


class HttpCommand(Value):
    """One HTTP request; any answer of 200 to 299 is success. `deadline_s` is seconds to the end of the answer.

    With ADDRESS in the URL it goes to wherever `container_id` is at that moment.
    """

    method: str
    url: str
    headers: tuple[EnvEntry, ...] = ()
    body: str | None = None
    deadline_s: float = 5.0
    container_id: str = ""

    @property
    def argv(self) -> tuple[str, ...]:
        """How curl would be asked for the same; secrets stay names."""
        headers = [part for each in self.headers for part in ("--header", _line(each))]
        data = ["--data-raw", self.body] if self.body is not None else []
        how = ("--fail", "--silent", "--show-error", "--max-time", f"{self.deadline_s:g}", "--request", self.method)
        return ("curl", *how, *headers, *data, self.url)

    def shown(self) -> str:
        """As a person would paste it into a shell; secrets stay names, and the address is asked for."""
        return " ".join(self.pasted())

    def pasted(self) -> list[str]:
        """The words of that."""
        return [self._quoted(word) for word in self.argv]

    def _quoted(self, word: str) -> str:
        if word == self.url and ADDRESS in word:
            before, _, after = word.partition(ADDRESS)
            return f"{shlex.quote(before)}$({_ASK_ADDRESS} {self.container_id} | cut -d' ' -f1){shlex.quote(after)}"
        secret = any(each.secret and word == _line(each) for each in self.headers)
        return f'"{word}"' if secret else shlex.quote(word)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of those it needs."""
        return tuple(entry.secret for entry in self.headers if entry.secret)

    @property
    def of_helper(self) -> bool:
        """It runs none."""
        return False

    @property
    def namespace(self) -> str:
        """It acts in none."""
        return ""

    @property
    def inside(self) -> tuple[str, ...]:
        """Nothing is asked of NETNS_PROGRAM."""
        return ()

    def filled(self, values: Mapping[str, str]) -> HttpCommand:
        """Nothing in it stands for a fault."""
        return self

    def on_behalf(self, execution: str, fault: str) -> HttpCommand:
        """It leaves nothing behind that could be labelled."""
        return self


_ASK_ADDRESS: Final = "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'"


def _line(header: EnvEntry) -> str:
    """As it is sent; in a secret's place what stands for it in a shell."""
    return f"{header.name}: " + (f"${{{header.secret}}}" if header.secret else header.value)


Command = DockerCommand | HttpCommand
"""Whatever changes something, or puts it back."""


class Outcome(Value):
    """How a command ended. `exit_code` is None when it never started or was killed at its deadline."""

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    duration_s: float = 0.0
    timed_out: bool = False
    ended_at: float | None = None
    """When, on the event loop's clock; None where nobody noted it."""
    nothing_done: bool = False
    """Nobody was there who could have taken it, or whoever was refused it: nothing of it is done, or will be."""

    @property
    def ok(self) -> bool:
        """Whether the process ended by itself with exit code 0."""
        return self.exit_code == 0


def named(commands: Iterable[str], image: str) -> tuple[str, ...]:
    """Shown commands with the helper image in its place; as they are where `image` is empty."""
    # The image comes before all that a scenario may have written.
    return tuple(
        command.replace(HELPER_IMAGE_SHOWN, shlex.quote(image), 1) if image and needs_image(command) else command
        for command in commands
    )


def by_hand(commands: Iterable[str]) -> tuple[str, ...]:
    """Shown commands as a person can paste them: after the line that sets the helper image, where one needs it."""
    shown = tuple(commands)
    return (SET_HELPER_IMAGE, *shown) if any(map(needs_image, shown)) else shown


def needs_image(command: str) -> bool:
    """Whether a shown command runs a helper whose image it does not name."""
    return command.startswith("docker run ") and HELPER_IMAGE_SHOWN in command


def in_namespace(container_id: str, *arguments: str) -> DockerCommand:
    """NETNS_PROGRAM inside a container's network namespace: its own tools are not needed, nor any right on the host.

    It may change the namespace, and send packets of its own: the copies of a duplication.
    """
    allowed = ("--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW")
    argv = (
        "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=helper", "--log-driver", "none", "--no-healthcheck",
        "--read-only", "--network", f"{_NAMESPACE}{container_id}", "--user", "0:0", "--cap-drop", "ALL", *allowed,
        "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S", NETNS_PROGRAM, *arguments,
    )  # fmt: skip
    return DockerCommand(argv=argv, deadline_s=NAMESPACE_DEADLINE_S)


def beside_hosts(container_id: str, *arguments: str) -> DockerCommand:
    """HOSTS_PROGRAM with a container's own /etc/hosts, which whoever joins its network namespace has too, to write."""
    argv = (
        "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=helper", "--log-driver", "none", "--no-healthcheck",
        "--network", f"{_NAMESPACE}{container_id}", "--user", "0:0", "--cap-drop", "ALL",
        "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S", HOSTS_PROGRAM, *arguments,
    )  # fmt: skip
    return DockerCommand(argv=argv, deadline_s=NAMESPACE_DEADLINE_S)


def batch(commands: Iterable[Command]) -> tuple[Command, ...]:
    """Merge commands that differ only in their last argument (the container id), keeping order of first appearance.

    Pause, unpause, kill and a helper that takes many become one command; start, stop and restart up to four; anything
    else stays alone.
    """
    groups: dict[Command, list[str]] = {}
    for command in commands:
        if isinstance(command, DockerCommand) and (_at_once(command) or command.argv[0] in PARALLEL_VERBS):
            shared = command.model_copy(update={"argv": command.argv[:-1]})
            groups.setdefault(shared, []).append(command.argv[-1])
        else:
            groups.setdefault(command, [])
    merged: list[Command] = []
    for key, ids in groups.items():
        if isinstance(key, HttpCommand) or not ids:
            merged.append(key)
            continue
        at_once = key.argv[0] not in PARALLEL_VERBS
        chunks = 1 if at_once else min(MAX_CHUNKS, len(ids))
        for first in range(chunks):
            part = tuple(ids[first::chunks])
            # The engine may take a slow verb's whole time once per container of a chunk.
            each_s = FAST_VERB_S if at_once else key.deadline_s
            deadline_s = key.deadline_s + each_s * (len(part) - 1)
            merged.append(key.model_copy(update={"argv": (*key.argv, *part), "deadline_s": deadline_s}))
    return tuple(merged)


def _at_once(command: DockerCommand) -> bool:
    """Whether one command does it to any number of containers in little more time."""
    return command.argv[0] in SINGLE_PROCESS_VERBS or (command.of_helper and command.argv[-2] == MANY)
