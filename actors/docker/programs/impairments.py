"""What a bad network does to packets: delay, jitter, loss, duplication, corruption, reordering, with netem's meanings.

Decides per packet, from numbers it is handed by a generator; touches no packet, clock or socket itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from actors.docker.programs.fields import Fields, Malformed

MAX_DELAY_MS = 600_000
"""Ten minutes: packets that wait are held in the kernel's memory."""

KINDS = ("network_latency", "network_loss", "network_duplication", "network_corruption", "network_reordering")
DISTRIBUTIONS = ("uniform", "normal", "pareto")
NEEDS_CONTENT = frozenset({"network_duplication", "network_corruption"})
"""Kinds for which the packet's bytes have to be copied out of the kernel and back."""

PARETO_SHAPE = 3.0
PARETO_MEAN = 1.5
PARETO_SCALE = 4.0 / 3.0
"""As iproute2 makes its pareto table: shape 3, moved to a mean of 0 and stretched."""

PARETO_MOST = 4.0
"""The largest value that table holds, in units of the jitter."""

DECK = 500
"""Of so many numbers dealt in a row, each part of as many from 0 to 1 has one: what is asked of a share is had soon. Of
fewer, rare losses would keep apart from each other.
"""

# Quantiles are infinite at 0 and 1.
LEAST, MOST = 1e-9, 1 - 1e-9


class Correlated:
    """Numbers from 0 to 1 of which each resembles the last: next = rho * last + (1 - rho) * random, as netem's are.

    As there, they gather around one half the stronger they are correlated, so that rare things become rarer. Where they
    are not, they are dealt as cards are, from a deck that is shuffled anew when it is used up (stratified sampling): in
    any order, but of the first 2,000 packets 30 % are 30, and not 30 ± 1. What is rare follows itself a little more
    rarely: at 1 % four times where chance would have it five times.
    """

    def __init__(self, percent: float, random: Random) -> None:
        """`percent` of the last number stays in the next: 0 = none of it, 100 = always the first."""
        self._rho = percent / 100
        self._random = random
        self._last = random.random()
        self._deck: list[int] = []

    def draw(self) -> float:
        """The next number."""
        if self._rho:
            self._last = self._rho * self._last + (1 - self._rho) * self._random.random()
            return self._last
        if not self._deck:
            self._deck = list(range(DECK))
            self._random.shuffle(self._deck)
        return (self._deck.pop() + self._random.random()) / DECK


def uniform(chance: float) -> float:
    """From -1 to 1, all alike."""
    return 2 * chance - 1


def pareto(chance: float) -> float:
    """A mean near 0, mostly a little below it, and a long tail above. 0 comes to the far end of the tail."""
    return min(PARETO_MOST, (math.pow(max(chance, LEAST), -1 / PARETO_SHAPE) - PARETO_MEAN) * PARETO_SCALE)


def normal() -> Callable[[float], float]:
    """A mean of 0 and a standard deviation of 1, as a function of where in the distribution."""
    # Only where it is asked for: the import takes more memory than all the rest of the program.
    from statistics import NormalDist

    quantile = NormalDist().inv_cdf
    return lambda chance: quantile(min(max(chance, LEAST), MOST))


class Fate:
    """What becomes of one packet, gathered from all impairments that are about it."""

    __slots__ = ("copies", "delay_s", "flips", "lost")

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.lost = False
        self.copies = 0
        self.flips = 0


class Impairment:
    """One of the kinds at work. `happened` counts the packets to which it did something."""

    def __init__(self) -> None:
        self.happened = 0

    def judge(self, fate: Fate) -> None:
        """Add to a packet's fate."""
        raise NotImplementedError


class Latency(Impairment):
    """A delay that varies by the jitter. It is never less than none."""

    def __init__(self, delay_ms: float, jitter_ms: float, chances: Correlated, shape: Callable[[float], float]) -> None:
        super().__init__()
        self._delay_s = delay_ms / 1000
        self._jitter_s = jitter_ms / 1000
        self._chances = chances
        self._shape = shape

    def judge(self, fate: Fate) -> None:
        """Delays of several add up."""
        delay = self._delay_s
        if self._jitter_s:
            delay = max(0.0, delay + self._jitter_s * self._shape(self._chances.draw()))
        fate.delay_s += delay
        self.happened += 1


class Loss(Impairment):
    """A share of the packets is gone, each on its own or in runs."""

    def __init__(self, percent: float, chances: Correlated) -> None:
        super().__init__()
        self._share = percent / 100
        self._chances = chances

    def judge(self, fate: Fate) -> None:
        """Several lose independently of each other."""
        if self._chances.draw() < self._share:
            fate.lost = True
            self.happened += 1


