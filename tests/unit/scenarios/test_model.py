"""The model: what a probe, an assertion or a phase may be made of."""

import pytest
from pydantic import ValidationError

from coordinator.hosts import ip_of
from coordinator.scenarios.model import AbortCondition, Assertion, ContainerClaim, WaitUntil, masked
from coordinator.scenarios.parse import allowed_by
from coordinator.scenarios.probes import HttpProbe, TcpProbe
from coordinator.secret_text import SecretRef


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data", "http://0xa9fea9fe/", "http://2852039166:80/", "http://169.254.1/",
        "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "ftp://host/", "http://", "http:// /", "nonsense", "",
    ],
)  # fmt: skip
def test_a_probe_url_is_neither_link_local_nor_nonsense(url: str) -> None:
    """A metadata service is refused in every spelling, and so is what is no HTTP URL."""
    with pytest.raises(ValidationError):
        HttpProbe(url=url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/health", "https://api.example/x?y=1", "http://[::1]:80/", "HTTP://host"]
)
def test_a_probe_url_stays_as_it_was_written(url: str) -> None:
    """Loopback, names and addresses are taken, unchanged."""
    assert HttpProbe(url=url).url == url


@pytest.mark.parametrize(
    "host", ["169.254.0.1", "fe80::1%eth0", "fd00::1%eth0", "0xA9FE0001", "http://host", "a b", "", "u@host"]
)
def test_a_tcp_host_is_a_name_or_an_address(host: str) -> None:
    """Link-local addresses, zones, URLs and users are refused."""
    with pytest.raises(ValidationError):
        TcpProbe(host=host, port=1)


def test_a_probe_has_exactly_one_address() -> None:
    """A URL or host, or a target with a port: one of them, not both, not none."""
    assert HttpProbe(target="web", port=80).target == "web"
    http: list[dict[str, object]] = [{}, {"target": "web"}, {"target": "web", "port": 1, "url": "http://h"}]
    for wrong in http:
        with pytest.raises(ValidationError):
            HttpProbe.model_validate(wrong)
    tcp: list[dict[str, object]] = [{"port": 1}, {"port": 1, "host": "h", "target": "t"}]
    for wrong in tcp:
        with pytest.raises(ValidationError):
            TcpProbe.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"probe": "a"}, {"availability": "> 1%"}, {"probe": "a", "availability": "> 1%", "count": 1},
        {"probe": "a", "container": {"target": "t", "state": "running"}}, {"container": {"target": "t"}},
        {"container": {"target": "t", "state": "runing"}}, {"probe": "a", "unchanged": "false"},
        {"container": {"target": "t", "state": "running"}, "count": 1},
    ],
)  # fmt: skip
def test_an_assertion_makes_one_claim(wrong: dict[str, object]) -> None:
    """One metric of one probe, or a claim on containers that says something."""
    with pytest.raises(ValidationError):
        Assertion.model_validate(wrong)


def test_an_assertion_names_its_metric() -> None:
    """The one metric that is given is found by name."""
    assert Assertion.model_validate({"probe": "a", "latency_p95": "200ms"}).metrics() == ("latency_p95",)
    assert ContainerClaim.model_validate({"target": "t", "restarts": 0}).restarts is not None


def test_an_abort_condition_says_in_which_direction() -> None:
    """A latency without an operator would read as its opposite; two conditions at once are two entries."""
    assert AbortCondition.model_validate({"probe": "a", "latency_p99": "> 2s"}).condition() == "latency_p99"
    for wrong in ({"latency_p99": "2s"}, {}, {"unavailable_for": "1s", "value": "x"}):
        with pytest.raises(ValidationError):
            AbortCondition.model_validate({"probe": "a", **wrong})


def test_waiting_is_for_one_thing() -> None:
    """A probe or containers."""
    for wrong in ({}, {"probe": "a", "container": {"target": "t", "state": "running"}}):
        with pytest.raises(ValidationError):
            WaitUntil.model_validate(wrong)


def test_a_secret_is_a_name() -> None:
    """A secret's name can be part of an environment variable and of a file name, and nothing else."""
    assert SecretRef(secret="DB_PASSWORD").secret == "DB_PASSWORD"
    for wrong in ("../x", "", "a b", "1"):
        with pytest.raises(ValidationError):
            SecretRef(secret=wrong)


@pytest.mark.parametrize(
    ("host", "address"), [("127.1", "127.0.0.1"), ("[::1]", "::1"), ("fe80::1%eth0", "fe80::1"), ("host", "None")]
)
def test_an_address_is_known_in_any_spelling(host: str, address: str) -> None:
    """Short, bracketed and scoped addresses are addresses; names are not."""
    assert str(ip_of(host)) == address


def test_passwords_in_urls_are_masked() -> None:
    """User and host stay readable."""
    assert masked("see postgres://u:pa55@host/db") == "see postgres://u:***@host/db"
    assert masked("http://host:80/") == "http://host:80/"


@pytest.mark.parametrize(
    ("kind", "context", "said"),
    [
        ("too_short", {"min_length": 1}, "at least 1 entry"),
        ("too_short", {"min_length": 2}, "at least 2 entries"),
        ("string_too_short", {"min_length": 1}, "at least 1 character"),
        ("string_too_long", {"max_length": 1000}, "at most 1000 characters"),
        ("less_than_equal", {"le": 1576800000}, "at most 1576800000"),
    ],
)
def test_bounds_of_lengths_say_of_what(kind: str, context: dict[str, object], said: str) -> None:
    """Entries of a list, characters of a text; numbers without an exponent."""
    assert allowed_by({"type": kind, "loc": (), "msg": "", "input": None, "ctx": context}) == said
