"""Nft's library does what its program does, in the network namespace of whoever asks, errors included."""

from __future__ import annotations

import json
import sys

from tests.conftest import ROOT
from tests.integration.namespaces import Namespace

SCRIPT = """add table inet t { comment "c" ; }
add set inet t s { type ipv4_addr; flags interval,timeout; elements = { 192.0.2.0/24 timeout 60s } }
add chain inet t c { type filter hook prerouting priority -300; policy accept; }
add rule inet t c ip saddr @s counter drop
"""
BOTH = """
import json, sys
from actors.docker.programs import nft_library, nft_tables
library = nft_library.loaded()
asks = [(words.split(), text) for words, text in json.loads(sys.argv[1])]
answers = [[nft_library.ask(library, words, text), nft_tables.started(["nft", *words], text)] for words, text in asks]
print(json.dumps(answers))
"""


def both_say(namespace: Namespace, *asks: tuple[str, str]) -> list[list[tuple[int, str, str]]]:
    """What library and program answer in there to arguments and input, one after the other."""
    told = namespace.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", BOTH, json.dumps(asks))
    return [[tuple(answer) for answer in answers] for answers in json.loads(told)]


def test_the_library_is_as_good_as_the_program(both: tuple[Namespace, Namespace]) -> None:
    """Scripts, listings as text, without state and as JSON, a question that changes nothing, and errors."""
    target, peer = both
    before = target.run("nft", "list", "ruleset")
    try:
        dry, put, *listed = both_say(
            target,
            ("-c -f -", SCRIPT),
            ("-f -", SCRIPT),
            ("--stateless list ruleset inet", ""),
            ("-j list tables", ""),
            ("--stateless list ruleset netdev", ""),
        )
        # The program is asked after the library, which makes no table twice, but rules and elements anew.
        assert (dry[0], put[0]) == ((0, "", ""), (0, "", ""))
        assert all(library == program and library[0] == 0 for library, program in listed)
        assert "192.0.2.0/24" in listed[0][0][1]
        assert json.loads(listed[1][0][1])["nftables"][1]["table"]["name"] == "t"
        assert "table inet t" not in peer.run("nft", "list", "ruleset")
        ((library, program),) = both_say(target, ("-f -", "add rule inet nowhere c drop"))
        assert (library[0], program[0]) == (1, 1)
        assert library[2].splitlines()[0].rpartition(": ")[2] == program[2].splitlines()[0].rpartition(": ")[2]
    finally:
        target.run("nft", "-f", "-", given="table inet t\ndelete table inet t\n")
    assert target.run("nft", "list", "ruleset") == before
