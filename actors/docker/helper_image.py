"""The image that helpers run: which one it is, whether it is on the engine, and its building where it is not.

It holds a Python and the programs of `actors.docker.programs`. Nothing is ever pulled. Knows no fault.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from coordinator.errors import AbilityMissing
from coordinator.faults.commands import HELPER_PROGRAMS, LABEL_PROGRAMS, DockerCommand
from coordinator.ports import CommandRunner

PROGRAMS: Final = Path(__file__).parent / "programs"
LABEL_TOOLS: Final = "test-coordinator.tools"
"""On an image that was built here: which of TOOLS are inside."""

TOOLS: Final = {"ip": "iproute2", "nft": "nftables", "tc": "iproute2"}
"""What faults of the network are made with, and the package that brings each."""

DISTRIBUTIONS: Final = tuple(
    path
    for each in ("normal", "pareto")
    for folder in ("tc", "*/tc")
    for path in Path("/usr/lib").glob(f"{folder}/{each}.dist")
)
"""What `tc` reads for netem's jitter. Looked for where it can be: all of /usr/lib would take every start a second."""

# Not a role: the role is put on the container, and one made by hand from this image is nobody's helper.
LABEL_IMAGE: Final = "test-coordinator.image=helper"
CLEAR_AWAY: Final = ("image", "prune", "--force", "--filter", f"label={LABEL_IMAGE}", "--filter", "until=1h")
"""Images of helpers that have no name any more and no container. A young one may be that of a coordinator of another
version, which is about to use it; it would build its own again.
"""
BUILD_DEADLINE_S: Final = 120.0
LOOK_DEADLINE_S: Final = 15.0
# Docker mounts this file into every container, from a folder named after the container.
OWN_CONTAINER: Final = re.compile(r"/containers/([0-9a-f]{64})/hostname /etc/hostname ")
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}

EXECUTABLE: Final = Path(os.path.realpath(sys.executable))
STDLIB: Final = Path(sysconfig.get_path("stdlib"))
LEFT_OUT: Final = frozenset({
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "pydoc_data", "distutils", "venv", "sqlite3", "curses", "dbm", "asyncio", "multiprocessing", "unittest", "email",
    "xml", "xmlrpc", "wsgiref", "http", "html", "concurrent",
})  # fmt: skip
LEFT_OUT_PREFIXES: Final = (
    "config-", "_tkinter", "_ssl", "_hashlib", "_sqlite3", "_curses", "_dbm", "_gdbm", "_test", "_codecs_", "readline",
)  # fmt: skip


def tools() -> dict[str, Path]:
    """Those of TOOLS that this machine has. An ordinary user of Debian has no sbin on the path."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = ((name, shutil.which(name, path=path)) for name in TOOLS)
    return {name: Path(os.path.realpath(place)) for name, place in found if place}


def fingerprint() -> str:
    """A hash of the programs, the same however often it is asked for."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(PROGRAMS.glob("*.py")))).hexdigest()[:12]


