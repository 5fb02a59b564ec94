"""A few bytes of an engine on a socket of its own, to see what becomes of each way in which one can fail."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import socket
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, Final

VERSION: Final = {"ApiVersion": "1.41", "Version": "stub"}
INFO: Final = {"ID": "STUB", "ServerVersion": "stub"}


class _Handler(BaseHTTPRequestHandler):
    server: StubEngine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the engine was told to."""
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        if path.endswith("/version"):
            self._answer(200, VERSION)
        elif self.server.silent:
            self.server.released.wait(30)
        elif self.server.error:
            self._answer(500, {"message": self.server.error})
        elif path.endswith("/events"):
            self._stream()
        else:
            self._answer(200, INFO)

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        """Headers, then the events that are given, then silence until the engine is closed."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.server.events:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.server.released.wait(30)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name http.server gives it
        """Say nothing."""


class StubEngine(ThreadingMixIn, UnixStreamServer):
    """Answers version and info; `silent` keeps every other answer back, `error` makes it a failure."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.events: list[object] = []
        self.silent = False
        self.error = ""
        self.released = threading.Event()
        super().__init__(str(path), _Handler)
        self.endpoint = f"unix://{path}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def get_request(self) -> tuple[socket, Any]:
        """http.server wants an address with a host; a socket file has none."""
        request, _ = super().get_request()
        return request, ("stub", 0)

    def close(self) -> None:
        """Let every held answer go and stop listening; the socket file goes too."""
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        Path(str(self.server_address)).unlink()
