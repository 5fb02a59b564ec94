import json
import ssl

import anyio
import pytest
from pydantic import ValidationError

from actors.prober.http_probe import Answer
from actors.prober.prometheus_probe import MAX_LINE, address_of, judged, look
from coordinator.scenarios.probes import PrometheusProbe
from tests.unit.prober.scene import answer, secrets, serving

pytestmark = pytest.mark.anyio

PAGE = b"""# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{kind="a",code="200"} 7
jobs_total{kind="b",code="200"} 8 1700000000000
jobs_total_more 9
odd{text="a } \\" b"} 1.5e3
none NaN
endless +Inf
broken{ 1
"""


def no_tls() -> ssl.SSLContext:
    raise AssertionError("plain HTTP needs no certificates")


def probe(**fields: object) -> PrometheusProbe:
    return PrometheusProbe.model_validate({"url": "http://127.0.0.1:9090", **fields})


def vector(*values: str) -> bytes:
    result = [{"metric": {"n": str(n)}, "value": [1700000000.1, value]} for n, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"query": "up", "metric": "up"},
        {"query": "up", "labels": {"a": "b"}},
        {"query": ""},
        {"metric": "a b"},
        {"query": "up", "url": "http://169.254.169.254/"},
        {"query": "up", "expect": {"value": "> much"}},
    ],
)
def test_what_is_asked_is_clear(fields: dict[str, object]) -> None:
    """Either a query or a metric with labels, at an allowed address, judged by a number."""
    with pytest.raises(ValidationError):
        probe(**fields)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:1", "http://h:1/api/v1/query?query=a%7Bb%3D%22c%26d%22%7D"),
        ("http://h/prom/", "http://h/prom/api/v1/query?query=a%7Bb%3D%22c%26d%22%7D"),
        ("http://h/api/v1/query?x=1#y", "http://h/api/v1/query?x=1&query=a%7Bb%3D%22c%26d%22%7D"),
    ],
)
def test_the_address_of_a_query(url: str, asked: str) -> None:
    """The API's path is added once, and the query is one quoted parameter."""
    assert address_of(probe(url=url, query='a{b="c&d"}')) == asked


@pytest.mark.parametrize(
    ("body", "value", "error"),
    [
        (vector("3.5"), 3.5, ""),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}', 2.0, ""),
        (vector(), None, "no data: the query matches no series"),
        (vector("NaN"), None, "no data: the value is nan"),
        (vector("1", "2"), None, "wrong answer: the query gives 2 series, expected one"),
        (b'{"data":{"resultType":"matrix","result":[]}}', None, "wrong answer: the query gives a matrix"),
        (b'{"data":{"resultType":"vector","result":[{}]}}', None, "wrong answer: not the answer of a Prometheus"),
        (b"<html>", None, "wrong answer: not the answer of a Prometheus"),
        (b"[]", None, "wrong answer: not the answer of a Prometheus"),
        (b"[" * 100_000, None, "wrong answer: not the answer of a Prometheus"),
    ],
)
def test_answers_to_a_query(body: bytes, value: float | None, error: str) -> None:
    """One number is the value; no series is no data; everything else is a wrong answer."""
    reading = judged(probe(query="up"), Answer(200, body, complete=True), 0.25)
    assert (reading.ok, reading.value, reading.latency_s) == (not error, value, 0.25)
    assert reading.error.startswith(error)


@pytest.mark.parametrize(
    ("metric", "labels", "value", "error"),
    [
        ("jobs_total", {"kind": "a"}, 7.0, ""),
        ("jobs_total", {"kind": "b", "code": "200"}, 8.0, ""),
        ("jobs_total_more", {}, 9.0, ""),
        ("odd", {"text": 'a } " b'}, 1500.0, ""),
        ("jobs_total", {}, None, "wrong answer: 2 series of jobs_total match"),
        ("jobs_total", {"kind": "c"}, None, "no data: the page has no jobs_total with kind='c'"),
        ("jobs", {}, None, "no data: the page has no jobs"),
        ("none", {}, None, "no data: the value is nan"),
        ("endless", {}, None, "no data: the value is inf"),
        ("broken", {}, None, "wrong answer: broken cannot be read from the page"),
    ],
)
def test_a_series_on_a_page(metric: str, labels: dict[str, str], value: float | None, error: str) -> None:
    """The series of exactly that name with at least these labels is the value, if there is exactly one."""
    reading = judged(probe(metric=metric, labels=labels), Answer(200, PAGE, complete=True), 0.25)
    assert (reading.ok, reading.value, reading.latency_s) == (not error, value, 0.25)
    assert reading.error.startswith(error)


def test_what_is_too_long_is_not_read() -> None:
    """A cut page and an endless line are wrong answers, however they go on."""
    asked = probe(metric="a")
    assert "too long" in judged(asked, Answer(200, b"a 1\n", complete=False), 0.1).error
    line = b'a{b="' + b"c" * MAX_LINE + b'"} 1\n'
    assert "longer than" in judged(asked, Answer(200, line, complete=True), 0.1).error


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"status":"error","errorType":"bad_data","error":"parse error"}', "status 400: bad_data: parse error"),
        (503, b"busy", "status 503"),
        (404, b"[]", "status 404"),
    ],
)
def test_an_error_of_the_server_is_passed_on(status: int, body: bytes, error: str) -> None:
    """The server's own words say what is wrong with a query."""
    assert judged(probe(query="("), Answer(status, body, complete=True), 0.1).error == f"wrong answer: {error}"


def test_an_expected_number() -> None:
    """A number that is not the expected one is a bad sample, and stays to be seen."""
    answered = Answer(200, vector("120"), complete=True)
    reading = judged(probe(query="up", expect={"value": "< 100"}), answered, 0.1)
    assert (reading.ok, reading.value, reading.error) == (False, 120.0, "wrong answer: 120, expected < 100")
    assert judged(probe(query="up", expect={"value": ">= 100"}), answered, 0.1).ok


async def test_a_page_is_asked_for_as_text_and_with_secrets() -> None:
    """The request names the text format and carries the headers, secrets resolved."""
    async with serving(lambda _: answer(body=PAGE)) as server:
        asked = probe(url=server.url, metric="odd", headers={"Authorization": {"secret": "TOKEN"}})
        with anyio.fail_after(20):
            reading = await look(asked, secrets, no_tls)
    assert (reading.ok, reading.value) == (True, 1500.0)
    assert "Accept: text/plain; version=0.0.4" in server.requests[0]
    assert "Authorization: s3cr3t" in server.requests[0]
