"""The kernel's own network emulator (netem) on packets that nft leads through a device of ours, as commands for tc.
Runs nothing. For kernels that have the module sch_netem, where somebody asks for it: our own emulator needs none.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.docker.programs.bandwidth import ROOT, UNLIMITED, class_id
from actors.docker.programs.fields import Fields
from actors.docker.programs.impairments import DISTRIBUTIONS, KINDS, MAX_DELAY_MS

MOST_WAITING = 100_000
"""Packets that wait at most; netem's own 1,000 are full after 20 ms of a fast line."""


class Netem(NamedTuple):
    """What is done to packets that arrive, in netem's words."""

    words: str
    direction: str = "in"


def netem(given: object, where: str) -> Netem:
    """Read `of`, one of our emulator's kinds, and the parameters of that kind. Raises Malformed."""
    fields = Fields(given, where)
    kind = fields.text("of", None, KINDS)
    if kind == "network_latency":
        words = _delay(fields)
    elif kind == "network_loss" and (states := fields.inner("gilbert_elliott")) is not None:
        words = "loss gemodel " + " ".join(_percent(states, *each) for each in GILBERT_ELLIOTT)
        states.end()
    else:
        words = f"{WORDS[kind]} {_percent(fields, 'percent', None)} {_percent(fields, 'correlation', 0)}"
        if kind == "network_reordering":
            words = f"delay {fields.number('delay_ms', 10, 0, MAX_DELAY_MS):g}ms {words}"
    fields.end()
    return Netem(words)


def limit(device: str, slot: int, wanted: Netem) -> list[str]:
    """Lines for `tc -batch -`, as `bandwidth.limit` has them: a class that limits nothing, and netem in it."""
    return [
        f"class replace dev {device} parent {ROOT} classid {class_id(slot)} htb {UNLIMITED}",
        f"qdisc replace dev {device} parent {class_id(slot)} netem limit {MOST_WAITING} {wanted.words}",
    ]


WORDS = {
    "network_loss": "loss random",
    "network_duplication": "duplicate",
    "network_corruption": "corrupt",
    "network_reordering": "reorder",
}
GILBERT_ELLIOTT = (("enter", None), ("leave", None), ("loss_bad", 100), ("loss_good", 0))
"""In the order in which netem's gemodel has them: p, r, 1-h, 1-k."""


def _delay(fields: Fields) -> str:
    delay = fields.number("latency_ms", None, 0, MAX_DELAY_MS)
    jitter = fields.number("jitter_ms", 0, 0, MAX_DELAY_MS)
    correlation = _percent(fields, "correlation", 0)
    shape = fields.text("distribution", "uniform", DISTRIBUTIONS)
    words = f"delay {delay:g}ms"
    if jitter:
        words += f" {jitter:g}ms {correlation}"
        # `uniform` is what netem does where no table is named.
        words += "" if shape == "uniform" else f" distribution {shape}"
    return words


def _percent(fields: Fields, name: str, default: float | None) -> str:
    return f"{fields.number(name, default, 0, 100):g}%"
