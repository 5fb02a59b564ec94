import pytest

from actors.prober.container_probe import Seen, flaw_of, look, shown
from actors.prober.failures import NoContainer
from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import ContainerState
from coordinator.scenarios.probes import ContainerExpect, ContainerProbe
from tests.unit.prober.scene import DictionaryEngine, container

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("expect", "seen", "flaw"),
    [
        ({}, Seen("running", "none", 0), ""),
        ({}, None, "state removed, expected running"),
        ({"state": "removed"}, None, ""),
        ({"state": "removed", "health": "healthy"}, None, ""),
        ({"state": "removed"}, Seen("running", "none", 0), "state running, expected removed"),
        ({"state": "paused"}, Seen("paused"), ""),
        ({"health": "healthy"}, Seen("running", "healthy", 0), ""),
        ({"health": "healthy"}, Seen("running", "none", 0), "health none, expected healthy"),
        ({"health": "none"}, Seen("running", "none", 0), ""),
        ({"max_restarts": 2}, Seen("running", "none", 2), ""),
        ({"max_restarts": 2}, Seen("running", "none", 3), "3 restarts, expected at most 2"),
    ],
)
def test_flaws(expect: dict[str, object], seen: Seen | None, flaw: str) -> None:
    """A container is good when all that is claimed of it is so; a missing one is `removed`."""
    assert flaw_of(ContainerExpect.model_validate(expect), seen) == flaw


@pytest.mark.parametrize(
    ("show", "seen", "value"),
    [
        ("state", Seen("running", "none", 0), "running"),
        ("state", None, "removed"),
        ("health", Seen("running", "starting", 0), "starting"),
        ("health", Seen("running", "none", 0), "none"),
        ("health", None, "none"),
        ("restarts", Seen("running", "none", 4), 4.0),
        ("restarts", None, None),
    ],
)
def test_shown(show: str, seen: Seen | None, value: float | str | None) -> None:
    """The value is what the probe shows of a container."""
    assert shown(ContainerProbe.model_validate({"target": "t", "show": show}), seen) == value


async def test_every_container_is_looked_at_anew() -> None:
    """One container that is not as expected makes the sample bad and is named; the value is the first one's."""
    first, second = container("web-1"), container("web-2")
    engine = DictionaryEngine()
    engine.put(first, container("web-2", state=ContainerState.EXITED))
    reading = await look(ContainerProbe(target="web"), (first, second), engine)
    assert not reading.ok
    assert reading.error == "wrong answer: web-2: state exited, expected running"
    assert reading.value == "running"
    engine.put(second)
    assert (await look(ContainerProbe(target="web"), (first, second), engine)).ok


async def test_health_and_restarts_are_looked_at_too() -> None:
    """What only a full look shows is seen when it is expected or shown."""
    engine = DictionaryEngine()
    engine.put(container(health="unhealthy", restarts=2))
    healthy = ContainerProbe.model_validate({"target": "web", "expect": {"health": "healthy"}})
    restarts = ContainerProbe(target="web", show="restarts")
    assert "health unhealthy" in (await look(healthy, (container(),), engine)).error
    assert (await look(restarts, (container(),), engine)).value == 2.0


async def test_no_container_and_no_engine_are_errors() -> None:
    """Without a container or without an engine nothing was seen."""
    with pytest.raises(NoContainer):
        await look(ContainerProbe(target="web"), (), DictionaryEngine())
    with pytest.raises(EngineUnreachable):
        await look(ContainerProbe(target="web"), (container(),), DictionaryEngine(reachable=False))
