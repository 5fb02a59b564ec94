"""Loads the container named by its id from inside its limits, with processes that are not of it but in its cgroups.

    stress.py put FAULT cpu WORKERSxLOAD MARK CONTAINER_ID        LOAD: per cent of one CPU, by each worker
    stress.py put FAULT memory BYTES|SHARE% MARK CONTAINER_ID     SHARE of the container's limit
    stress.py put FAULT disk WORKERSxPATH MARK CONTAINER_ID       PATH: a folder as the container sees it
    stress.py remove FAULT CONTAINER_ID                           none of this fault runs when this ends with 0
    stress.py hold                                                the same, asked for in lines of JSON

Runs in the host's process and cgroup namespaces, with the host's cgroups mounted. `put` ends with 0 when the
container's own accounting shows what its stressors do. Put by itself they outlive this program, until the time
`expires` in MARK. Put while it holds, they end with it: when its input ends, nobody gives a sign of life any more, or
it is killed. It also tells what the kernel kills for want of memory meanwhile. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import re
import select
import signal
import time
from collections.abc import Callable
from functools import partial

from actors.docker.programs.holding import answer, news, serve
from actors.docker.programs.killings import Killings, Tell
from actors.docker.programs.limits import FAILED, OK, USAGE, Failed, known
from actors.docker.programs.load_target import Target
from actors.docker.programs.running import expires, remove
from actors.docker.programs.running import start as start_program

SHOWN_S = 12.0
"""How long the accounting may take to show a stressor."""

LOOK_S = 0.25
"""How often `hold` looks at what the kernel has killed."""

VALUES = {
    "cpu": re.compile(r"\d{1,3}x\d+(\.\d+)?(e-\d+)?"),
    "disk": re.compile(r"\d{1,3}x/.*"),
    "memory": re.compile(r"\d+|\d+(\.\d+)?(e-\d+)?%"),
}
"""The forms of VALUE, by kind."""

PUT_WORDS = 5
STRESSORS = os.path.abspath(f"{__file__}/../stressors.py")  # noqa: PTH100  # pathlib takes long to import
KILLED = "the stressor was killed, not the container: more memory than its limit leaves"
ENDED = "the stressor has ended: the container has, or its deadline is past"
Answer = Callable[[int, str], None]
"""Is given the number under which something was asked, and why it could not be done: empty where it was."""


class Stressor:
    """A process of its own, its input, and what it says."""

    def __init__(self, words: list[str]) -> None:
        """Start it. Raises Failed."""
        self.pid, self.input, self.output = start_program([sys.executable, "-I", "-S", STRESSORS, *words])
        self.on = False
        self._rest = b""

    def heard(self) -> list[str] | None:
        """What it has said, in whole lines; None when it has ended."""
        chunk = os.read(self.output, 4096)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def begin(self, target: Target, *, stays: bool) -> None:
        """Let it work in this container. Raises Failed."""
        target.take(self.pid)
        try:
            os.write(self.input, f"{target.pid} {target.since} {int(stays)}\n".encode())
        except OSError:
            raise Failed("the stressor has ended before it began") from None

    def reap(self) -> int:
        """How it ended, as os.waitpid has it, once its output has."""
        os.close(self.output)
        os.close(self.input)
        return os.waitpid(self.pid, 0)[1]


class Put:
    """One fault in one container: its stressors, and whether it is in force. Answered once, under `number`."""

    def __init__(self, words: list[str], number: int) -> None:
        """Start what is asked for by `FAULT KIND VALUE MARK CONTAINER_ID`. Raises Failed, and then none runs."""
        self.fault, self.kind, value, mark, container = words
        self.number = number
        self.answered = self.taken_out = False
        self.target = Target(container)
        # One without a deadline as well: a stressor ends by itself.
        if expires(mark) <= time.time():
            raise Failed("its deadline is past")
        self.until = time.monotonic() + SHOWN_S
        self.deadline = time.monotonic() + expires(mark) - time.time()
        self.least, workers, each = self._wanted(value)
        self.before = self.target.used(self.kind) if self.kind in {"cpu", "memory"} else 0
        self.stressors: list[Stressor] = []
        try:
            for _ in range(workers):
                self.stressors.append(Stressor([self.fault, self.kind, each, mark, container]))
        except Failed:
            self.end()
            for stressor in self.stressors:
                stressor.reap()
            raise

    def _wanted(self, value: str) -> tuple[int, int, str]:
        """What its accounting has to show at least, how many stressors, and what each is told. Raises Failed."""
        if self.kind == "memory":
            size = self.target.memory(value)
            return size, 1, str(size)
        workers, load = value.split("x", maxsplit=1)
        if self.kind == "disk":
            # Each sees for itself that a disk has what it wrote.
            return 0, int(workers), load
        return 1, int(workers), str(float(load) / 100)

    def shown(self) -> None:
        """Whether the container's accounting shows what they do. Raises Failed."""
        used = self.target.used(self.kind) if self.kind in {"cpu", "memory"} else 0
        # What the container itself gave back meanwhile is not ours to demand.
        if self.kind == "memory" and used < self.least:
            raise Failed(f"{self.least} bytes are held, and its accounting shows {used}")
        if self.kind == "cpu" and used < self.before + self.least:
            raise Failed("its accounting of CPU time does not show the stressors")

    def past(self) -> bool:
        """Whether its container's run is over, or its time."""
        return time.monotonic() > self.deadline or not self.target.runs()

    def end(self) -> None:
        """Kill them; whoever reads their outputs reaps them."""
        self.taken_out = True
        for each in self.stressors:
            os.kill(each.pid, signal.SIGKILL)


