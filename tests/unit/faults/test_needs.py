from datetime import UTC, datetime

import pytest

from coordinator.faults.needs import Need, hit_until, judge

PLANNED, LATER = "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:05.2Z"


@pytest.mark.parametrize(
    ("state", "run", "attempted", "until", "needed"),
    [
        (None, "", False, None, Need.GONE),
        ("paused", PLANNED, False, None, Need.NEEDED),
        ("running", PLANNED, False, None, Need.DONE),
        ("running", LATER, False, None, Need.DONE),
        ("exited", PLANNED, False, None, Need.SUPERSEDED),
        ("paused", LATER, False, None, Need.SUPERSEDED),
        ("paused", LATER, True, None, Need.NEEDED),
        ("paused", LATER, False, "2026-01-01T00:00:05.200Z", Need.NEEDED),
        ("paused", LATER, False, "2026-01-01T00:00:05.199Z", Need.SUPERSEDED),
    ],
)
def test_only_the_run_that_was_hit_is_put_back(
    state: str | None, run: str, until: str | None, needed: Need, *, attempted: bool
) -> None:
    """Needed in its states alone, while the run is the planned one, our own, or the one that was up when it fired."""
    found = judge(
        state=state, run=run, planned_run=PLANNED, needed_in=("paused",), restores="running", attempted=attempted,
        hit_until=until,
    )  # fmt: skip
    assert found is needed


@pytest.mark.parametrize(
    ("state", "restores", "needed"),
    [
        ("exited", "running", Need.NEEDED),
        ("running", "running", Need.DONE),
        ("paused", "running", Need.SUPERSEDED),
        ("exited", None, Need.SUPERSEDED),
    ],
)
def test_a_later_run_that_the_engine_lost_is_put_back(state: str, restores: str | None, needed: Need) -> None:
    """By an undo that restores a state alone: a command inside the run has nothing to do in another."""
    found = judge(
        state=state, run=LATER, planned_run=PLANNED, needed_in=("exited",), restores=restores, attempted=False,
        lost=True,
    )  # fmt: skip
    assert found is needed


def test_a_command_inside_a_run_makes_no_other_run() -> None:
    """Where no state is restored, having tried makes a later run nobody's."""
    found = judge(
        state="running", run=LATER, planned_run=PLANNED, needed_in=("running",), restores=None, attempted=True
    )
    assert found is Need.SUPERSEDED


def test_what_is_under_way_counts_for_a_second() -> None:
    """A run that began within a second of the firing is the one that was hit."""
    assert hit_until(datetime(2026, 1, 1, 0, 0, 4, 200_000, UTC)) == "2026-01-01T00:00:05.200Z"
