"""Builds a Debian guest for `make test-vm` from Debian's and PyPI's packages: a kernel, an initrd and a disk image.

In it: Debian's own kernel with its modules (sch_netem, nf_queue), a Docker engine, and a Python with what the tests
import. It refuses to know what runs inside. Needs root, as the owners of files in the image are kept.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PYTHON_VERSION = "3.11"  # the suite's
DISK_BYTES = 6 << 30  # sparse
PACKAGES = (  # noqa: SIM905  # a list of so many is read as words
    "systemd systemd-sysv dbus apparmor openssh-server kmod procps ca-certificates curl busybox-static docker.io "
    "python3 python3-venv iproute2 iputils-ping nftables iptables tcpdump"
).split()
TEST_PACKAGES = ("pytest", "pytest-timeout", "trio", "hypothesis", "psutil", "jsonschema")
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
VENV = "opt/venv"

# Units that only make the boot longer here. Docker is started by hand, once its driver is chosen.
MASKED = (  # noqa: SIM905  # as above
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer "
    "getty@tty1.service console-getty.service systemd-logind.service systemd-networkd-wait-online.service "
    "systemd-update-utmp.service systemd-journal-flush.service systemd-pstore.service apparmor.service"
).split()

# Without PAM, which would put every command into a scope of systemd's own.
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

INIT = """#!/bin/sh
export PATH=/bin
for name in mount insmod ip sleep switch_root; do /bin/busybox ln -s busybox /bin/$name; done
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /mod/order); do insmod /mod/$module; done
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 -o rw,noatime /dev/vda /mnt
for tree in dev sys proc; do mount --move /$tree /mnt/$tree; done
exec switch_root /mnt /lib/systemd/systemd
"""


def main() -> None:
    """Build into the folder that is named, unless what is there is of the same recipe."""
    match sys.argv[1:]:
        case [folder] if not folder.startswith("-"):
            build(Path(folder).resolve())
        case _:
            sys.exit("usage: tools/vm_image.py FOLDER")


def build(folder: Path) -> None:
    """Kernel, initrd, disk image and key. Raises SystemExit, in a line that says what to do."""
    if platform.machine() != "x86_64":
        sys.exit("vm image: only x86-64 guests are known")
    recipe = hashlib.sha256(Path(__file__).read_bytes() + " ".join(requirements()).encode()).hexdigest()
    stamp = folder / "recipe"
    if stamp.exists() and stamp.read_text() == recipe:
        return
    if os.geteuid() != 0:
        sys.exit("vm image: building it takes root: sudo make test-vm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test-vm", "-f", str(folder / "key"))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name) / "root"
        debian(root)
        kernel(root, folder)
        python(root, Path(name) / "wheels")
        settings(root, folder)
        # A journal is of no use to a disk that is thrown away.
        disk = folder / "disk.img"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-d", str(root), str(disk))
    stamp.write_text(recipe)


def requirements() -> list[str]:
    """What the product and its tests import, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tests = [line for line in project["optional-dependencies"]["dev"] if name_of(line) in TEST_PACKAGES]
    return [*project["dependencies"], *tests]


def name_of(requirement: str) -> str:
    """Without its versions."""
    return re.split("[<=>]", requirement, maxsplit=1)[0]


def debian(root: Path) -> None:
    """A small Debian with PACKAGES; the kernel is fetched, not installed, which would bring a maker of initrds."""
    newest = "apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p'"
    fetch = f"apt-get download $({newest})"
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Apt::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")),
        f"--include={','.join(PACKAGES)}", '--customize-hook=mkdir -m 777 "$1/opt/kernel"',
        f'--customize-hook=chroot "$1" sh -c "cd /opt/kernel && {fetch.replace("$", chr(92) + "$")}"',
        SUITE, str(root),
    )  # fmt: skip


def kernel(root: Path, folder: Path) -> None:
    """Its image and modules, and an initrd that mounts the disk and hands over to systemd."""
    packed = root / "opt" / "kernel"
    (package,) = packed.glob("linux-image-*.deb")
    run("dpkg-deb", "-x", str(package), str(packed / "files"))
    (modules,) = (packed / "files" / "lib" / "modules").iterdir()
    (root / "usr/lib/modules").mkdir(parents=True, exist_ok=True)
    shutil.move(modules, root / "usr/lib/modules" / modules.name)
    shutil.copy(packed / "files" / "boot" / f"vmlinuz-{modules.name}", folder / "vmlinuz")
    shutil.rmtree(packed)
    run("chroot", str(root), "depmod", modules.name)
    needed = ["modprobe", "-a", "-S", modules.name, "--show-depends", *MODULES]
    lines = run("chroot", str(root), *needed).splitlines()
    files = list(dict.fromkeys(line.split()[1] for line in lines if line.startswith("insmod ")))
    initrd = root.parent / "initrd"
    for name in ("bin", "proc", "sys", "dev", "mnt", "mod"):
        (initrd / name).mkdir(parents=True)
    shutil.copy(root / "bin" / "busybox", initrd / "bin" / "busybox")
    (initrd / "bin" / "sh").symlink_to("busybox")
    for file in files:
        shutil.copy(root / file.lstrip("/"), initrd / "mod")
    (initrd / "mod" / "order").write_text("\n".join(Path(file).name for file in files))
    (initrd / "init").write_text(INIT)
    (initrd / "init").chmod(0o755)
    pack = f"find . | ./bin/busybox cpio -o -H newc | gzip -1 >{folder / 'initrd'}"
    run("sh", "-c", f"cd {initrd} && {pack}")


def python(root: Path, wheels: Path) -> None:
    """The packages of `requirements` in an environment of the guest's own Python, fetched out here."""
    wanted = ["--only-binary=:all:", f"--python-version={PYTHON_VERSION}", *requirements()]
    run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--dest",
        str(wheels),
        *wanted,
    )
    inside = root / "opt" / "wheels"
    shutil.move(wheels, inside)
    names = [f"/opt/wheels/{wheel.name}" for wheel in inside.iterdir()]
    run("chroot", str(root), "python3", "-m", "venv", f"/{VENV}")
    run("chroot", str(root), f"/{VENV}/bin/pip", "install", "--quiet", "--no-index", "--no-deps", *names)
    shutil.rmtree(inside)
    (packages,) = (root / VENV).glob("lib/python*/site-packages")
    (packages / "project.pth").write_text("/opt/project\n")


def settings(root: Path, folder: Path) -> None:
    """What makes it a guest: its name, its disk, who may log in, and what is not to be started."""
    (root / "etc/hostname").write_text("vm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost vm\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw,noatime 0 0\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (root / "etc/ssh/sshd_config").write_text(SSHD)
    keys = root / "root/.ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(folder / "key.pub", keys / "authorized_keys")
    for old in (root / "etc/ssh").glob("ssh_host_*"):
        old.unlink()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / "etc/ssh/ssh_host_ed25519_key"))
    for unit in (*MASKED, "docker.service", "docker.socket"):
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        if unit not in {"docker.service", "docker.socket"}:
            link.symlink_to("/dev/null")
    for wants in (root / "etc/systemd/system").glob("*.wants/docker.*"):
        wants.unlink()


def run(*argv: str) -> str:
    """Standard output. Raises SystemExit with what the command said where it fails, or is missing."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"vm image: {argv[0]} is missing: tools/provision.sh vm")
    if done.returncode != 0:
        sys.exit(f"vm image: {' '.join(argv)[:200]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
