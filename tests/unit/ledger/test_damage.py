"""What a ledger whose file is damaged says, refuses and remembers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from coordinator.errors import LedgerDamaged, LedgerUnavailable
from coordinator.logging import configure
from coordinator.record import SCAN_OWED
from coordinator.settings import Settings
from tests.unit.ledger.living import alive, entry, execution, ledger_in
from tests.unit.ledger.test_actor import texts

pytestmark = pytest.mark.anyio


async def test_damaged_ledger_is_said_loudly(tmp_path: Path) -> None:
    """A damaged file leads to a working ledger, a critical message and a lasting degradation, each naming the copy."""
    (tmp_path / "ledger.db").write_bytes(b"no database at all " * 1000)
    seen: list[dict[str, object]] = []
    with configure(Settings().identity, sinks=[lambda message: seen.append(dict(message))]):
        async with alive(ledger := ledger_in(tmp_path)) as life:
            await ledger.save_execution(execution())
    assert life.said[-1] is not None
    assert str(tmp_path / "ledger.corrupt-2") in life.said[-1]
    (told,) = [message for message in seen if message.get("message_type") == "ledger:corrupt"]
    assert told["level"] == "CRITICAL"
    assert "recover --scan" in str(told["reason"])


async def test_who_only_looks_is_told_and_sets_nothing_aside(tmp_path: Path) -> None:
    """A ledger that does not renew refuses every call with what is wrong and what to do, and leaves the file."""
    damaged = tmp_path / "ledger.db"
    damaged.write_bytes(b"no database at all " * 1000)
    asked: list[str] = []
    ledger = ledger_in(tmp_path, renews=False)
    ledger.on_renewed = partial(asked.append, "renewed")
    async with alive(ledger) as life:
        with pytest.raises(LedgerDamaged, match=r"is damaged .*`test-coordinator serve` or run .* recover`"):
            await ledger.faults(outstanding=True)
        with pytest.raises(LedgerDamaged):
            await ledger.save_execution(execution())
        assert life.said[-1] is not None
    assert (damaged.read_bytes(), kept_aside(tmp_path), asked) == (b"no database at all " * 1000, [], [])


async def test_damage_is_told_until_the_file_is_moved(tmp_path: Path) -> None:
    """Each start says critically, and aloud, that a scan is owed; once it is made, health alone tells of the copy, and
    nothing does when that is gone.
    """
    (tmp_path / "ledger.db").write_bytes(b"no database at all " * 1000)
    seen: list[dict[str, object]] = []
    aloud: list[str] = []
    last: list[str | None] = []
    with configure(Settings().identity, sinks=[lambda message: seen.append(dict(message))]):
        for life in range(4):
            ledger = ledger_in(tmp_path)
            ledger.say = aloud.append
            async with alive(ledger) as living:
                await ledger.save_execution(execution(life))
                if life == 1:
                    assert ledger.owes_scan
                    await ledger.scanned()
                    assert not ledger.owes_scan
                last.append(living.said[-1] if living.said else None)
            if life == 2:
                kept_aside(tmp_path)[0].rename(tmp_path / "elsewhere")
    critical = [message["message_type"] for message in seen if message.get("level") == "CRITICAL"]
    assert critical == ["ledger:corrupt", "ledger:scan_owed"]
    assert len(aloud) == 2
    assert all(SCAN_OWED in text for text in aloud)
    assert [reason is None or SCAN_OWED in reason for reason in last] == [True, False, False, True]
    assert [reason is None for reason in last] == [False, False, False, True]


async def test_damage_that_only_readers_meet_is_noticed(tmp_path: Path) -> None:
    """Damage under a living ledger that a query meets first leads to a fresh ledger, the damaged one kept, and the call
    that tells of it.
    """
    ledger = ledger_in(tmp_path)
    lost = anyio.Event()
    ledger.on_renewed = lost.set
    async with alive(ledger):
        for number in range(300):
            await ledger.append_timeline("execution-1", entry(number))
        await ledger.save_execution(execution())
    async with alive(ledger := ledger_in(tmp_path)):
        ledger.on_renewed = lost.set
        assert len(await texts(ledger)) == 300
        damage(tmp_path / "ledger.db")
        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            await texts(ledger)
        with anyio.fail_after(20):
            await lost.wait()
        await ledger.save_execution(execution(7))
        assert [found.seed for found in await ledger.executions()] == [7]
    assert len(kept_aside(tmp_path)) == 1


def kept_aside(folder: Path) -> list[Path]:
    """The damaged files."""
    return list(folder.glob("ledger.corrupt-*Z"))


def damage(path: Path) -> None:
    """Overwrite all but the first pages."""
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * (whole - 3 * 4096))


async def test_a_scan_is_owed_until_it_is_made(tmp_path: Path) -> None:
    """Every life after the damage asks for the scan once, until one has told that it was made; then none does."""
    damaged = tmp_path / "ledger.db"
    damaged.write_bytes(b"no database at all " * 1000)
    asked: list[int] = []
    for life in range(4):
        ledger = ledger_in(tmp_path)
        ledger.on_renewed = partial(asked.append, life)
        async with alive(ledger):
            await ledger.save_execution(execution(life))
            if life == 2:
                await ledger.scanned()
    assert asked == [0, 1, 2]
