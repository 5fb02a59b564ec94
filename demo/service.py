"""The demo's service, in two roles: a replica that answers, and a front end that passes each request to a replica.

    service.py replica NAME
    service.py front REPLICA_NAME ...

Both listen on port 8000. Standard library only, as it runs in a bare container.
"""

import contextlib
import http.client
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000
CONNECT_TIMEOUT_S = 0.15  # a dead container's address does not refuse, it is silent
RESOLVE_EVERY_S = 0.5


class Replicas:
    """The replicas a front end knows, the last that answered first.

    Names are resolved aside: for the name of a dead container the resolver asks the network, which may take seconds.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._addresses: dict[str, str] = {}

    def resolve_forever(self) -> None:
        """Keep the last known address of each replica; a restarted container may have a new one."""
        for name in self._names:
            threading.Thread(target=self._resolve, args=(name,), daemon=True).start()

    def _resolve(self, name: str) -> None:
        while True:
            # Keeps the last address until the name is back.
            with contextlib.suppress(OSError):
                self._addresses[name] = socket.gethostbyname(name)
            time.sleep(RESOLVE_EVERY_S)

    def fetch(self) -> tuple[int, bytes]:
        """Status and body of the first replica that answers; 503 if none does."""
        for name, address in list(self._addresses.items()):
            connection = http.client.HTTPConnection(address, PORT, timeout=CONNECT_TIMEOUT_S)
            try:
                connection.request("GET", "/")
                return 200, connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                # To the end of the line, so that the next request does not wait for it again.
                if self._addresses.get(name) == address:
                    self._addresses[name] = self._addresses.pop(name)
            finally:
                connection.close()
        return 503, b"no replica answers\n"


def handler_of(replicas: Replicas | None, name: str) -> type[BaseHTTPRequestHandler]:
    """The request handler of a front end (with replicas) or of a replica (without)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = replicas.fetch() if replicas else (200, f"hello from {name}\n".encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
            """No line per request: the probe asks ten times a second."""

    return Handler


def main() -> None:
    """Serve the role named on the command line."""
    role, *names = sys.argv[1:]
    replicas = Replicas(names) if role == "front" else None
    if replicas:
        replicas.resolve_forever()
    server = ThreadingHTTPServer(("", PORT), handler_of(replicas, names[0]))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