class Stress:
    """What was put by this process, and what may be asked of it. `held`: the stressors end with it."""

    def __init__(self, answer: Answer, tell: Tell, *, held: bool) -> None:
        """Nothing is put yet. `answer` is given what became of what was asked, `tell` what happens later."""
        self._answered = answer
        self._told = tell
        self._held = held
        self.puts: list[Put] = []
        self._killings: dict[str, Killings] = {}

    def ask(self, number: int, argv: list[str]) -> None:
        """Begin what is asked for; it is answered now or later."""
        try:
            match argv:
                case ["put", *words] if can_be_put(words):
                    self._take_out(words[0], words[-1])
                    put = Put(words, number)
                    self.puts.append(put)
                    self._killings.setdefault(put.target.container, Killings(put.target))
                case ["remove", fault, container] if known(container):
                    self._take_out(fault, container)
                    remove(fault, container)
                    self._answered(number, "")
                case _:
                    self._answered(number, "put FAULT KIND VALUE MARK CONTAINER_ID or remove FAULT CONTAINER_ID is due")
        except Failed as error:
            self._answered(number, f"{argv[-1][:12] if argv else ''}: {error}")

    def _take_out(self, fault: str, container: str) -> None:
        """Of our own, what bears the fault's name."""
        for put in self.puts:
            if (put.fault, put.target.container) == (fault, container):
                put.end()
                self._answer(put, "it was taken out before it was in force")

    def end(self) -> None:
        """All of our own."""
        for put in self.puts:
            put.end()

    def outputs(self) -> dict[int, tuple[Put, Stressor]]:
        """By descriptor, the stressors that may say something."""
        return {each.output: (put, each) for put in self.puts for each in put.stressors}

    def hear(self, put: Put, stressor: Stressor) -> None:
        """What it says, or its end."""
        lines = stressor.heard()
        if lines is None:
            self._ended(put, stressor)
            return
        for line in lines:
            try:
                self._said(put, stressor, line)
            except Failed as error:
                self._fail(put, str(error))

    def _said(self, put: Put, stressor: Stressor, line: str) -> None:
        if put.taken_out:
            return
        if line == "ready":
            stressor.begin(put.target, stays=not self._held)
        elif line == "on":
            stressor.on = True
            if all(each.on for each in put.stressors):
                put.shown()
                self._answer(put)
        else:
            raise Failed(line.removeprefix("failed "))

    def _ended(self, put: Put, stressor: Stressor) -> None:
        status = stressor.reap()
        put.stressors.remove(stressor)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not put.taken_out
        container = put.target.container
        if killed:
            self._killings[container].died(told=not put.answered)
        if not put.answered:
            # Whether it was the kernel, for want of memory, or somebody else: the container goes on.
            self._fail(put, KILLED if killed and put.kind == "memory" else ENDED)

    def look(self) -> None:
        """End what is not in force in time, tell what was killed, and forget what is over."""
        for put in self.puts:
            if not put.answered and time.monotonic() > put.until:
                self._fail(put, f"its accounting does not show the stressors within {SHOWN_S:g} s: is it frozen?")
        # One whose stressors were killed is watched further: the container may be next.
        over = [put for put in self.puts if not put.stressors and (put.taken_out or put.past())]
        self.puts = [put for put in self.puts if put not in over]
        watched = {put.target.container for put in self.puts}
        for container, killings in list(self._killings.items()):
            killings.look(self._told, last=container not in watched)
            if container not in watched:
                del self._killings[container]
        for put in over:
            if not put.taken_out:
                self._told("over", put.target.container, put.fault)

    def _fail(self, put: Put, error: str) -> None:
        """End what there is of it; said as the answer where it is due, else as news."""
        put.end()
        if put.answered:
            self._told("ended", put.target.container, error)
            return
        try:
            remove(put.fault, put.target.container)
        except Failed as also:
            error = f"{error}; {also}"
        self._answer(put, error)

    def _answer(self, put: Put, error: str = "") -> None:
        """Once."""
        if not put.answered:
            put.answered = True
            self._answered(put.number, f"{put.target.container[:12]}: {error}" if error else "")


