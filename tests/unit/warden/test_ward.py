import os
import select
import socket
import threading
from pathlib import Path

from actors.ledger.store import LEDGER_FILE as STORED_AS
from coordinator.warden.ward import ANSWER, ASKED, LEDGER_FILE, NOTHING_LEFT, PROGRAM, Line, Ward


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


def test_signals_end_a_wait_so_that_their_handlers_run() -> None:
    """What is written for a signal is taken, and the line is waited for again."""
    ours, theirs = socket.socketpair()
    woken, waking = os.pipe()
    heard: list[str | None] = []
    with ours, theirs:
        os.write(waking, b"\x0f")
        waits = threading.Thread(target=lambda: heard.append(Line(theirs, woken).hear()))
        waits.start()
        while select.select([woken], [], [], 0)[0]:
            assert waits.is_alive()
        assert heard == []
        ours.sendall(b"said\n")
        waits.join(60)
    assert heard == ["said"]
    os.close(woken)
    os.close(waking)


def test_one_that_watches_answers_until_the_last_word() -> None:
    """Each question has its answer; what else is said, or the end, is the last word."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(f"{ASKED}\n{ASKED}\n{NOTHING_LEFT}\n".encode())
        line = Line(theirs)
        assert line.last_word() == NOTHING_LEFT
        ours.shutdown(socket.SHUT_WR)
        assert line.last_word() is None
        assert ours.recv(100) == f"{ANSWER}\n{ANSWER}\n".encode()


def test_it_names_the_files_that_are_there() -> None:
    """The ledger is the ledger's own file, and the program exists."""
    assert LEDGER_FILE == STORED_AS
    assert Path(PROGRAM).is_file()
