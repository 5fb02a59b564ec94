"""Certificates of a test's own, made by the `openssl` command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path


def openssl(*arguments: str | Path) -> None:
    """Run it; what it says is in the error when it fails."""
    done = subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def self_signed(folder: Path, name: str, *, password: str = "") -> Certificate:
    """A certificate for 127.0.0.1 that stands for itself."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    encryption = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *encryption, "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", made.key, "-out", made.certificate,
    )  # fmt: skip
    return made
