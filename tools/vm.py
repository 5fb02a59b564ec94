"""Runs the fault tests in a Debian guest under QEMU: cgroup v2 with either cgroup driver, and netem.

    tools/vm.py FOLDER test [PYTEST ARGUMENT ...]     once for each driver; the image is in FOLDER (tools/vm_image.py)
    tools/vm.py FOLDER run DRIVER COMMAND [ARGUMENT ...]

The guest reaches nothing outside, and what it wrote to its disk is forgotten. Emulated where there is no KVM, so its
time goes slowly: TEST_PATIENCE stretches what tests wait for, DOCKER_TIMEOUT_FACTOR what the product does.
"""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = ("systemd", "cgroupfs")
MEMORY_MIB = 4096
BOOT_S = 300.0
PATIENCE = 8
TEST_TIMEOUT_S = 1200
PROJECT = "/opt/project"
PYTHON = "/opt/venv/bin/python"
FAULT_TESTS = (
    "netem", "limits", "stress", "crash", "disconnect", "partition", "impairment", "names_and_rates", "disk_faults",
    "processes", "clock", "http_call", "blackhole", "effects",
)  # fmt: skip
"""Of tests/integration: those whose subject is the kernel, its cgroups or what the engine makes of them."""

NOT_THERE = (
    "tests/integration/test_crash.py::test_in_a_container_helpers_run_the_own_image",
    "tests/integration/test_crash.py::test_the_built_in_scenario_shows_the_restart",
)
"""The one builds the coordinator's image, of packages that the guest cannot reach; the other's steady state is an
answer each 100 ms, which an emulated machine does not always give.
"""


def main() -> None:
    """Exits with the worst of what the tests exited with."""
    # So that a guest is ended too when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    match sys.argv[1:]:
        case [folder, "test", *arguments]:
            sys.exit(max(tests(Path(folder).resolve(), driver, arguments) for driver in DRIVERS))
        case [folder, "run", ("systemd" | "cgroupfs") as driver, *command]:
            with guest(Path(folder).resolve(), driver) as machine:
                sys.exit(machine.call(shlex.join(command)))
    sys.exit(__doc__)


