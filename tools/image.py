"""Builds the coordinator's image and prints its name, which carries a hash of all that went in: a second call with
nothing changed only looks it up.

    tools/image.py [--tag NAME]...    BASE_IMAGE: the base; DOCKER_CLI: a static docker command line to put in
    tools/image.py --base             prints the base it would be built on, and builds no more than that

The base is BASE_IMAGE, else the public Python image where it is here or can be pulled, else one made of Debian
packages. Certificate authorities added to this machine are added to the image.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "test-coordinator"
PUBLIC_BASE = "python:3.13-slim"
PULL_WITHIN_S = 300
MADE_OF = ("Dockerfile", "pyproject.toml", "README.md", "coordinator", "actors", "image")
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
# `make clean` finds the images by it.
LABEL = "test-coordinator.image=coordinator"
# Tells a coordinator outside a container whether helpers may run this image: the hash it has of its own programs.
PROGRAMS_LABEL = "test-coordinator.programs"
# Tells a coordinator that runs elsewhere which helper programs are in it: the hash of actors/docker/helper_image.py.
PROGRAMS_LABEL = "test-coordinator.programs"
PROGRAMS = ROOT / "actors" / "docker" / "programs"
BASE_LABEL = "test-coordinator.image=base"


def main() -> None:
    """Print the name of the image, built if it is not there; give it further names."""
    parser = argparse.ArgumentParser(description="Build the coordinator's image and print its name.")
    parser.add_argument("--tag", action="append", default=[], help="a further name for the image")
    parser.add_argument("--base", action="store_true", help="print the base and build nothing on it")
    arguments = parser.parse_args()
    if arguments.base:
        print(base())
        return
    tags: list[str] = arguments.tag
    parts = context()
    name = f"{REPOSITORY}:tree-{fingerprint(parts)}"
    if docker("image", "inspect", name, quiet=True) != 0:
        build(parts, name)
    for tag in tags:
        if docker("tag", name, tag) != 0:
            sys.exit(f"image: {name} cannot be tagged {tag}")
    print(name)


def context() -> dict[str, Path]:
    """Every file the image is made of, by its path in the build."""
    files: dict[str, Path] = {}
    for part in MADE_OF:
        path = ROOT / part
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        files |= {str(file.relative_to(ROOT)): file for file in found if file.is_file() and wanted(file)}
    for certificate in sorted(LOCAL_AUTHORITIES.rglob("*.crt")):
        files[f"image/certs/{certificate.name}"] = certificate
    if os.environ.get("DOCKER_CLI"):
        files["image/cli/docker"] = Path(os.environ["DOCKER_CLI"])
    return files


def wanted(file: Path) -> bool:
    """Whether a file of a source folder belongs to the sources."""
    return "__pycache__" not in file.parts and file.suffix != ".pyc"


def fingerprint(parts: dict[str, Path]) -> str:
    """A hash that changes with any file and with the base that was asked for."""
    digest = hashlib.sha256(os.environ.get("BASE_IMAGE", "").encode())
    for name, path in parts.items():
        digest.update(f"\0{name}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build(parts: dict[str, Path], name: str) -> None:
    """Build from exactly these files; exits with a line when it fails, after the build's own words."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for inside, path in parts.items():
            tar.add(path, inside, recursive=False, filter=neutral)
    labels = ["--label", LABEL, "--label", f"{PROGRAMS_LABEL}={programs()}"]
    argv = ["build", "--build-arg", f"BASE_IMAGE={base()}", *labels, "--tag", name, "-"]
    environment = os.environ.copy()
    if docker("buildx", "version", quiet=True) != 0:
        environment["DOCKER_BUILDKIT"] = "0"
    done = subprocess.run(
        ["docker", *argv], check=False, input=buffer.getvalue(), stdout=sys.stderr.fileno(), env=environment
    )
    if done.returncode != 0:
        sys.exit(f"image: docker build of {name} failed, see above")


def programs() -> str:
    """The hash of what helpers run, as `actors.docker.helper_image.fingerprint` makes it."""
    files = sorted((ROOT / "actors" / "docker" / "programs").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same file whoever checked it out and when, so that the builder's cache knows it again."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def base() -> str:
    """The base to build on: the one asked for, the public one where it can be had, else one of Debian packages."""
    asked = os.environ.get("BASE_IMAGE")
    if asked:
        return asked
    if docker("image", "inspect", PUBLIC_BASE, quiet=True) == 0:
        return PUBLIC_BASE
    if not made_here():
        if pulled(PUBLIC_BASE):
            return PUBLIC_BASE
        print(f"image: {PUBLIC_BASE} cannot be pulled; taking a base of Debian packages", file=sys.stderr)
    if shutil.which("debootstrap") is None:
        subprocess.run([str(ROOT / "tools" / "provision.sh"), "debootstrap"], check=True)
    done = subprocess.run([str(ROOT / "tools" / "base-image.sh")], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("image: no base; name one with BASE_IMAGE")
    return done.stdout.strip()


def made_here() -> bool:
    """Whether a base of Debian packages was needed before: then the registry is not asked again."""
    listing = ["docker", "image", "ls", "--quiet", "--filter", f"label={BASE_LABEL}"]
    return subprocess.run(listing, check=False, capture_output=True).stdout != b""


def pulled(name: str) -> bool:
    """Whether the engine could fetch it from its registry."""
    try:
        return docker("pull", "--quiet", name, quiet=True, timeout_s=PULL_WITHIN_S) == 0
    except subprocess.TimeoutExpired:
        return False


def docker(*argv: str, quiet: bool = False, timeout_s: float | None = None) -> int:
    """The exit status of a docker command; its errors go to standard error unless `quiet`."""
    sink = subprocess.DEVNULL if quiet else None
    done = subprocess.run(
        ["docker", *argv], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sink,
        timeout=timeout_s,
    )  # fmt: skip
    return done.returncode


if __name__ == "__main__":
    main()
