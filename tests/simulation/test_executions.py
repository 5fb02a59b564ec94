"""Whole coordinators leave nothing broken, whatever happens to them."""

import pytest

from tests.simulation.executions import main, simulate

SEEDS = 100
SHARE = 10


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_nothing_is_left_broken(first: int) -> None:
    """After outages, deaths and people's own doings, every container runs and every execution has its verdict."""
    failed = [result for seed in range(first, first + SHARE) if (result := simulate(seed)).violations]
    told = "\n".join(f"{result.command}\n  {result.violations}" for result in failed)
    assert not failed, told


def test_a_seed_replays_exactly() -> None:
    """The same seed gives the same commands at the same moments, another seed others."""
    first, again, other = simulate(7), simulate(7), simulate(8)
    assert first.trace == again.trace
    assert first.trace != other.trace
    assert first.accepted > 0


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The command that a failing seed prints runs exactly that seed."""
    command = simulate(5).command
    assert command == "python -m tests.simulation.executions --seed 5"
    assert main(["--seed", "5"]) == 0
    assert capsys.readouterr().out.startswith("1 seeds, 0 failed")
