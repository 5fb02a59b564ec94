"""The scenarios that have a name: the built-in ones, and those kept in DATA_DIR/scenarios, one file each. Does file
I/O, which may block: call it in a thread. Knows nothing of who asks.
"""

from __future__ import annotations

import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final

from coordinator.errors import Conflict, InvalidScenario, LibraryUnavailable, NotFound, Problem
from coordinator.faults.facts import Value
from coordinator.scenarios.document import MAX_BYTES
from coordinator.scenarios.model import NAME_PATTERN
from coordinator.scenarios.parse import builtin_names, builtin_text, parse

FOLDER: Final = "scenarios"
"""Below DATA_DIR."""
MAX_KEPT: Final = 1000
_NAME: Final = re.compile(NAME_PATTERN)
_SUFFIX: Final = ".yaml"


class ScenarioSummary(Value):
    """A scenario in a list. One that is not `valid`, changed by hand or of another version, cannot be run."""

    name: str
    description: str
    tags: tuple[str, ...]
    built_in: bool
    valid: bool = True


class ScenarioDetails(ScenarioSummary):
    """A scenario with its variables' defaults and its text."""

    variables: dict[str, str]
    source: str

    def summary(self) -> ScenarioSummary:
        """What a list says of it."""
        return ScenarioSummary(**self.model_dump(exclude={"variables", "source"}))


class Library:
    """Scenarios by name. A built-in name always means the built-in scenario.

    Every call raises LibraryUnavailable when the folder cannot be read or written.
    """

    def __init__(self, data_dir: Path) -> None:
        """Touch nothing; the folder is made by the first `put`."""
        self._folder = data_dir / FOLDER

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*builtin_names(), *self._kept()}))

    def all(self) -> tuple[ScenarioSummary, ...]:
        """All scenarios by name."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name).summary())
            except NotFound:  # removed since it was listed
                continue
        return tuple(found)

    def get(self, name: str) -> ScenarioDetails:
        """One scenario. Raises NotFound."""
        return _builtin(name) if name in builtin_names() else _details(name, self._read(name), built_in=False)

    def text(self, name: str) -> str:
        """The text of one. Raises NotFound."""
        return builtin_text(name) if name in builtin_names() else self._read(name)

    def put(self, name: str, text: str) -> bool:
        """Keep a scenario under its own name, whole or not at all; whether it is a new one.

        Raises Conflict for a built-in name or a full library, InvalidScenario for what could never be run.
        """
        self._refuse_builtin(name, "replaced; keep yours under another name")
        _check(name, text)
        kept = self._kept()
        if name not in kept and len(kept) >= MAX_KEPT:
            raise Conflict(f"{MAX_KEPT} scenarios are kept already: delete one first")
        self._write(self._path(name), text)
        return name not in kept

    def remove(self, name: str) -> None:
        """Forget a scenario. Raises Conflict for a built-in one, NotFound."""
        self._refuse_builtin(name, "deleted")
        self._refuse_unknown(name)
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise self._unknown(name) from None
        except OSError as failed:
            raise self._unavailable("changed", failed) from failed

    def _kept(self) -> frozenset[str]:
        """The names of the files that hold a scenario; what else lies in the folder is nobody's business."""
        try:
            names = [path.stem for path in self._folder.iterdir() if path.suffix == _SUFFIX]
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as failed:
            raise self._unavailable("read", failed) from failed
        return frozenset(name for name in names if _NAME.fullmatch(name)) - frozenset(builtin_names())

    def _read(self, name: str) -> str:
        self._refuse_unknown(name)
        try:
            with self._path(name).open("rb") as file:
                # One byte more than any scenario may have: the parser says so.
                return file.read(MAX_BYTES + 1).decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            raise self._unknown(name) from None
        except OSError as failed:
            raise self._unavailable("read", failed) from failed

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as failed:
            raise self._unavailable("changed", failed) from failed

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _refuse_builtin(self, name: str, what: str) -> None:
        if name in builtin_names():
            raise Conflict(f"{name} is a built-in scenario: it cannot be {what}")

    def _refuse_unknown(self, name: str) -> None:
        # Before it becomes a path: only these characters can.
        if _NAME.fullmatch(name) is None:
            raise self._unknown(name)

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f"there is no scenario {name!r}; there are: {', '.join(self.names())}")

    def _unavailable(self, what: str, failed: OSError) -> LibraryUnavailable:
        return LibraryUnavailable(f"{self._folder}: cannot be {what}: {failed.strerror}; mend the folder or free space")


def _check(name: str, text: str) -> None:
    file = f"{name}{_SUFFIX}"
    if _NAME.fullmatch(name) is None:
        raise InvalidScenario((Problem(file, None, "name", repr(name), NAME_PATTERN),))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidScenario((Problem(file, None, "", "a lone surrogate", "text in UTF-8"),)) from None
    own = parse(text, file=file).scenario.metadata.name
    if own != name:
        problem = Problem(file, None, "metadata.name", repr(own), "the name it is kept under", name)
        raise InvalidScenario((problem,))


@lru_cache(maxsize=64)
def _builtin(name: str) -> ScenarioDetails:
    return _details(name, builtin_text(name), built_in=True)


def _details(name: str, source: str, *, built_in: bool) -> ScenarioDetails:
    try:
        parsed = parse(source, file=f"{name}{_SUFFIX}")
    except InvalidScenario as invalid:
        first = str(invalid.problems[0])
        return ScenarioDetails(
            name=name, description=first, tags=(), built_in=built_in, valid=False, variables={}, source=source
        )
    return ScenarioDetails(
        name=name,
        description=parsed.scenario.metadata.description,
        tags=parsed.scenario.metadata.tags,
        built_in=built_in,
        variables=parsed.scenario.variables,
        source=source,
    )
