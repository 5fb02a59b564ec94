"""What tc tells of our devices."""

import pytest

from actors.docker.programs import shaping

TOLD = """class htb 7c01:10 root leaf 8001: prio 0 rate 8Kbit ceil 8Kbit burst 16Kb cburst 16Kb
 Sent 1 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)
 backlog 48Kb 33p requeues 0
 lended: 1 borrowed: 0 giants: 0

class htb 7c01:1f root leaf 8002: prio 0 rate 8Kbit ceil 8Kbit burst 16Kb cburst 16Kb
 Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0)
 backlog 0b 0p requeues 0

class htb 7c01:12 root leaf 8003: prio 0 rate 8Kbit ceil 8Kbit burst 16Kb cburst 16Kb
 backlog 2Mb 9p requeues 0
"""


def test_what_waits_is_told_in_units_where_it_is_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes 48Kb for 49,152 bytes and a few more; each class has its own."""
    monkeypatch.setattr(shaping, "run", lambda _: TOLD)
    assert shaping.waiting("d") == {0: 49_152, 15: 0, 2: 2 << 20}
