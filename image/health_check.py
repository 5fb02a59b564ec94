"""Exits 0 when the coordinator of this container answers that it is healthy or degraded, 1 with a line otherwise."""

import http.client
import os
import ssl
import sys

TIMEOUT_S = 3
EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  # compared with, not bound


def main() -> str | None:
    """What is wrong, or None; variables are read as `serve` reads them, an empty one counting as unset."""
    host = os.environ.get("HOST", "")
    address = "localhost" if host in EVERY_ADDRESS else host.strip("[]")
    port = int(os.environ.get("HTTP_PORT") or 8080)
    certificate = os.environ.get("HTTP_TLS_CERT")
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
    if certificate:
        # Exactly its own certificate, whatever name that bears.
        trust = ssl.create_default_context(cafile=certificate)
        trust.check_hostname = False
        trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT_S, context=trust)
    try:
        connection.request("GET", "/api/v1/health")
        answer = connection.getresponse()
        body = answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{address}:{port} does not answer: {error}"
    return None if answer.status == http.client.OK else f"{answer.status} {body}"


if __name__ == "__main__":
    sys.exit(main())
