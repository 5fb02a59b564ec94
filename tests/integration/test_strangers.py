"""Every call as a stranger makes it: plain curl, and plain gRPC that finds the services by reflection."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.integration.coordinator_process import Coordinator, coordinator, eventually

NAME = "pause-service"
MINE = {
    "apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": NAME, "metadata": {"name": "mine"},
}  # fmt: skip
SERVICE = "testcoordinator.v1.ExecutionService"
WITHIN_S = 30


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Iterator[Coordinator]:
    """A coordinator that is up and may touch no container that does not say so."""
    with coordinator(tmp_path_factory.mktemp("strangers"), CHAOS_TARGET_POLICY="opt-in") as made:
        made.start()
        yield made


def curl(served: Coordinator, method: str, path: str, *options: str, token: bool = True) -> tuple[int, str]:
    """Status and body."""
    argv = ["curl", "-sS", "--noproxy", "*", "-X", method, "-w", "\n%{http_code}", "--max-time", str(WITHIN_S)]
    if token:
        argv += ["-H", f"Authorization: Bearer {served.token}"]
    done = subprocess.run([*argv, *options, f"{served.url}{path}"], capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def sent(body: object) -> tuple[str, ...]:
    """The options of a body."""
    return ("-H", "Content-Type: application/json", "-d", json.dumps(body))


def finished(served: Coordinator) -> str:
    """The id of an execution that has ended: nothing is labelled as its target."""
    status, text = curl(served, "POST", "/api/v1/executions", *sent({"scenario": NAME}))
    assert status == 202, text
    execution_id = str(json.loads(text)["id"])
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "its end")
    return execution_id


def test_every_endpoint_answers_curl(served: Coordinator) -> None:
    """Each call of the description is made, and answers with the status that a reader of the docs expects."""
    execution = finished(served)
    asked = [
        ("POST", "/api/v1/executions", "", {"scenario": NAME, "dry_run": True}, 200),
        ("GET", "/api/v1/executions", "?limit=1&state=finished", None, 200),
        ("GET", "/api/v1/executions/{execution_id}", execution, None, 200),
        ("GET", "/api/v1/executions/{execution_id}/events", execution, None, 200),
        ("GET", "/api/v1/executions/{execution_id}/report", execution, None, 200),
        ("GET", "/api/v1/executions/{execution_id}/samples", execution, None, 200),
        ("DELETE", "/api/v1/executions/{execution_id}", execution, None, 409),
        ("PUT", "/api/v1/scenarios/{name}", "mine", {"definition": MINE}, 201),
        ("GET", "/api/v1/scenarios", "", None, 200),
        ("GET", "/api/v1/scenarios/{name}", "mine", None, 200),
        ("POST", "/api/v1/scenarios/validate", "", {"scenario": "mine"}, 200),
        ("DELETE", "/api/v1/scenarios/{name}", "mine", None, 204),
        ("GET", "/api/v1/actors", "", None, 200),
        ("POST", "/api/v1/actors/{actor_id}/restart", "chaos", None, 200),
        ("POST", "/api/v1/actors/{actor_id}/reset", "chaos", None, 409),
        ("GET", "/api/v1/containers", "", None, 200),
        ("GET", "/api/v1/faults", "", None, 200),
        ("DELETE", "/api/v1/faults/{fault_id}", "none", None, 404),
        ("DELETE", "/api/v1/faults", "", None, 200),
        ("GET", "/api/v1/health", "", None, 200),
        ("GET", "/api/v1/ready", "", None, 200),
        ("GET", "/metrics", "", None, 200),
        ("GET", "/api/v1/openapi.json", "", None, 200),
    ]
    for method, route, value, body, expected in asked:
        path = route.replace("{execution_id}", value).replace("{name}", value)
        path = path.replace("{actor_id}", value).replace("{fault_id}", value)
        path = path if "{" in route else path + value
        status, text = curl(served, method, path, *(sent(body) if body is not None else ()))
        assert status == expected, (method, path, text)
    document = json.loads(curl(served, "GET", "/api/v1/openapi.json")[1])
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    # The scan looks at every container of the engine: it has its own tests, on an engine of its own.
    assert described - {(method, route) for method, route, *_ in asked} <= {("POST", "/api/v1/scan")}


def test_browsers_find_the_docs(served: Coordinator) -> None:
    """Without a token, with the headers that keep a page to itself."""
    answer = httpx.get(f"{served.url}/api/v1/docs", trust_env=False, timeout=WITHIN_S)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert curl(served, "GET", "/api/v1/docs/style.css", token=False)[0] == 200


def test_events_are_resumed_after_a_restart(served: Coordinator) -> None:
    """A client that was cut off goes on after the last id it saw, with another process on the same folder."""
    execution = finished(served)
    whole = curl(served, "GET", f"/api/v1/executions/{execution}/events")[1].split("\n\n")
    assert whole[-2].startswith("event: end")
    served.kill()
    served.start()
    for place in range(len(whole) - 1):
        rest = curl(served, "GET", f"/api/v1/executions/{execution}/events", "-H", f"Last-Event-ID: {place}")[1].split(
            "\n\n"
        )
        assert rest == whole[place:]


class Stranger:
    """A gRPC client that knows only an address, and asks the server what it offers."""

    def __init__(self, served: Coordinator) -> None:
        where = json.loads((served.data_dir / "endpoints.json").read_text())["grpc"]
        self.channel = grpc.insecure_channel(where)
        self._pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.service = self._pool.FindServiceByName(SERVICE)
        self._metadata = (("authorization", f"Bearer {served.token}"),)

    def call(self, method: str, **fields: object) -> Any:
        """A call by its name; of a stream, all messages."""
        found = self.service.methods_by_name[method]
        request, reply = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        make = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        path = f"/{SERVICE}/{method}"
        ask = make(path, request_serializer=request.SerializeToString, response_deserializer=reply.FromString)
        answer = ask(request(**fields), metadata=self._metadata, timeout=WITHIN_S, wait_for_ready=True)
        return [json_format.MessageToDict(one) for one in (answer if found.server_streaming else [answer])]


def test_every_call_answers_a_grpc_client_that_knows_nothing(served: Coordinator) -> None:
    """Reflection is enough to start an execution, follow it to its end, look at it, list it, and try to stop it."""
    stranger = Stranger(served)
    with stranger.channel:
        assert set(stranger.service.methods_by_name) == {
            "StartExecution", "GetExecution", "ListExecutions", "StopExecution", "WatchExecution",
        }  # fmt: skip
        [started] = stranger.call("StartExecution", scenario=NAME)
        told = stranger.call("WatchExecution", id=started["id"])
        assert [int(news["event"]["place"]) for news in told[:-1]] == list(range(1, len(told)))
        assert told[-1]["finished"]["verdict"] == "VERDICT_NOT_INJECTED"
        assert stranger.call("GetExecution", id=started["id"]) == [told[-1]["finished"]]
        [listed] = stranger.call("ListExecutions", page_size=1)
        assert [one["id"] for one in listed["executions"]] == [started["id"]]
        with pytest.raises(grpc.RpcError) as late:
            stranger.call("StopExecution", id=started["id"])
        assert late.value.code() is grpc.StatusCode.FAILED_PRECONDITION
