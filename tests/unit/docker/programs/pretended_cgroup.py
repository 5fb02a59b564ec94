"""Folders that look like the cgroups of a container, in either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.docker.programs import limits

ID = "0123456789ab" * 5
V1 = {
    "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "pids.current": "3", "pids.max": "max",
    "memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712",
}  # fmt: skip
V2 = {"cpu.max": "max 100000", "memory.max": "max", "memory.swap.max": "max", "pids.current": "3", "pids.max": "max"}


def pretended_cgroup(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cgroup of a container whose init has made one of its own inside; its attributes are kept in memory.

    To be made a fixture, with whether it is of version 2 as its parameter.
    """
    unified: bool = request.param
    path = f"/system.slice/docker-{ID}.scope"
    lines = [f"0::{path}/init.scope"] if unified else [f"{n}:{name}:{path}" for n, name in enumerate(limits.KINDS, 1)]
    monkeypatch.setattr(limits, "GROUPS", str(tmp_path))
    monkeypatch.setattr(limits, "cgroups", lambda: {os.getpid(): "\n".join(lines), 1: "0::/"})
    folders = [tmp_path / path[1:]] if unified else [tmp_path / name / path[1:] for name in limits.KINDS]
    for folder in folders:
        folder.mkdir(parents=True)
        for name, text in (V2 if unified else V1).items():
            if unified or name.startswith(folder.relative_to(tmp_path).parts[0]):
                (folder / name).write_text(text)
    kept: dict[tuple[str, str], bytes] = {}

    def keep(folder: str, name: str, value: bytes, flags: int) -> None:
        if flags == os.XATTR_CREATE and (folder, name) in kept:
            raise FileExistsError
        kept[folder, name] = value

    def get(folder: str, name: str) -> bytes:
        try:
            return kept[folder, name]
        except KeyError:
            raise OSError from None

    monkeypatch.setattr(os, "setxattr", keep)
    monkeypatch.setattr(os, "getxattr", get)
    monkeypatch.setattr(os, "removexattr", lambda folder, name: kept.pop((folder, name)))
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    """Every file of the cgroups."""
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
