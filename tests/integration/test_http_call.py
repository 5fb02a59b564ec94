"""A service's own chaos API on the real engine: a small server in a container, asked by a client that is not ours."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from tests.integration.coordinator_process import coordinator, eventually, scenario
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.test_limits import put
from tests.integration.test_stress import finish

KEY = "k3y-of-the-service"
SERVICE = f"""
import http.server, json
state = {{"errors": 0, "busy": 1}}

class Service(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if state["errors"] == 0 else 503, json.dumps(state).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Key"] != "{KEY}":
            return self.answer(403, b"no key")
        state["errors"] = asked["errors"]
        self.answer(204)

    def do_DELETE(self):
        if self.headers["X-Key"] != "{KEY}":
            return self.answer(403, b"no key")
        if state["busy"] > 0:
            state["busy"] -= 1
            return self.answer(503, b"busy")
        state["errors"] = 0
        self.answer(200)

http.server.HTTPServer(("", 8000), Service).serve_forever()
"""
CALL: dict[str, object] = {
    "type": "http_call",
    "inject": {"port": 8000, "path": "/chaos", "headers": {"X-Key": {"secret": "KEY"}}, "json": {"errors": 30}},
    "undo": {"method": "DELETE", "port": 8000, "path": "/chaos", "headers": {"X-Key": {"secret": "KEY"}}},
}


def asked(target: Container) -> tuple[int, int]:
    """The status that a client gets, and how many errors in a hundred the service was told."""
    try:
        with urllib.request.urlopen(f"http://{target.address}:8000/", timeout=5) as answer:
            return answer.status, json.load(answer)["errors"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["errors"]
    except OSError:
        return 0, 0


def told(folder: Path) -> str:
    """All that the coordinator has written down."""
    return "".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_it_is_begun_and_ended_by_calls(tmp_path: Path, containers: Sandbox, engine: str) -> None:
    """The service does what it was told, and is told the end until it takes it: by the execution, by the warden after
    SIGKILL of the coordinator, by the next start after SIGKILL of both, and in its next run where it was down. To one
    that has no such call nothing is owed. Nothing that is kept holds the secret.
    """
    target = containers.run("served", command=["python3", "-c", SERVICE])
    with coordinator(tmp_path, SCENARIO_SECRET_KEY=KEY) as served:
        served.start()
        eventually(lambda: asked(target) == (200, 0), "the service")
        execution_id = put(served, target, [CALL])
        assert asked(target) == (503, 30)
        finish(served, execution_id)
        assert asked(target) == (200, 0)

        put(served, target, [CALL])
        assert asked(target) == (503, 30)
        served.kill_alone()
        eventually(lambda: asked(target) == (200, 0), "the warden")

        served.start()
        put(served, target, [CALL])
        served.kill()
        assert asked(target) == (503, 30)
        served.start()
        eventually(lambda: asked(target) == (200, 0), "the undo")

        refused = {**CALL, "inject": {"method": "PUT", "port": 8000}, "undo": {"method": "PUT", "port": 8000}}
        execution_id = served.submit(scenario([refused], names=[target.name], duration="1s"))
        eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
        execution = served.execution(execution_id)
        assert (execution["verdict"], execution["undo"]) == ("not_injected", "complete")
        assert "answered 501" in execution["reason"]

        execution_id = put(served, target, [CALL])
        docker("kill", target.id)
        served.call("DELETE", f"/api/v1/executions/{execution_id}")
        eventually(lambda: served.execution(execution_id)["faults"][0]["state"] == "undoing", "the undo")
        docker("start", target.id)
        finish(served, execution_id)
        assert served.execution(execution_id)["faults"][0]["targets"][0]["outcome"] == "effective; put back"

        lacking = {**CALL, "undo": {"port": 8000, "headers": {"X-Key": {"secret": "NONE"}}}}
        execution_id = served.submit(scenario([lacking], names=[target.name], duration="1s"))
        eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
        execution = served.execution(execution_id)
        assert (execution["verdict"], execution["undo"]) == ("error", "none")
        assert "SCENARIO_SECRET_NONE" in execution["reason"]
        assert asked(target) == (200, 0)
    assert KEY not in told(tmp_path)
