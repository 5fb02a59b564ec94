"""A real HTTP server on loopback that answers what a test wrote down and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import JsonValue

Answer = tuple[int, JsonValue]


@dataclass(frozen=True)
class Asked:
    """One request. `path` has its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: JsonValue


@dataclass
class SmallServer:
    """`answers` by `METHOD /path?query`; a list is used up one by one, its last answer stays. Unknown: 404."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, call: str, *answers: Answer) -> None:
        """Answer a call so from now on."""
        self.answers[call] = list(answers)

    def taken(self, call: str) -> Answer:
        """The next answer to a call."""
        waiting = self.answers.get(call, [(404, {"title": "Not Found", "status": 404, "detail": f"no {call}"})])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@contextmanager
def small_server() -> Iterator[SmallServer]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body))
            status, content = server.taken(f"{self.command} {self.path}")
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # the names are http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = SmallServer(f"http://127.0.0.1:{listening.server_address[1]}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