class HelperImage:
    """HELPER_IMAGE as one engine has it. `wanted` empty: the image of the container this process runs in, else
    `test-coordinator:<version>`, else one built here.
    """

    def __init__(self, wanted: str, version: str, mounts: Path = Path("/proc/self/mountinfo")) -> None:
        """Look at nothing yet."""
        self._wanted = wanted
        self._full = f"test-coordinator:{version}"
        self._mounts = mounts
        self._lock = anyio.Lock()
        self._id = ""

    async def known(self, runner: CommandRunner) -> str:
        """The image's id, found or built at the first call. Raises AbilityMissing, EngineUnreachable."""
        return self._id or await self.ready(runner)

    async def ready(self, runner: CommandRunner) -> str:
        """The image's id, looked for anew: somebody may have removed it. Raises as `known`."""
        async with self._lock:
            self._id = await self._find(runner) or await self._build(runner)
            return self._id

    async def found(self, runner: CommandRunner) -> str:
        """The image's id; empty where there is none yet. Builds nothing."""
        return await self._find(runner)

    async def reference(self, runner: CommandRunner) -> str:
        """How a person names it in a command: as it is set, or the id of the one that is used; empty where there is
        none. Builds nothing.
        """
        return self._wanted or self._id or await self._find(runner)

    async def trouble(self, runner: CommandRunner) -> str:
        """Why there is no helper image and none can be built; empty when there is or can. Builds nothing."""
        return "" if await self._find(runner) else await self._unbuildable(runner)

    async def lacks(self, runner: CommandRunner) -> str:
        """Which tools for faults of the network it has not, and what to install; empty where it has all, or where it
        is somebody else's, which is taken as it is. Builds nothing.
        """
        image = await self._find(runner)
        has = set(tools())
        if image:
            label = await _look(runner, "image", image, f'{{{{index .Config.Labels "{LABEL_TOOLS}"}}}}')
            if not label:
                return ""
            has = set(label.split("+"))
        missing = [name for name in TOOLS if name not in has]
        if not missing:
            return ""
        packages = " ".join(sorted({TOOLS[name] for name in missing}))
        return (
            f"the helper image has no {', '.join(missing)}, so faults of the network do not work: install {packages} "
            f"on this machine, of which it is then built anew"
        )

    @property
    def _name(self) -> str:
        """What an image that is built here is called. Never the name of the coordinator's own image: it serves
        helpers alone.
        """
        return self._wanted or f"{self._full}-helper"

    async def _find(self, runner: CommandRunner) -> str:
        if self._wanted:
            return await _look(runner, "image", self._wanted, "{{.Id}}")
        own = OWN_CONTAINER.search(await anyio.to_thread.run_sync(_read, self._mounts))
        if own and (image := await _look(runner, "container", own[1], "{{.Image}}")):
            return image
        programs = fingerprint()
        for name in (self._full, self._name):
            labels = " ".join(f'{{{{index .Config.Labels "{label}"}}}}' for label in (LABEL_PROGRAMS, LABEL_TOOLS))
            identity, label, *has = [*(await _look(runner, "image", name, f"{{{{.Id}}}} {labels}")).split(), "", ""]
            # One that was built before a tool was installed here is built anew; the coordinator's own has all of them.
            if label == programs and (name == self._full or set(tools()) <= set(has[0].split("+"))):
                return identity
        return ""

    async def _unbuildable(self, runner: CommandRunner) -> str:
        here = f"{sys.platform}/{ARCHITECTURES.get(platform.machine(), platform.machine())}"
        template = "{{.Server.Os}}/{{.Server.Arch}}"
        version = await runner.run(DockerCommand(argv=("version", "--format", template), deadline_s=LOOK_DEADLINE_S))
        there = version.stdout.strip()
        if not version.ok:
            why = _last_line(version.stderr) or "the engine does not answer"
        elif there != here:
            why = f"the engine is {there}, this is {here}"
        elif shutil.which("ldd") is None:
            why = "`ldd` is missing"
        else:
            return ""
        return (
            f"no helper image {self._name} on the engine, and it cannot be built here: {why}; "
            f"build the coordinator's own image there, or name one with HELPER_IMAGE"
        )

    async def _build(self, runner: CommandRunner) -> str:
        why_not = await self._unbuildable(runner)
        if why_not:
            raise AbilityMissing(why_not)
        changes = (
            f"LABEL {LABEL_IMAGE} {LABEL_PROGRAMS}={fingerprint()} {LABEL_TOOLS}={'+'.join(tools()) or 'none'}",
            "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            'CMD ["python3", "-c", "print(\'test-coordinator: this image is for helpers alone\')"]',
        )
        options = [part for change in changes for part in ("--change", change)]
        try:
            with tempfile.NamedTemporaryFile(prefix="test-coordinator-helper-", suffix=".tar") as file:
                await anyio.to_thread.run_sync(_write_root, file.name)
                command = DockerCommand(argv=("import", *options, file.name, self._name), deadline_s=BUILD_DEADLINE_S)
                built = await runner.run(command)
        except OSError as error:
            why = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
            raise AbilityMissing(f"helper image {self._name}: it could not be written here: {why}") from None
        if not built.ok:
            raise AbilityMissing(f"helper image {self._name}: `docker import` failed: {_last_line(built.stderr)}")
        # Those that bore the name before. Unused ones alone go, and what becomes of them concerns nobody.
        await runner.run(DockerCommand(argv=CLEAR_AWAY, deadline_s=LOOK_DEADLINE_S))
        return built.stdout.strip()


async def _look(runner: CommandRunner, kind: str, name: str, template: str) -> str:
    """One line of an inspect; empty where there is no such thing."""
    argv = (kind, "inspect", "--format", template, name)
    outcome = await runner.run(DockerCommand(argv=argv, deadline_s=LOOK_DEADLINE_S))
    return outcome.stdout.strip() if outcome.ok else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _read(path: Path) -> str:
    """A file's text; nothing on a system that has no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# ---------------------------------------------------------------- the root file system


def _write_root(target: str) -> None:
    """A tar of this interpreter, what it imports, the tools, their libraries, and the programs."""
    with tarfile.open(target, mode="w") as tar:
        for folder, mode in (("tmp", 0o1777), ("proc", 0o555), ("root", 0o700)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add_executables(tar)
        for program in sorted(PROGRAMS.glob("*.py")):
            content = program.read_bytes()
            entry = tarfile.TarInfo(f"{HELPER_PROGRAMS}/{program.name}".lstrip("/"))
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))


def _add_executables(tar: tarfile.TarFile) -> None:
    """The interpreter at the paths it has here, so that it finds its library without being told; tools in usr/sbin."""
    tar.add(EXECUTABLE, _inside(EXECUTABLE))
    if _inside(EXECUTABLE) != "usr/bin/python3":
        link = tarfile.TarInfo("usr/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(EXECUTABLE)
        tar.addfile(link)
    tar.add(STDLIB, _inside(STDLIB), filter=_wanted)
    modules = [str(path) for path in (STDLIB / "lib-dynload").glob("*.so") if not _left_out(path.name)]
    for name, path in tools().items():
        tar.add(path, f"usr/sbin/{name}")
    for table in DISTRIBUTIONS:
        tar.add(table, _inside(table))
    programs = [str(path) for path in (EXECUTABLE, *tools().values())]
    # It fails where one of them needs no library, and lists those of the others.
    listed = subprocess.run(["ldd", *programs, *modules], check=False, capture_output=True, text=True).stdout
    # Two forms: `libz.so.1 => /lib/libz.so.1 (0x…)` and, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
    for library in sorted(set(re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", listed, flags=re.MULTILINE))):
        tar.add(os.path.realpath(library), _inside(Path(library)))


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Nothing large that no helper imports, and no link that leads out."""
    name = Path(entry.name).name
    optimised = name.endswith((".opt-1.pyc", ".opt-2.pyc"))
    return None if _left_out(name) or optimised or entry.issym() else entry


def _left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES)


def _inside(path: Path) -> str:
    """A path as it is named inside a tar."""
    return str(path).lstrip("/")
