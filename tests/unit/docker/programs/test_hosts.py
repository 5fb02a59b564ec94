"""The program that puts back what an engine took out of /etc/hosts: exactly that, and nothing of anybody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from actors.docker.programs import hosts
from actors.docker.programs.hosts import Seen

FRONT, BACK = b"10.0.1.2", b"10.0.2.2"
BOTH = frozenset({FRONT, BACK})
TEXT = b"127.0.0.1\tlocalhost\n10.0.1.2\tweb\n\n# mine\n1.2.3.4\tweb\n9.9.9.9\tother web\n10.0.2.2\tweb\n8.8.8.8\tx"
TAKEN = b"127.0.0.1\tlocalhost\n# mine\n9.9.9.9\tother web\n8.8.8.8\tx\n"
"""What engine 20.10 leaves of it when the container goes off a network."""

TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.1.0/24 2 0 2
        |-- 10.0.1.2
           /32 host LOCAL
        |-- 10.0.1.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
"""
INET6 = """fe80000000000000004202fffe110002 0c 40 20 80     eth0
20010db8000000000000000000000002 0c 40 00 80     eth0
"""


class Machine:
    """A file in place of /etc/hosts, and addresses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own = BOTH

    def run(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
        """The exit code, and what was printed."""
        monkeypatch.setattr("sys.argv", ["hosts.py", *argv])
        code = hosts.main()
        return code, "".join(capsys.readouterr()).strip()


Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With two networks."""
    made = Machine(tmp_path / "hosts")
    made.path.write_bytes(TEXT)
    monkeypatch.setattr(hosts, "HOSTS", str(made.path))
    monkeypatch.setattr(hosts, "addresses", lambda: made.own)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "web", "", "", "")))
    return made


@pytest.fixture
def ask(machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs the program."""
    return lambda *argv: machine.run(monkeypatch, capsys, *argv)


def test_byte_for_byte_in_place(machine: Machine, ask: Ask) -> None:
    """Lines, empty lines, their order and the missing end of the last one are as before, in the very same file; once
    more changes nothing.
    """
    _, kept = ask("keep")
    inode = machine.path.stat().st_ino
    machine.path.write_bytes(TAKEN + b"10.0.2.2\tweb\n")
    for _ in range(2):
        assert ask("mend", kept) == (hosts.OK, "")
        assert machine.path.read_bytes() == TEXT
    assert machine.path.stat().st_ino == inode


def test_what_others_changed_stays(machine: Machine, ask: Ask) -> None:
    """A line that somebody added meanwhile is kept, one that somebody took out stays out, ours are appended."""
    _, kept = ask("keep")
    machine.path.write_bytes(b"127.0.0.1\tlocalhost\n# mine\n8.8.8.8\tx\n5.5.5.5\tnew\n10.0.2.2\tweb")
    assert ask("mend", kept) == (hosts.OK, "")
    assert machine.path.read_bytes() == (
        b"127.0.0.1\tlocalhost\n# mine\n8.8.8.8\tx\n5.5.5.5\tnew\n10.0.2.2\tweb\n10.0.1.2\tweb\n\n1.2.3.4\tweb\n"
    )


def test_a_network_that_is_still_left_keeps_no_line(machine: Machine, ask: Ask) -> None:
    """Where another fault has the container out of its other network, or the address is another one now, the line of
    the old one stays out.
    """
    _, kept = ask("keep")
    machine.own = frozenset({BACK})
    machine.path.write_bytes(TAKEN + b"10.0.2.2\tweb\n")
    assert ask("mend", kept)[0] == hosts.OK
    assert b"10.0.1.2" not in machine.path.read_bytes()


@pytest.mark.parametrize(("hostname", "name"), [("web", b"web"), ("web.shop", b"web.shop web")])
def test_kept_while_another_fault_was_on(
    machine: Machine, ask: Ask, monkeypatch: pytest.MonkeyPatch, hostname: str, name: bytes
) -> None:
    """Of a network that the container was out of when this was kept, the line is written as the engine does."""
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", hostname, "", "", "")))
    machine.own = frozenset({BACK})
    machine.path.write_bytes(b"127.0.0.1\tlocalhost\n")
    _, kept = ask("keep")
    machine.own = BOTH
    machine.path.write_bytes(b"127.0.0.1\tlocalhost\n10.0.2.2\t" + name + b"\n")
    assert ask("mend", kept)[0] == hosts.OK
    assert machine.path.read_bytes() == b"127.0.0.1\tlocalhost\n10.0.2.2\t" + name + b"\n10.0.1.2\t" + name + b"\n"


def test_an_address_that_somebody_gave_it_gets_no_line(machine: Machine, ask: Ask) -> None:
    """Where every address had its line when this was kept, no other is thought of."""
    _, kept = ask("keep")
    machine.own = BOTH | {b"10.9.9.9"}
    machine.path.write_bytes(TAKEN + b"10.0.2.2\tweb\n")
    assert ask("mend", kept)[0] == hosts.OK
    assert machine.path.read_bytes() == TEXT


def test_what_the_engine_writes_meanwhile_is_not_written_over(
    machine: Machine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that comes between look and write is behind ours, whole; the next look sees it."""
    _, kept = ask("keep")
    machine.path.write_bytes(TAKEN)
    look, late = hosts.look, [b"10.0.2.2\tweb\n"]

    def overtaken(file: int) -> Seen:
        machine.own = BOTH if not late else frozenset({FRONT})
        now = look(file)
        if late:
            with machine.path.open("ab") as engine:
                engine.write(late.pop())
        return now

    monkeypatch.setattr(hosts, "look", overtaken)
    assert ask("mend", kept) == (hosts.OK, "")
    assert machine.path.read_bytes() == TEXT


def test_what_cannot_be_done_is_told(machine: Machine, ask: Ask) -> None:
    """A file too long for a command, what was never kept, no file, a wrong word: each its own exit code and reason."""
    machine.path.write_bytes(os.urandom(hosts.LARGEST))
    code, told = ask("keep")
    assert (code, "too long to be kept" in told) == (hosts.FAILED, True)
    assert ask("mend", "{kept}")[0] == hosts.FAILED
    machine.path.unlink()
    code, told = ask("keep")
    assert (code, "No such file" in told) == (hosts.FAILED, True)
    assert ask("look")[0] == hosts.USAGE


@pytest.mark.parametrize(
    ("read", "table", "found"),
    [
        (hosts.ipv4, TRIE, {b"10.0.1.2"}),
        (hosts.ipv6, INET6, {b"2001:db8::2"}),
        (hosts.ipv4, "", set()),
        (hosts.ipv6, "", set()),
    ],
)
def test_addresses_are_read(read: Callable[[str], AbstractSet[bytes]], table: str, found: set[bytes]) -> None:
    """Those of interfaces, neither the loopback's nor those of a link alone."""
    assert read(table) == found
