from collections.abc import Iterator

import anyio
import pytest
from trio.testing import MockClock

from coordinator.deaf_socket import EVERY_S, PATIENCE_S, REASON, watch_socket


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time: a minute passes at once."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


pytestmark = pytest.mark.anyio


class Engine:
    """Answers looks from a script: True refuses; the last answer stays."""

    def __init__(self, *answers: bool) -> None:
        self._answers: Iterator[bool] = iter(answers)
        self._last = False

    async def refuses(self) -> bool:
        """The next answer."""
        self._last = next(self._answers, self._last)
        return self._last


async def test_a_socket_that_refuses_for_a_minute_is_given_up() -> None:
    """A minute of refused connections ends the process, with the reason, and not before."""
    reasons: list[str] = []
    begun = anyio.current_time()
    await watch_socket(Engine(False, True).refuses, reasons.append)
    assert reasons == [REASON]
    assert PATIENCE_S <= anyio.current_time() - begun <= PATIENCE_S + 3 * EVERY_S


async def test_an_engine_that_comes_back_starts_the_minute_anew() -> None:
    """Refusals that are interrupted by an answer do not add up."""
    reasons: list[str] = []
    almost = (True,) * int(PATIENCE_S / EVERY_S)
    with anyio.move_on_after(PATIENCE_S * 10) as watched:
        await watch_socket(Engine(*almost, False, *almost, False).refuses, reasons.append)
    assert watched.cancelled_caught
    assert reasons == []