def can_be_put(words: list[str]) -> bool:
    """Whether these are FAULT KIND VALUE MARK CONTAINER_ID."""
    if len(words) != PUT_WORDS:
        return False
    _, kind, value, mark, container = words
    return kind in VALUES and VALUES[kind].fullmatch(value) is not None and expires(mark) > 0 and known(container)


# ---------------------------------------------------------------- hold, or once


def hold() -> int:
    """Serve standard input until it ends, nobody gives a sign of life any more, or a signal comes."""
    stress = Stress(answer, news, held=True)
    serve(stress.ask, partial(wait, stress))
    stress.end()
    return OK


def wait(stress: Stress, inputs: list[int]) -> set[int]:
    """A turn: hear what stressors say, and look after them; which of the inputs can be read."""
    outputs = stress.outputs()
    # Not `select`, which knows no descriptor above 1023.
    poll = select.poll()
    for descriptor in (*inputs, *outputs):
        poll.register(descriptor, select.POLLIN)
    readable = {descriptor for descriptor, _ in poll.poll(LOOK_S * 1000)}
    for descriptor in outputs.keys() & readable:
        stress.hear(*outputs[descriptor])
    stress.look()
    return readable


def once(argv: list[str]) -> int:
    """Without holding: what is put stays. 0 when it is done, 1 when it could not be."""
    answers: list[str] = []
    stress = Stress(lambda _, error: answers.append(error), lambda *_: None, held=False)
    stress.ask(0, argv)
    while not answers:
        wait(stress, [])
    if answers[0]:
        sys.stderr.write(f"{answers[0]}\n")
    return FAILED if answers[0] else OK


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["hold"]:
            return hold()
        case ["put", *words] if can_be_put(words):
            return once(sys.argv[1:])
        case ["remove", _, container] if known(container):
            return once(sys.argv[1:])
        case _:
            sys.stderr.write(f"usage: stress.py put FAULT {'|'.join(VALUES)} VALUE MARK ID | remove FAULT ID | hold\n")
            return USAGE


if __name__ == "__main__":
    sys.exit(main())
