import socket
from pathlib import Path

from actors.ledger.store import LEDGER_FILE as STORED_AS
from coordinator.warden.ward import LEDGER_FILE, PROGRAM, Line, Ward


def test_who_is_watched_survives_the_line() -> None:
    """What a coordinator says of itself is what its warden hears."""
    ward = Ward("/data", "unix:///run/docker.sock", "s", "s-Chaos1", "testing", {"LOG_LEVEL": "INFO"})
    assert Ward.parse(ward.line()) == ward


def test_lines_are_heard_whole_and_the_end_as_none() -> None:
    """However the bytes arrive, a line is heard once and complete; a closed line is heard as the end."""
    ours, theirs = socket.socketpair()
    with theirs:
        line = Line(theirs)
        for part in (b"fir", b"st\nsec", b"ond\nhalf"):
            ours.sendall(part)
        ours.close()
        assert [line.hear(), line.hear(), line.hear()] == ["first", "second", None]
        # Whoever is gone is not told, and that is no error.
        line.say("ready 1")


def test_it_names_the_files_that_are_there() -> None:
    """The ledger is the ledger's own file, and the program exists."""
    assert LEDGER_FILE == STORED_AS
    assert Path(PROGRAM).is_file()