class Guest:
    """One that runs, and the way into it."""

    def __init__(self, folder: Path, sockets: Path, port: int) -> None:
        options = {
            "IdentityFile": folder / "key", "IdentitiesOnly": "yes", "BatchMode": "yes", "LogLevel": "ERROR",
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "ConnectTimeout": 4,
            # One connection that stays open: a handshake is dear in an emulated guest.
            "ControlPath": sockets / "ssh", "ControlMaster": "auto", "ControlPersist": "yes",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.ssh = ["ssh", "-F", "none", *words, "-p", str(port), "root@127.0.0.1"]

    def call(self, command: str, given: IO[bytes] | None = None, *, quiet: bool = False) -> int:
        """Run it in the guest; its exit code."""
        told = subprocess.DEVNULL if quiet else None
        return subprocess.run([*self.ssh, command], check=False, stdin=given, stdout=told, stderr=told).returncode

    def answers(self, command: str) -> bool:
        """Whether it succeeds."""
        return self.call(command, quiet=True) == 0

    def put_project(self) -> None:
        """What git knows of this checkout, at PROJECT."""
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, cwd=ROOT,
        ).stdout  # fmt: skip
        with subprocess.Popen(
            ["tar", "-c", "--null", "--ignore-failed-read", "--files-from=-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        ) as pack:  # fmt: skip
            assert pack.stdin is not None
            pack.stdin.write(files)
            pack.stdin.close()
            if self.call(f"mkdir -p {PROJECT} && tar -x -C {PROJECT}", pack.stdout) != 0:
                sys.exit("vm: the project could not be copied into the guest")


def tests(folder: Path, driver: str, arguments: list[str]) -> int:
    """Pytest's exit code in a fresh guest."""
    begun = time.monotonic()
    with guest(folder, driver) as machine:
        machine.put_project()
        say(f"{driver}: ready after {time.monotonic() - begun:.0f} s")
        every = [f"tests/integration/test_{name}.py" for name in FAULT_TESTS]
        wanted = arguments or [*every, *(f"--deselect={name}" for name in NOT_THERE)]
        words = [PYTHON, "-m", "pytest", "-q", f"--timeout={TEST_TIMEOUT_S}", *wanted]
        settings = f"TEST_PATIENCE={PATIENCE} DOCKER_TIMEOUT_FACTOR={PATIENCE} PYTHONUNBUFFERED=1"
        settings += " PATH=/opt/venv/bin:$PATH"
        code = machine.call(f"cd {PROJECT} && {settings} {shlex.join(words)}")
        if not arguments:
            code = max(code, machine.call(f"cd {PROJECT} && {settings} {PYTHON} bench/accuracy.py"))
    say(f"{driver}: {'passed' if code == 0 else f'failed ({code})'} after {time.monotonic() - begun:.0f} s")
    return code


@contextlib.contextmanager
def guest(folder: Path, driver: str) -> Iterator[Guest]:
    """A guest with an engine of this cgroup driver that answers. Ends it afterwards."""
    with tempfile.TemporaryDirectory(prefix="vm-") as name:
        sockets = Path(name)
        port = free_port()
        process = subprocess.Popen(qemu(folder, sockets, port), stdin=subprocess.DEVNULL, start_new_session=True)
        machine = Guest(folder, sockets, port)
        try:
            awaited(process, lambda: machine.answers("true"), sockets, "a command")
            machine.call(f"date -s @{int(time.time())} >/dev/null")
            options = f'{{"exec-opts": ["native.cgroupdriver={driver}"], "storage-driver": "overlay2"}}'
            if machine.call(f"echo {shlex.quote(options)} >/etc/docker/daemon.json && systemctl start docker") != 0:
                sys.exit("vm: the guest's engine did not start")
            awaited(process, lambda: machine.answers("docker version"), sockets, "the engine")
            yield machine
        finally:
            subprocess.run([*machine.ssh[:-1], "-O", "exit", machine.ssh[-1]], check=False, capture_output=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def qemu(folder: Path, sockets: Path, port: int) -> list[str]:
    """How it is started. What is written to its disk ends with it; its network leads to one port of ours alone."""
    processor = Path("/proc/cpuinfo").read_text()
    virtual = os.access("/dev/kvm", os.W_OK) and re.search(r"\b(vmx|svm)\b", processor) is not None
    append = (
        "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on no_timer_check net.ifnames=0 audit=0 "
        "systemd.unified_cgroup_hierarchy=1 systemd.getty_auto=0 systemd.show_status=0"
    )
    return [
        "qemu-system-x86_64", "-machine", "q35,hpet=off,smbus=off,usb=off", "-cpu", "max", "-smp", "2",
        "-accel", "kvm" if virtual else "tcg,thread=multi,tb-size=512", "-m", str(MEMORY_MIB),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"), "-append", append,
        "-drive", f"file={folder / 'disk.img'},format=raw,if=none,id=d0,cache=unsafe,snapshot=on",
        "-device", "virtio-blk-pci,drive=d0",
        "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22",
        "-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "virtio-rng-pci",
        "-serial", f"file:{sockets / 'console'}",
    ]  # fmt: skip


def awaited(process: subprocess.Popen[bytes], holds: object, sockets: Path, what: str) -> None:
    """Wait for it. Exits with the end of the guest's console where the guest ends, or it takes too long."""
    assert callable(holds)
    deadline = time.monotonic() + BOOT_S
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            console = sockets / "console"
            told = console.read_text(errors="replace")[-2000:] if console.exists() else ""
            sys.exit(f"vm: {what} was not answered within {BOOT_S:.0f} s\n{told}")
        time.sleep(0.3)


def free_port() -> int:
    """One on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(text: str) -> None:
    """To standard error; the tests' own words go to standard output."""
    sys.stderr.write(f"vm: {text}\n")


if __name__ == "__main__":
    main()
