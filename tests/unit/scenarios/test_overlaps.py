"""Faults that cannot be on one container at the same time are refused before anything is touched."""

import pytest

from tests.unit.scenarios.test_plan import A, B, planned

ON_A = "targets: {a: {names: [a]}, both: {labels: [app=web]}, b: {names: [b]}}\n"
NETEM = "type: network_loss, percent: 1%, mechanism: netem"
CPU = "type: cpu_limit, cpus: 0.1"
MEMORY = "type: memory_limit, limit: 8m"
CLOCK = "type: clock_skew, offset: 1h"
NARROW = "type: network_bandwidth, rate: 1mbit"


def refused(*faults: str) -> tuple[str, ...]:
    """Why a phase of ten seconds with these is."""
    listed = ", ".join(f"{{{fault}}}" for fault in faults)
    text = f"{ON_A}phases: [{{name: p, duration: 10s, faults: [{listed}]}}]\n"
    head = "apiVersion: test-coordinator/v1\nkind: Scenario\nmetadata: {name: tried}\n"
    return planned(head + text, (A, B)).refusals


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (CPU, CPU, "one such limit at a time"),
        (MEMORY, MEMORY, "one such limit at a time"),
        ("type: pid_exhaustion", "type: pid_exhaustion", "one such limit at a time"),
        (CLOCK, CLOCK, "one skewed clock at a time"),
        (NETEM, NETEM, "netem cannot be put beside"),
        (NETEM, NARROW, "netem cannot be put beside"),
        (NARROW, NETEM, "netem cannot be put beside"),
        (CPU, MEMORY, ""),
        (NARROW, NARROW, ""),
        (NETEM, f"{NARROW}, direction: out", ""),
        (NETEM, "type: network_loss, percent: 1%", ""),
    ],
)
def test_two_of_a_kind_at_once(one: str, other: str, clash: str) -> None:
    """One line that names both, the container and when; nothing where the kernel can do both."""
    why = refused(f"{one}, target: a, at: 1s", f"{other}, target: both, at: 2s, for: 3s")
    if not clash:
        assert why == ()
        return
    (line,) = why
    assert line.startswith("phase p: faults[0], ")
    assert "and faults[1]," in line
    assert "would both be on a from +2s to +5s" in line
    assert clash in line


def test_one_after_the_other_or_elsewhere() -> None:
    """Those that never meet are planned; two that last to the end of the phase do meet."""
    assert refused(f"{CPU}, target: a, for: 2s", f"{CPU}, target: a, at: 2s") == ()
    assert refused(f"{CPU}, target: a", f"{CPU}, target: b") == ()
    (line,) = refused(f"{CPU}, target: a", f"{CPU}, target: a, at: 2s")
    assert "from +2s to the phase's end" in line