class GilbertElliott(Impairment):
    """A link that is now good, now bad, and loses more while it is bad: losses come in bursts."""

    def __init__(self, enter: float, leave: float, loss_bad: float, loss_good: float, random: Random) -> None:
        """Percent per packet: the chances to turn bad and good again, and of loss in either state."""
        super().__init__()
        self._change = {False: enter / 100, True: leave / 100}
        self._loss = {False: loss_good / 100, True: loss_bad / 100}
        self._bad = False
        self._random = random

    def judge(self, fate: Fate) -> None:
        """As netem does: the packet that turns the link over is judged by the state it came in."""
        came_in = self._bad
        if self._random.random() < self._change[came_in]:
            self._bad = not came_in
        if self._random.random() < self._loss[came_in]:
            fate.lost = True
            self.happened += 1


class Duplication(Impairment):
    """A share of the packets arrives twice."""

    def __init__(self, percent: float, chances: Correlated) -> None:
        super().__init__()
        self._share = percent / 100
        self._chances = chances

    def judge(self, fate: Fate) -> None:
        """Copies of several add up."""
        if self._chances.draw() < self._share:
            fate.copies += 1
            self.happened += 1


class Corruption(Impairment):
    """In a share of the packets one bit is wrong."""

    def __init__(self, percent: float, chances: Correlated) -> None:
        super().__init__()
        self._share = percent / 100
        self._chances = chances

    def judge(self, fate: Fate) -> None:
        """Bits of several may fall on the same place."""
        if self._chances.draw() < self._share:
            fate.flips += 1
            self.happened += 1


class Reordering(Impairment):
    """A share of the packets goes at once and so overtakes the others, which wait."""

    def __init__(self, percent: float, delay_ms: float, chances: Correlated) -> None:
        super().__init__()
        self._share = percent / 100
        self._delay_s = delay_ms / 1000
        self._chances = chances

    def judge(self, fate: Fate) -> None:
        """Who overtakes keeps the delay of other impairments, as all do, and so still overtakes."""
        if self._chances.draw() < self._share:
            self.happened += 1
        else:
            fate.delay_s += self._delay_s


def impairment(kind: str, params: Fields, random: Random) -> Impairment:
    """Make one from the parameters of its fault. Raises Malformed."""
    made = _latency(params, random) if kind == "network_latency" else _chance(kind, params, random)
    params.end()
    return made


def _latency(params: Fields, random: Random) -> Latency:
    delay = params.number("latency_ms", None, 0, MAX_DELAY_MS)
    jitter = params.number("jitter_ms", 0, 0, MAX_DELAY_MS)
    chances = Correlated(params.number("correlation", 0, 0, 100), random)
    name = params.text("distribution", "uniform", DISTRIBUTIONS)
    shape = normal() if name == "normal" else {"uniform": uniform, "pareto": pareto}[name]
    return Latency(delay, jitter, chances, shape)


def _chance(kind: str, params: Fields, random: Random) -> Impairment:
    if kind == "network_loss" and (states := params.inner("gilbert_elliott")) is not None:
        made = GilbertElliott(
            states.number("enter", None, 0, 100),
            states.number("leave", None, 0, 100),
            states.number("loss_bad", 100, 0, 100),
            states.number("loss_good", 0, 0, 100),
            random,
        )
        states.end()
        return made
    percent = params.number("percent", None, 0, 100)
    chances = Correlated(params.number("correlation", 0, 0, 100), random)
    if kind == "network_loss":
        return Loss(percent, chances)
    if kind == "network_duplication":
        return Duplication(percent, chances)
    if kind == "network_corruption":
        return Corruption(percent, chances)
    if kind == "network_reordering":
        return Reordering(percent, params.number("delay_ms", 10, 0, MAX_DELAY_MS), chances)
    raise Malformed(f"kind: one of {', '.join(KINDS)} is due, not {kind!r}")


def flipped(content: bytes, random: Random) -> bytes:
    """The same packet with one wrong bit behind its IP header, where the checksums of TCP, UDP and ICMP see it.

    In the IP header it would be one more lost packet, or one that goes somewhere else: that is not corruption.
    """
    header = (content[0] & 0x0F) * 4 if content[0] >> 4 == 4 else 40  # noqa: PLR2004  # the version, an IPv6 header
    if len(content) <= header:
        return content
    changed = bytearray(content)
    changed[random.randrange(header, len(content))] ^= 1 << random.randrange(8)
    return bytes(changed)
