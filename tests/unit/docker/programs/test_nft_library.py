"""Where nft's library is missing its program is started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.docker.programs import nft_library, nft_tables
from actors.docker.programs.nft_tables import Failed


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No such library on this machine."""
    monkeypatch.setattr(nft_library, "LIBRARY", "libno-such-thing.so.1")
    nft_library.loaded.cache_clear()
    yield
    nft_library.loaded.cache_clear()


@pytest.mark.usefixtures("missing")
def test_without_the_library_the_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the very arguments, and its complaint is told."""
    asked: list[tuple[list[str], str]] = []

    def started(argv: list[str], text: str) -> tuple[int, str, str]:
        asked.append((argv, text))
        return (0, "listed", "") if text == "" else (1, "", "\nno such thing\n at all\n")

    monkeypatch.setattr(nft_tables, "started", started)
    assert nft_tables.run(["nft", "list", "ruleset"]) == "listed"
    with pytest.raises(Failed, match=r"^nft: no such thing$"):
        nft_tables.nft("add nonsense\n")
    assert asked == [(["nft", "list", "ruleset"], ""), (["nft", "-f", "-"], "add nonsense\n")]


def test_no_other_program_is_taken_for_nft() -> None:
    """`ip` and `tc` have no library that is spoken to."""
    with pytest.raises(Failed, match="no-such-program is not installed here"):
        nft_tables.run(["no-such-program"])
