"""The examples of the documentation, run as a reader would: blocks behind `<!-- run -->` in one shell after another,
files behind `<!-- file: NAME -->` written into the folder that they are run in.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

BLOCK = re.compile(r"^<!-- (?:run|file: (?P<file>[\w./-]+)) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# Debian's docker-compose is a program of its own; the pages write what everybody else has.
NO_PLUGIN = 'docker() { if [ "$1" = compose ]; then shift; docker-compose "$@"; else command docker "$@"; fi; }\n'


def examples(page: str) -> list[tuple[str | None, str]]:
    """The files of a page with their names, and what is to be run, in its order."""
    found = [(one["file"], one["text"]) for one in BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8"))]
    assert found, f"{page} has no example"
    return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who follows pages in a folder of his own; `instead` is what he writes in place of what stands there."""

    folder: Path
    instead: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def follow(self, page: str) -> str:
        """Do what the page says, in its order; all that was printed. Fails with the block that failed."""
        return "".join(self._write(file, text) if file else self.run(text) for file, text in examples(page))

    def take(self, page: str, name: str) -> Path:
        """Write one file of a page; its path."""
        (text,) = (text for file, text in examples(page) if file == name)
        self._write(name, text)
        return self.folder / name

    def run(self, script: str) -> str:
        """What a script prints on both streams."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._prelude() + self._read(script)],
            check=False, cwd=self.folder, env=os.environ | {"PATH": path} | dict(self.environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._read(text), encoding="utf-8")
        return ""

    def _read(self, text: str) -> str:
        for theirs, ours in self.instead.items():
            text = text.replace(theirs, ours)
        return text

    @staticmethod
    def _prelude() -> str:
        plugin = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0
        assert plugin or shutil.which("docker-compose"), "no docker compose: tools/provision.sh compose"
        return "" if plugin else NO_PLUGIN
