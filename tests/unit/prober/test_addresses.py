import anyio
import pytest
from trio.testing import MockClock

from actors.prober.addresses import LOOK_AGAIN_S, MAX_KNOWN, Addresses
from actors.prober.failures import NoContainer
from tests.unit.prober.scene import DictionaryEngine, container

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Trio, on a clock that jumps when nothing is left to do."""
    return ("trio", {"clock": MockClock(autojump_threshold=0)})


async def test_an_address_that_answers_is_not_asked_for() -> None:
    """The engine is not asked while nothing is doubtful."""
    engine = DictionaryEngine()
    assert await Addresses(engine).of("web", (container(address="10.0.0.2"),)) == "10.0.0.2"
    assert engine.looks == 0


async def test_a_restarted_container_is_found_at_its_new_address() -> None:
    """After a look without an answer the container's present address is taken, and kept."""
    engine, known = DictionaryEngine(), (container(address="10.0.0.2"),)
    addresses = Addresses(engine)
    engine.put(container(address="10.0.0.9"))
    addresses.doubt(known)
    assert [await addresses.of("web", known) for _ in range(3)] == ["10.0.0.9"] * 3
    assert engine.looks == 1


async def test_an_outage_is_no_storm_of_looks() -> None:
    """While a container is away the engine is asked at a bounded pace, and its return is seen."""
    engine, known = DictionaryEngine(), (container(address="10.0.0.2"),)
    addresses = Addresses(engine)
    addresses.doubt(known)
    for _ in range(100):
        with pytest.raises(NoContainer, match="no address"):
            await addresses.of("web", known)
        await anyio.sleep(0.01)
    assert engine.looks <= 1 / LOOK_AGAIN_S + 1
    engine.put(container(address="10.0.0.2"))
    await anyio.sleep(LOOK_AGAIN_S)
    assert await addresses.of("web", known) == "10.0.0.2"


async def test_an_engine_that_does_not_answer_changes_nothing() -> None:
    """Without the engine the last known address stands."""
    known = (container(address="10.0.0.2"),)
    addresses = Addresses(DictionaryEngine(reachable=False))
    addresses.doubt(known)
    assert await addresses.of("web", known) == "10.0.0.2"


async def test_a_target_keeps_to_one_container() -> None:
    """The first container with an address is meant, also when it dies and another lives."""
    engine = DictionaryEngine()
    first, second = container("web-1", address="10.0.0.2"), container("web-2", address="10.0.0.3")
    engine.put(second)
    addresses = Addresses(engine)
    assert await addresses.of("web", (container("web-0"), first, second)) == "10.0.0.2"
    addresses.doubt((container("web-0"), first, second))
    with pytest.raises(NoContainer, match="web-1"):
        await addresses.of("web", (container("web-0"), first, second))


async def test_a_target_without_a_container() -> None:
    """An empty target has no address and may be doubted in vain."""
    addresses = Addresses(DictionaryEngine())
    addresses.doubt(())
    with pytest.raises(NoContainer, match="'web' has no container"):
        await addresses.of("web", ())


async def test_what_is_remembered_is_bounded() -> None:
    """Containers of long ago are forgotten."""
    addresses = Addresses(DictionaryEngine())
    for number in range(MAX_KNOWN + 10):
        await addresses.of("web", (container(f"web-{number}", address="10.0.0.2"),))
    assert len(addresses._known) == MAX_KNOWN
