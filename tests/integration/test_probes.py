"""Probes that ask a real service: one look each at what is there, what is not, and what is gone."""

from collections.abc import Iterator, Mapping

import anyio
import pytest

from actors.prober import Prober
from coordinator.record import Reading
from coordinator.scenarios.probes import Probe
from tests.integration.sandbox import Sandbox
from tests.unit.prober.scene import DictionaryEngine, OneOutcome, probe, secrets

STARTED_WITHIN_S = 120


async def sampled(*probes: Probe) -> list[Reading]:
    """One reading of each, in turn."""
    prober = Prober(facts=DictionaryEngine(), runner=OneOutcome(), secrets=secrets)
    return [await prober.sample(one, {}) for one in probes]


async def good(asked: Probe) -> Reading:
    """The first good reading."""
    with anyio.fail_after(STARTED_WITHIN_S):
        while True:
            (reading,) = await sampled(asked)
            if reading.ok:
                return reading
            await anyio.sleep(0.1)


@pytest.fixture
def prometheus(service_images: Mapping[str, str]) -> Iterator[str]:
    """The address of a Prometheus that scrapes nothing."""
    sandbox = Sandbox(service_images["PROMETHEUS_IMAGE"])
    try:
        container = sandbox.run(
            "prometheus",
            options=("--publish", "127.0.0.1::9090"),
            command=("--config.file=/dev/null", "--storage.tsdb.path=/tmp/tsdb"),
        )
        yield f"http://127.0.0.1:{container.published(9090)}"
    finally:
        sandbox.close()


@pytest.mark.anyio
async def test_prometheus_and_its_own_page_are_read(prometheus: str) -> None:
    """A query gives its number, no data and errors are told apart, and a page is read without a server in between."""
    scalar = await good(probe("prometheus", url=prometheus, query="3 * 4"))
    nothing, wrong, page, many = await sampled(
        probe("prometheus", url=prometheus, query='up{job="nobody"}'),
        probe("prometheus", url=prometheus, query="sum("),
        probe("prometheus", url=f"{prometheus}/metrics", metric="process_start_time_seconds"),
        probe("prometheus", url=f"{prometheus}/metrics", metric="prometheus_http_requests_total"),
    )
    assert (scalar.value, scalar.error) == (12.0, "")
    assert nothing.error == "no data: the query matches no series"
    assert wrong.error.startswith("wrong answer: status 400: bad_data: ")
    assert page.ok
    assert isinstance(page.value, float)
    assert page.value > 1e9
    assert "series of prometheus_http_requests_total match" in many.error
