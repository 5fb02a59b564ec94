"""The program that looks into network namespaces, on this machine's kernel, in a namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.docker.helper_image import PROGRAMS

FAULT = "0123456789abcdef0123456789abcdef"
COMMENT = "exec=e1 of=blue until=1"
TABLES = f"""
table inet tc_{FAULT} {{
    comment "{COMMENT}"
    set armed {{ type ipv4_addr; flags timeout; elements = {{ 192.0.2.1 timeout 1h }}; }}
    chain out {{ type filter hook output priority 0; policy accept; ip daddr @armed drop; }}
}}
table ip tc_of_a_person {{ chain out {{ type filter hook output priority 0; }}
}}
"""


def scan(*arguments: str, program: str = str(PROGRAMS / "scan.py")) -> subprocess.CompletedProcess[str]:
    """The program on a bare interpreter."""
    argv = [sys.executable, "-I", "-S", program, *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace with a process in it."""
    made = Namespace()
    try:
        yield made
    finally:
        made.close()


class Namespace:
    """A network namespace of the test's own, held by a process, which needs the rights of root."""

    def __init__(self) -> None:
        self.name = f"tc-test-{uuid4().hex[:8]}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self._holder = subprocess.Popen(["ip", "netns", "exec", self.name, "sleep", "600"])
        while self._seen() is None:
            assert self._holder.poll() is None

    def _seen(self) -> int | None:
        """The inode, once its process is inside."""
        own, there = (Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in ("self", self._holder.pid))
        return None if own == there else there

    def run(self, *argv: str, given: str = "") -> str:
        """A command inside."""
        entered = ["nsenter", f"--net=/run/netns/{self.name}", *argv]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, input=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def traces(self) -> list[dict[str, Any]]:
        """What the program finds here."""
        inode = self._seen()
        done = scan("look")
        assert done.returncode == 0, done.stderr
        found = [each for each in json.loads(done.stdout)["namespaces"] if each["inode"] == inode]
        return [trace for each in found for trace in each["traces"]]

    def asked(self, *traces: dict[str, Any]) -> list[dict[str, Any]]:
        """What became of the removal of these."""
        done = scan("remove", json.dumps([{"inode": self._seen(), "trace": trace} for trace in traces]))
        assert done.returncode == 0, done.stderr
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told

    def close(self) -> None:
        """Away with it."""
        self._holder.kill()
        self._holder.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


def test_everything_of_ours_is_found_and_taken_out_and_nothing_else(namespace: Namespace) -> None:
    """A table with rules and sets in it, a queueing discipline, a device and an iptables rule go; what a person made
    beside them stays, byte for byte.
    """
    namespace.run("ip", "link", "set", "lo", "up")
    namespace.run("iptables", "-A", "OUTPUT", "-d", "192.0.2.9", "-m", "comment", "--comment", "mine", "-j", "DROP")
    namespace.run("ip", "link", "add", "ifb7", "type", "ifb")
    namespace.run("nft", "-f", "-", given=TABLES.split("table ip tc_of")[1].join(["table ip tc_of", ""]))
    before = [namespace.run("nft", "list", "ruleset"), namespace.run("tc", "qdisc"), namespace.run("ip", "-br", "link")]
    assert namespace.traces() == []

    namespace.run("nft", "-f", "-", given=TABLES.split("table ip tc_of", maxsplit=1)[0])
    namespace.run("tc", "qdisc", "add", "dev", "lo", "root", "handle", "7c01:", "tbf", "rate", "1mbit", "burst", "10k",
                  "latency", "50ms")  # fmt: skip
    namespace.run("ip", "link", "add", "tcifb0", "type", "ifb")
    namespace.run(
        "iptables", "-A", "OUTPUT", "-d", "192.0.2.8", "-m", "comment", "--comment", f"tc:{FAULT}", "-j", "DROP"
    )
    found = namespace.traces()
    assert [(each["kind"], each["comment"]) for each in found] == [
        ("table", COMMENT), ("qdisc", ""), ("device", ""), ("rule", FAULT),
    ]  # fmt: skip
    assert [each["error"] for each in namespace.asked(*found)] == [""] * 4
    assert namespace.traces() == []
    after = [namespace.run("nft", "list", "ruleset"), namespace.run("tc", "qdisc"), namespace.run("ip", "-br", "link")]
    assert after == before
    assert [each["error"] for each in namespace.asked(*found)] == [""] * 4


def test_what_has_changed_since_it_was_seen_stays(namespace: Namespace) -> None:
    """A table of the same name that says it is another's is not the one that was to go."""
    namespace.run("nft", "-f", "-", given=TABLES)
    (trace,) = namespace.traces()
    assert [each["error"] for each in namespace.asked({**trace, "comment": "another's"})] == [""]
    assert namespace.traces() == [trace]


@pytest.mark.parametrize("arguments", [(), ("find",), ("remove",), ("look", "more")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """It says how it is used."""
    done = scan(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: scan.py look | remove JSON\n")
