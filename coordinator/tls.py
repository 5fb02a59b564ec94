"""The certificates that HTTP and gRPC are served with: looked at before anything starts, so that a wrong file is a line
and not a server that never comes up. Knows no server.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.errors import InvalidSettings

if TYPE_CHECKING:
    from coordinator.settings import Settings


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM files: a certificate (with its chain), its unencrypted key, and who signs the clients that may come in."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Certificates:
    """What each interface is served with; None: cleartext."""

    http: KeyPair | None = None
    grpc: KeyPair | None = None


def certificates_of(settings: Settings) -> Certificates:
    """What the settings name, proven to be of use. Raises InvalidSettings, a line for the first that is not."""
    return Certificates(
        http=_pair("HTTP_TLS", settings.http_tls_cert, settings.http_tls_key, None),
        grpc=_pair("GRPC_TLS", settings.grpc_tls_cert, settings.grpc_tls_key, settings.grpc_tls_client_ca),
    )


def _pair(prefix: str, certificate: Path | None, key: Path | None, client_ca: Path | None) -> KeyPair | None:
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for variable, path in ((f"{prefix}_CERT", certificate), (f"{prefix}_KEY", key), (f"{prefix}_CLIENT_CA", client_ca)):
        if path is not None:
            _readable(variable, path)
    try:
        # Without this an encrypted key would ask at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as wrong:
        raise InvalidSettings(
            f"{prefix}_CERT, {prefix}_KEY: {certificate}, {key}: {_reason(wrong)}; allowed: a certificate and its"
            " unencrypted key, both in PEM form"
        ) from wrong
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as wrong:
            raise InvalidSettings(
                f"{prefix}_CLIENT_CA: {client_ca}: {_reason(wrong)}; allowed: certificates in PEM form"
            ) from wrong
    return KeyPair(certificate, key, client_ca)


def _readable(variable: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as failed:
        raise InvalidSettings(
            f"{variable}: {path}: {failed.strerror}; allowed: a file that this user can read"
        ) from failed


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own word, in lower case; it has none for a file that holds nothing in PEM form."""
    return (error.reason or "nothing in PEM form").lower().replace("_", " ")
