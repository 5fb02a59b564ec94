"""Limits while their faults are on: puts them, sees when somebody else changes one, and what the kernel kills for want
of memory meanwhile.

Serves `limits.py hold`. The limits are not its own: they stay when it ends, until they are set back. Standard library
only.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from actors.docker.programs import running
from actors.docker.programs.holding import answer, news, serve
from actors.docker.programs.killings import Killings, Tell
from actors.docker.programs.limits import OK, Failed, Group, can_be_put, changed, known, put, remove
from actors.docker.programs.load_target import Target
from actors.docker.programs.pending import end_puts

LOOK_S = 0.5
"""How often it is looked whether a limit is what it was set to."""

REAPPLY_S = 5.0
"""How long after one time a limit is set anew again: whoever goes on changing it is told so, not fought."""

SET_ANEW = "somebody else had changed the limit: it is set anew"
KILLED = "the kernel killed a process of the container for want of memory"
Answer = Callable[[int, str, str], None]
"""Is given the number under which something was asked, why it could not be done, and what is said where it was."""


class Kept:
    """A limit that was put, in the run of its container that has it."""

    def __init__(self, words: list[str]) -> None:
        """Put it: FAULT KIND VALUE ON_CHANGE MARK CONTAINER_ID. Raises Failed, and then nothing is changed."""
        self.fault, self.kind, self.value, on_change, mark, self.container = words
        running.in_time(mark)
        self.reapplied = on_change == "reapply"
        self.killings = None
        self.joined: list[Group] = []
        """The cgroups that stressors of ours join: its main process's own, which may be further down."""
        if self.kind == "memory":
            # Counted from before: what it kills at once is of the fault.
            target = Target(self.container)
            self.killings, self.joined = Killings(target, KILLED), target.groups[:1]
        self.where: Group = self._put()
        self.theirs: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []
        """Theirs beside which it could not be set anew."""
        self.again_at = 0.0
        self._processes: dict[str, bool] = {}
        """Of the cgroup, by their ids, and whether each is a stressor of ours."""

    def _put(self) -> Group:
        return put(self.fault, self.kind, self.value, self.container, anew=self.reapplied)

    def look(self, tell: Tell) -> bool:
        """Tell what has happened since; whether it is still to be looked after."""
        try:
            told = self.where.record(self.kind)
            theirs = self.where.foreign(told["wanted"]) if told else []
        except OSError:
            return False
        # Kept on the cgroup, and so of this very run: another has a cgroup of the same name.
        now = self.where.record(self.kind)
        if told is None or now != told or told.get("fault") != self.fault:
            return False
        self._tell_killed(tell)
        if theirs and theirs != self.theirs:
            tell("lost", self.container, ", ".join(changed(theirs)))
        self.theirs = theirs
        if theirs and not self.reapplied:
            return False
        if theirs and theirs != self.refused and time.monotonic() >= self.again_at:
            self._reapply(tell)
        return True

    def _reapply(self, tell: Tell) -> None:
        self.again_at = time.monotonic() + REAPPLY_S
        try:
            self.where = self._put()
        except Failed as error:
            self.refused = self.theirs
            tell("not_remade", self.container, str(error))
            return
        self.theirs = []
        tell("remade", self.container, SET_ANEW)

    def _tell_killed(self, tell: Tell) -> None:
        """Where stressors of ours are killed as well, whoever holds them tells of it."""
        if self.killings is None:
            return
        had = any(self._processes.values())
        try:
            found = [pid for group in self.joined for pid in group.read("cgroup.procs").split()]
        except OSError:
            found = []
        self._processes = {pid: self._processes.get(pid, running.asked(int(pid)) is not None) for pid in found}
        loaded = had or any(self._processes.values())
        self.killings.look(_to_nobody if loaded else tell, last=True)


class Keeper:
    """All limits put through this process."""

    def __init__(self, answered: Answer, tell: Tell) -> None:
        """Nothing is put yet. `answered` is given what became of what was asked, `tell` what happens later."""
        self._answered = answered
        self._tell = tell
        self.kept: list[Kept] = []

    def ask(self, number: int, argv: list[str]) -> None:
        """Do what is asked for, and answer."""
        error = out = ""
        try:
            match argv:
                case ["put", *words] if can_be_put(words):
                    self._forget(words[0], words[-1])
                    self.kept.append(Kept(words))
                case ["remove", fault, container] if known(container):
                    self._forget(fault, container)
                    end_puts("limits.py", fault, container)
                    out = remove(fault, container)
                case _:
                    error = "put FAULT KIND VALUE ON_CHANGE MARK CONTAINER_ID or remove FAULT CONTAINER_ID is due"
        except Failed as failure:
            error = f"{argv[-1][:12]}: {failure}"
        self._answered(number, error, out)

    def _forget(self, fault: str, container: str) -> None:
        self.kept = [each for each in self.kept if (each.fault, each.container) != (fault, container)]

    def look(self) -> None:
        """After all of them; what is over, or somebody else's by now, is forgotten: no other helper puts it."""
        for each in tuple(self.kept):
            if not each.look(self._tell):
                self.kept.remove(each)
                self._tell("over", each.container, each.fault)

    def wait(self, inputs: list[int]) -> set[int]:
        """A turn; which of the inputs can be read."""
        readable, _, _ = select.select(inputs, [], [], LOOK_S)
        self.look()
        return set(readable)


def hold() -> int:
    """Serve standard input until it ends, nobody gives a sign of life any more, or a signal comes."""
    keeper = Keeper(answer, news)
    serve(keeper.ask, keeper.wait)
    return OK


def _to_nobody(event: str, container: str, text: str) -> None:
    """Somebody else tells it."""
