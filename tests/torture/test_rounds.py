"""The torture itself: a round of each death, and one whose coordinator is kept from putting anything back."""

from pathlib import Path

import pytest

from tests.torture import leftovers
from tests.torture.__main__ import summary, torture
from tests.torture.chosen import chosen
from tests.torture.draw import definition
from tests.torture.model import Death, Place, Round
from tests.torture.rounds import compared, owned_up
from tests.torture.snapshot import Snapshot, look
from tests.torture.stage import Stage
from tests.torture.victims import HostVictim
from tests.torture.waiting import happens

pytestmark = [pytest.mark.integration, pytest.mark.torture]


@pytest.mark.timeout(1200)
def test_nothing_is_left_whatever_dies(tmp_path: Path) -> None:
    """A round of each death, each at its own instant: all is as before, every execution has its verdict."""
    seeds = chosen()
    results = torture(seeds, place=None, jobs=2, folder=tmp_path, minutes=15)
    failed = [f"{each.command}\n  {each.violations}" for each in results if each.violations]
    assert not failed, "\n".join([*failed, summary(results)])
    assert len(results) == len(seeds)


def test_a_container_that_the_engine_lost_excuses_nobody_who_is_silent() -> None:
    """A round may be void only where the coordinator says itself that a fault is left."""
    assert owned_up(["api: engine: -running", "fault container_restart 1 is stuck"])
    assert not owned_up(["api: engine: -running", "lock tc-1 left"])


@pytest.mark.timeout(300)
def test_a_coordinator_that_mends_nothing_is_caught(stage: Stage, tmp_path: Path) -> None:
    """Killed together with its warden, and not started again: the pause, the lock, the fault and the missing verdict
    are told, and nothing else. After the next start there is nothing to tell.
    """
    pause: dict[str, object] = {"type": "container_pause", "target": "old"}
    drawn = Round(
        seed=-1, place=Place.HOST, death=Death.POWER, executions=((pause,),), duration_s=120.0, after_s=0.0, gap_s=0.0,
        restarted=True, again_s=None, person={},
    )  # fmt: skip
    victim = HostVictim(drawn, stage, tmp_path, None)
    shown: dict[str, Snapshot] = {"before": look(stage, ())}
    try:
        victim.start()
        accepted = victim.submit(definition(drawn, 0, stage.names))
        assert happens(lambda: "FROZEN" in look(stage, ())["old: limits"], within_s=60.0)
        victim.die()

        told = compared(drawn, stage, victim.instance, shown, within_s=0.0)
        assert [line.partition(": ")[0].split()[0] for line in told] == ["old", "old", "lock"], told
        owed = leftovers.in_the_ledger(tmp_path / "data", [accepted])
        assert [line.split()[0] for line in owed] == ["fault", "execution"], owed

        victim.come_back()
        assert victim.mended([accepted]) == []
        assert compared(drawn, stage, victim.instance, shown) == []
    finally:
        victim.close()
