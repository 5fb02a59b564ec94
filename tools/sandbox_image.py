"""Builds the image of the containers that tests and demo run: busybox and this Python, nothing from a registry.

Prints the image's name. It carries a hash of what went in, so that the second call only looks it up.
It refuses to know what runs inside.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

REPOSITORY = "test-coordinator-sandbox"
# Not `test-coordinator.role`: containers inherit an image's labels, and whatever has a role is never a target.
LABEL = "test-coordinator.image=sandbox"
BUSYBOX = Path("/bin/busybox")
EXECUTABLE = Path(os.path.realpath(sys.executable))
STDLIB = Path(sysconfig.get_path("stdlib"))
LEFT_OUT = {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("pydoc_data", "distutils", "venv", "sqlite3", "curses", "dbm"),
}
LEFT_OUT_PREFIXES = (
    "config-",
    "_tkinter",
    "_ssl",
    "_hashlib",
    "_sqlite3",
    "_curses",
    "_dbm",
    "_gdbm",
    "_test",
    "readline",
)
# Ends at once on TERM, which a bare `sleep` as first process would ignore.
IDLE = "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait; done\n"


def main() -> None:
    """Print the name of an image holding what is there now, built in a second or two if it is not."""
    program = Path(__file__).resolve().parent.parent / "demo" / "service.py"
    name = f"{REPOSITORY}:{fingerprint([Path(__file__), program])}"
    if docker("image", "inspect", "--format", "{{.Id}}", name).returncode != 0:
        build(name, program)
    sys.stdout.write(name + "\n")


def fingerprint(sources: list[Path]) -> str:
    """A hash that changes with the sources, with busybox and with the interpreter."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (BUSYBOX, EXECUTABLE):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}".encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def build(name: str, program: Path) -> None:
    """Import the root file system under `name`. Earlier versions stay: another checkout may use them (`make clean`)."""
    changes = (
        f"LABEL {LABEL}",
        "ENV PATH=/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        'CMD ["/bin/idle"]',
    )
    options = [part for change in changes for part in ("--change", change)]
    done = docker("import", *options, "-", name, data=root_file_system(program))
    if done.returncode != 0:
        sys.exit(f"sandbox image: docker import failed: {done.stderr.decode(errors='replace').strip()}")


def root_file_system(program: Path) -> bytes:
    """A tar of busybox and its applets, the interpreter with its libraries, and the program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("tmp", 0o1777), ("root", 0o700), ("srv", 0o755)):
            add_folder(tar, folder, mode)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in run([str(BUSYBOX), "--list"]).split():
            if applet != "busybox":
                add_link(tar, f"bin/{applet}", "/bin/busybox")
        add_text(tar, "bin/idle", IDLE, 0o755)
        add_text(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
        add_text(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644)
        add_python(tar)
        tar.add(program, "srv/service.py")
    return buffer.getvalue()


def add_python(tar: tarfile.TarFile) -> None:
    """The interpreter at the paths it has here, so that it finds its library without being told."""
    tar.add(EXECUTABLE, relative(EXECUTABLE))
    if relative(EXECUTABLE) != "usr/bin/python3":
        add_link(tar, "usr/bin/python3", str(EXECUTABLE))
    tar.add(STDLIB, relative(STDLIB), filter=wanted)
    modules = [str(path) for path in (STDLIB / "lib-dynload").glob("*.so") if not left_out(path.name)]
    # Two forms: `libz.so.1 => /lib/libz.so.1 (0x…)` and, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
    listed = run(["ldd", str(EXECUTABLE), *modules])
    for library in sorted(set(re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", listed, flags=re.MULTILINE))):
        tar.add(os.path.realpath(library), relative(Path(library)))


def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The filter of `tarfile.add`: nothing large that no container here imports, no link that leads out."""
    name = Path(entry.name).name
    optimised = name.endswith((".opt-1.pyc", ".opt-2.pyc"))
    return None if left_out(name) or optimised or entry.issym() else entry


def left_out(name: str) -> bool:
    """Whether a file or folder of the standard library stays behind."""
    return name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES)


def add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    """An empty folder."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    """A symbolic link."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def add_text(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    """A small file."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), mode
    tar.addfile(entry, io.BytesIO(text.encode()))


def relative(path: Path) -> str:
    """A path as it is named inside a tar."""
    return str(path).lstrip("/")


def run(argv: list[str]) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def docker(*argv: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A docker command with its result, successful or not."""
    return subprocess.run(["docker", *argv], check=False, capture_output=True, input=data)


if __name__ == "__main__":
    main()
