"""The program in a network namespace, as far as it goes without one."""

from __future__ import annotations

import json

import pytest

from actors.docker.programs import netns, shaping
from actors.docker.programs.emulation import Emulation
from actors.docker.programs.nft_tables import Failed, Table
from tests.unit.docker.programs.pretended_kernel import pretended


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


def test_what_is_made_anew_for_an_interface_is_what_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both of its tables: the one that it gets with its first interface as well."""
    fault = "0" * 32
    with pretended() as kernel:
        monkeypatch.setattr(shaping, "links", lambda: frozenset({(1, "lo")}))
        namespace = netns.Namespace(stays=True)
        rules = {"kind": "network_blackhole", "params": {"direction": "out"}}
        namespace.put(f"fault={fault} execution=e instance=i expires=99999999999", json.dumps(rules))
        assert list(kernel.tables) == [f"inet tc_{fault}"]
        monkeypatch.setattr(shaping, "links", lambda: frozenset({(1, "lo"), (2, "eth0")}))
        namespace.renew()
        made = kernel.tables[f"netdev tc_{fault}"]
        leased = made["sets"]
        assert leased
        made["sets"] = []  # as after a lease
        namespace.renew()
        assert made["sets"] == leased


def test_what_nobody_plays_is_renewed_before_a_player_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer takes as long as a lease; a partition beside it stays whole."""
    cut, late = "0" * 32, "1" * 32
    with pretended():
        namespace = netns.Namespace(stays=True)
        for fault, rules in (
            (cut, {"kind": "drop", "match": {}}),
            (late, {"kind": "network_latency", "params": {"latency_ms": 5}}),
        ):
            namespace.put(f"fault={fault} execution=e instance=i expires=99999999999", json.dumps(rules))
        order: list[str] = []
        monkeypatch.setattr(Table, "renew", lambda table: order.append(table.fault))
        monkeypatch.setattr(Emulation, "revive", lambda player: order.append(player.sort.name))
        namespace.renew()
        assert order == [cut, "the emulator", late, "the answerer"]
