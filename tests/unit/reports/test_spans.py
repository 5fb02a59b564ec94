from coordinator.record import Execution, FaultState, Report, Sample, Series, TimelineEntry
from coordinator.reports.spans import length, offset, phases, steady_states, windows
from tests.unit.cli import played


def test_phases_go_from_their_start_to_their_last_event() -> None:
    """What is told of a phase before it starts, as what is armed, is not part of it."""
    armed = TimelineEntry(at=played.after(2), offset_s=2.0, phase="outage", event="fault_armed")
    execution = played.execution().model_copy(update={"timeline": (armed, *played.TIMELINE)})
    (span,) = phases(execution)
    assert (span.name, span.start_s, span.end_s) == ("outage", 3.0, 14.0)


def test_a_window_is_a_fault_on_a_target() -> None:
    """Due, effect and undone in seconds from the start."""
    (window,) = windows(played.execution())
    assert (window.label, window.due_s, window.effect_s, window.undone_s, window.owes) == (
        "container_kill on web-1", 4.0, 4.12, 14.0, False,
    )  # fmt: skip
    (stuck,) = windows(played.execution(fault_state=FaultState.STUCK))
    assert (stuck.undone_s, stuck.owes) == (None, True)


def test_what_was_never_due_has_no_window() -> None:
    """A fault that was only armed shades nothing."""
    fault = played.fault().model_copy(update={"due_at": None})
    assert windows(played.execution().model_copy(update={"faults": (fault,)})) == ()


def test_without_a_start_there_are_no_offsets() -> None:
    """One that is queued has no times from its start."""
    assert offset(played.queued(), played.BEGIN) is None
    assert length(Report(execution=played.queued())) == 1.0


def lasting(execution: Execution, last: float) -> float:
    """The length of a report whose last sample was due then."""
    series = Series(probe="api", samples=(Sample(0.0, ok=True), Sample(last, ok=True)))
    return length(Report(execution=execution, probes={"api": series}))


def test_the_picture_is_as_long_as_what_happened() -> None:
    """To the last sample, phase, effect, undo and end."""
    assert lasting(played.execution(), 20.0) == 20.0
    assert lasting(played.execution(), 1.0) == 16.0


def test_what_came_long_after_is_not_in_the_picture() -> None:
    """The end that recovery wrote hours later does not make the picture hours long."""
    assert lasting(played.execution().model_copy(update={"finished_at": played.after(9999)}), 20.0) == 20.0


def told(*events: tuple[float, str, str | None]) -> Execution:
    """An execution of which this was told: offset, event, phase."""
    timeline = tuple(
        TimelineEntry(at=played.BEGIN, offset_s=at, event=event, phase=phase) for at, event, phase in events
    )
    return played.execution().model_copy(update={"timeline": timeline})


def test_the_steady_state_is_before_and_after_the_phases() -> None:
    """From the targets to the first phase, and from the last phase to its judgement; none where none was judged."""
    events = (
        (0.1, "target_resolved", None), (3.1, "assertion_passed", None), (3.2, "phase_started", "p"),
        (5.0, "assertion_passed", "p"), (6.0, "phase_ended", "p"), (9.0, "assertion_passed", None),
    )  # fmt: skip
    found = [(span.start_s, span.end_s) for span in steady_states(told(*events))]
    assert found == [(0.1, 3.2), (6.0, 9.0)]
    assert [(span.start_s, span.end_s) for span in steady_states(told(*events[:2]))] == [(0.1, 3.1)]
    assert steady_states(told(*events[2:5])) == ()
