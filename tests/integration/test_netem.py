"""The kernel's own emulator on a fault's packets: measured by ping where it has one, refused where not."""

from __future__ import annotations

import json
import re
import subprocess
import time
from uuid import uuid4

from actors.docker.programs.netns import LACKING
from tests.integration.held import Held, state
from tests.integration.namespaces import Namespace

DELAY = {"of": "network_latency", "latency_ms": 50}


def has_netem(namespace: Namespace) -> bool:
    """Whether this kernel has it, tried without anything of ours."""
    words = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    if subprocess.run(namespace.argv("tc", *words), check=False, capture_output=True).returncode != 0:
        return False
    namespace.run("tc", *["qdisc", "del", "dev", "lo", "root"])
    return True


def put(holder: Held, params: dict[str, object], **match: object) -> tuple[str, str, int]:
    """Ask for it; the fault's id, the error if there is one, and the status."""
    fault = uuid4().hex
    mark = f"fault={fault} execution={fault} instance=t expires={int(time.time()) + 600}"
    answer = holder.ask("put", mark, json.dumps({"kind": "netem", "match": match, "params": params}))
    return fault, str(answer["error"]), int(answer["exit"])


def pinged(target: Namespace, peer: Namespace, count: int = 20) -> tuple[float, float]:
    """Milliseconds a round trip took at least, and the percentage that was lost, by ping from outside."""
    command = ["ping", "-q", "-c", str(count), "-i", "0.02", "-W", "2", target.ipv4]
    told = subprocess.run(peer.argv(*command), check=False, capture_output=True, text=True).stdout
    times = re.search(r"= ([\d.]+)/", told)
    lost = re.search(r"([\d.]+)% packet loss", told)
    assert lost, told
    return float(times[1]) if times else 0.0, float(lost[1])


def test_it_is_felt_and_gone_or_refused(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """A delay, then losses of all that arrives, each to be measured by ping; the kernel afterwards as before."""
    target, peer = both
    before = state(target)
    here = has_netem(target)
    calm, _ = pinged(target, peer)
    fault, error, status = put(holder, DELAY)
    if not here:
        assert status == LACKING
        assert error.endswith("; where the kernel has no netem (module sch_netem) leave out `mechanism`")
        assert state(target) == before
        assert pinged(target, peer)[1] == 0
        return
    assert not error
    took, _ = pinged(target, peer)
    assert 50 <= took < 50 + calm + 25
    assert put(holder, DELAY)[1].startswith("netem cannot be put beside another netem")
    assert holder.remove(fault)["packets"] >= 20
    assert state(target) == before
    fault, error, _ = put(holder, {"of": "network_loss", "percent": 100}, peers=[peer.ipv4])
    assert not error
    assert pinged(target, peer, 5)[1] == 100
    holder.remove(fault)
    assert pinged(target, peer)[1] == 0
    assert state(target) == before
