"""One number out of Prometheus: of a query to its server, or of one series on a page of metrics. Asks over the http
probe's connections; knows no PromQL.
"""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import anyio

from actors.prober.failures import no_data, wrong_answer
from actors.prober.http_probe import MAX_BODY, Answer, fetch, request_of
from actors.prober.secret_texts import SecretSource
from actors.prober.url import parse_url
from actors.prober.values import valued
from coordinator.record import Reading
from coordinator.scenarios.probes import HttpProbe, PrometheusProbe

API: Final = "/api/v1/query"

MAX_LINE: Final = 16384
"""Characters of one series on a page; a longer one is not read."""


class NoData(LookupError):
    """Nothing there has the asked-for name and labels."""


async def look(probe: PrometheusProbe, secrets: SecretSource, tls: Callable[[], ssl.SSLContext]) -> Reading:
    """Ask once. The latency is from the start of the look to the end of the body, as with http probes.

    Raises h11's errors, OSError, ValueError, LinkLocalAddress, MissingSecret.
    """
    accept = "application/json" if probe.query is not None else "text/plain; version=0.0.4"
    asking = HttpProbe(url=address_of(probe), headers={"Accept": accept, **probe.headers})
    request = request_of(asking, parse_url(asking.url or ""), secrets)
    began = anyio.current_time()
    answer = await fetch(request, tls)
    return judged(probe, answer, anyio.current_time() - began)


def address_of(probe: PrometheusProbe) -> str:
    """The page itself, or the server's API with the query; a path before the API is kept."""
    if probe.query is None:
        return probe.url
    parts = urlsplit(probe.url)
    path = parts.path.rstrip("/")
    path = path if path.endswith(API) else path + API
    asked = f"query={quote(probe.query, safe='')}"
    return urlunsplit((parts.scheme, parts.netloc, path, f"{parts.query}&{asked}" if parts.query else asked, ""))


def judged(probe: PrometheusProbe, answer: Answer, latency_s: float) -> Reading:
    """The reading of an answer: an error, no data, a number that is not the expected one, or the number."""
    if answer.status != HTTPStatus.OK:
        what = f"status {answer.status}{_reason(answer.body)}"
        return wrong_answer(what, latency_s=latency_s)
    if not answer.complete:
        return wrong_answer(f"a body above {MAX_BODY} bytes, too long to read", latency_s=latency_s)
    text = answer.body.decode(errors="replace")
    try:
        value = queried(text) if probe.query is not None else on_page(text, probe.metric or "", probe.labels)
    except NoData as error:
        return no_data(str(error), latency_s=latency_s)
    except ValueError as error:
        return wrong_answer(str(error), latency_s=latency_s)
    if not math.isfinite(value):
        return no_data(f"the value is {value}", latency_s=latency_s)
    return valued(value, probe.expect.value, latency_s=latency_s)


def queried(text: str) -> float:
    """The number of an instant query's answer. Raises NoData, ValueError."""
    try:
        data = json.loads(text)["data"]
        kind, result = data["resultType"], data["result"]
        values = [result] if kind == "scalar" else [one["value"] for one in result if kind == "vector"]
        numbers = [float(value) for _, value in values]
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not the answer of a Prometheus server to a query: is the url its address?") from error
    if kind not in {"scalar", "vector"}:
        raise ValueError(f"the query gives a {kind}, not one number")
    if not numbers:
        raise NoData("the query matches no series")
    if len(numbers) > 1:
        raise ValueError(f"the query gives {len(numbers)} series, expected one: add labels, or sum()")
    return numbers[0]


def on_page(text: str, metric: str, labels: dict[str, str]) -> float:
    """The number of the one series of that name with at least these labels. Raises NoData, ValueError."""
    from prometheus_client.parser import text_string_to_metric_families

    lines = [line for line in text.splitlines() if line.startswith((f"{metric}{{", f"{metric} ", f"{metric}\t"))]
    if any(len(line) > MAX_LINE for line in lines):
        raise ValueError(f"a series of {metric} is longer than {MAX_LINE} characters")
    try:
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except ValueError as error:
        raise ValueError(f"{metric} cannot be read from the page: {error}") from error
    found = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    ]
    if not found:
        named = ", ".join(f"{name}={value!r}" for name, value in labels.items())
        raise NoData(f"the page has no {metric}" + (f" with {named}" if named else ""))
    if len(found) > 1:
        raise ValueError(f"{len(found)} series of {metric} match, expected one: add labels")
    return float(found[0])


def _reason(body: bytes) -> str:
    """What a Prometheus server says is wrong with a query."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict) or "error" not in said:
        return ""
    return f": {said.get('errorType', 'error')}: {said['error']}"
