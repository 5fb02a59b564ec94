"""A plan held against the engine's machine: what it lacks and what it has no room for comes to light before a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from coordinator.faults.abilities import Abilities, Way
from coordinator.faults.facts import ContainerFacts, Mount
from coordinator.scenarios.feasible import held_against
from coordinator.scenarios.parse import parse
from coordinator.scenarios.plan import Plan
from tests.unit.scenarios.test_plan import A, planned

pytestmark = pytest.mark.anyio

HERE = {"tc_netem": "", "ifb": "", "nft_forward": "", "tc_htb": "", "nft_reject": ""}
NETEM = "type: network_loss, percent: 1%, mechanism: netem"
FILL = "type: disk_fill, path: /data/x"


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here waits."""
    return "asyncio"


@dataclass
class Known:
    """A machine of which all is known."""

    tried: Abilities
    asked: list[str] = field(default_factory=list)

    async def abilities(self) -> Abilities:
        self.asked.append("abilities")
        return self.tried

    async def disk(self, folder: str) -> int | None:
        self.asked.append(folder)
        return {"/var/lib/engine/v": 64 << 20}.get(folder)


def by_helper(**lacks: str) -> Abilities:
    """All is here but these."""
    return Abilities(helper=Way(state="tried", abilities=HERE | lacks))


async def held(fault: str, known: Known | None, *containers: ContainerFacts) -> Plan:
    """The plan of a phase with this fault."""
    text = (
        "apiVersion: test-coordinator/v1\nkind: Scenario\nmetadata: {name: tried}\n"
        f"targets: {{a: {{names: [a]}}}}\nphases: [{{name: p, duration: 9s, faults: [{{{fault}, target: a}}]}}]\n"
    )
    return await held_against(planned(text, containers or (A,)), parse(text, file="f").scenario, known)


async def test_what_the_machine_lacks_is_refused() -> None:
    """One line with the reason; where the host's namespaces are entered, what is there counts."""
    why = "Specified qdisc kind is unknown"
    plan = await held(NETEM, Known(by_helper(tc_netem=why)))
    assert plan.refusals == (f"phase p: network_loss on a needs tc_netem, which is not here: {why}",)
    host = by_helper(tc_netem=why).model_copy(update={"host": Way(state="tried", abilities=HERE)})
    assert (await held(NETEM, Known(host))).refusals == ()
    plan = await held("type: network_blackhole, answer: tcp-reset", Known(by_helper(nft_reject="no")))
    assert plan.refusals == ("phase p: network_blackhole on a needs nft_reject, which is not here: no",)


@pytest.mark.parametrize("known", [None, Known(Abilities())])
async def test_what_nobody_could_try_is_warned_of(known: Known | None) -> None:
    """Not refused: it may be there."""
    plan = await held(NETEM, known)
    assert plan.refusals == ()
    assert "phase p: network_loss on a needs tc_netem, which was not tried: see doctor" in plan.warnings


async def test_only_what_a_plan_depends_on_is_asked() -> None:
    """Trying takes time, which no other plan is to wait for."""
    for fault in ("type: network_loss, percent: 1%", "type: network_blackhole", f"{FILL}, percent: 50%"):
        known = Known(by_helper())
        plan = await held(fault, known)
        assert (known.asked, plan.refusals) == ([], ())


@pytest.mark.parametrize(
    ("size", "mount", "refused"),
    [
        ("63m", "/var/lib/engine/v", False),
        ("65m", "/var/lib/engine/v", True),
        ("99999g", "/var/lib/engine/other", False),
        ("99999g", "", False),
    ],
)
async def test_more_than_a_disk_has(size: str, mount: str, *, refused: bool) -> None:
    """Where its size is known; else the helper sees, from inside the container."""
    there = A.model_copy(update={"mounts": (Mount(path="/data", source=mount),)})
    plan = await held(f"{FILL}, size: {size}", Known(by_helper()), there)
    line = "phase p: disk_fill on a would take 65m of a disk that has 64m in all"
    assert plan.refusals == ((line,) if refused else ())
