"""The program in a network namespace, as far as it goes without one."""

from __future__ import annotations

import pytest

from actors.docker.programs import netns
from actors.docker.programs.nft_tables import Failed


def test_one_that_cannot_be_taken_out_in_time_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose helper would be gone without taking anything out. It is told, and not renewed any more."""
    namespace, faults = netns.Namespace(), ("0" * 32, "1" * 32)

    def failing() -> dict[str, object]:
        raise Failed("nft is busy")

    monkeypatch.setattr(netns, "tables", failing)
    namespace.deadlines = dict.fromkeys(faults, 0.0)
    namespace.renew()
    assert namespace.deadlines == {}
    assert capsys.readouterr().err.splitlines() == [f"{each}: not taken out: nft is busy" for each in faults]
