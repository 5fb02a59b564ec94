"""Calls of a service's own chaos API: which requests, to whom, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from coordinator.errors import Refused
from coordinator.faults.catalogue import AnyFault
from coordinator.faults.commands import HttpCommand, batch
from coordinator.faults.facts import ContainerState
from coordinator.faults.http_call import HttpCall
from coordinator.faults.looks import Succeeded, need
from coordinator.faults.model import TargetPlan
from coordinator.faults.needs import Need
from tests.unit.faults.test_limits import container

FAULTS: TypeAdapter[object] = TypeAdapter(AnyFault)
URL = "http://127.0.0.1:8000/chaos"
OTHER = container().model_copy(update={"id": "d" * 64, "name": "web-2"})


def fault(inject: dict[str, object], **fields: object) -> HttpCall:
    """As a scenario writes it."""
    undo = {"method": "DELETE", "url": URL}
    made = FAULTS.validate_python({"type": "http_call", "target": "t", "inject": inject, "undo": undo} | fields)
    assert isinstance(made, HttpCall)
    return made


def test_a_request_begins_it_and_another_ends_it() -> None:
    """Both as a person would ask for them; the secret is a name, in the ledger too; 2xx is all there is to see."""
    spec = fault({"url": URL, "headers": {"X-Key": {"secret": "KEY"}}, "json": {"errors": 30}}, timeout="2s")
    (target,) = spec.plan([container()]).targets
    assert target.inject.shown() == (
        "curl --fail --silent --show-error --max-time 2 --request POST "
        "--header \"X-Key: ${KEY}\" --header 'Content-Type: application/json' --data-raw '{\"errors\": 30}' " + URL
    )
    assert target.undo is not None
    assert target.undo.command.shown() == (f"curl --fail --silent --show-error --max-time 2 --request DELETE {URL}")
    assert (target.inject.secrets, target.undo.command.secrets) == (("KEY",), ())
    assert target.effect == Succeeded()
    assert TargetPlan.model_validate_json(target.model_dump_json()) == target


def test_a_port_is_of_each_container_and_a_url_is_called_once() -> None:
    """What goes to each has its id; the same request for all is one."""
    each = fault({"port": 8000, "path": "/chaos"}).plan([container(), OTHER])
    calls = batch(target.inject for target in each.targets)
    assert [call.container_id for call in calls if isinstance(call, HttpCommand)] == ["c" * 64, "d" * 64]
    assert "http://$(docker inspect -f " in calls[0].shown()
    assert calls[0].shown().endswith(f"{'c' * 64} | cut -d' ' -f1):8000/chaos")
    one = fault({"url": URL}).plan([container(), OTHER])
    assert len(batch(target.inject for target in one.targets)) == 1
    assert len(one.undos) == 2


@pytest.mark.parametrize("mode", ["host", "none", "container:" + "d" * 64])
def test_who_has_no_address_of_its_own_is_called_by_url_alone(mode: str) -> None:
    """It is refused, with what to do, before anything is begun: its undo would never be answered."""
    aside = container().model_copy(update={"network_mode": mode})
    calls: list[dict[str, object]] = [{"port": 1}, {"url": URL}]
    for inject, undo in (calls, reversed(calls)):
        with pytest.raises(Refused, match=r"no address of its own .*: give url in place of port"):
            fault(inject, undo=undo).plan([aside])
    assert fault({"url": URL}).plan([aside]).targets


@pytest.mark.parametrize("mode", ["hosting_default", "none-of-it"])
def test_a_network_may_have_any_name(mode: str) -> None:
    """It is no mode."""
    assert fault({"port": 1}).plan([container().model_copy(update={"network_mode": mode})]).targets


@pytest.mark.parametrize(
    "state",
    ["running", "paused", "restarting", "exited", "created"],
)
def test_it_is_owed_to_whichever_run_is_up(state: str) -> None:
    """A service may remember over a restart what it was told, and so it is owed to one that is down as well."""
    (undo,) = fault({"url": URL}).plan([container()]).undos
    later = container().model_copy(update={"state": ContainerState(state), "started_at": "later"})
    assert need(undo, later, attempted=False) is Need.NEEDED
    assert need(undo, None, attempted=False) is Need.GONE


@pytest.mark.parametrize("state", ["exited", "paused"])
def test_what_does_not_run_is_left_alone(state: str) -> None:
    """It is named with its state."""
    plan = fault({"url": URL}).plan([container(state)])
    assert (plan.targets, plan.untouched[0].why) == ((), f"is {state}, not running: left alone")


@pytest.mark.parametrize(
    ("inject", "says"),
    [
        ({}, "either url, or port with path"),
        ({"url": URL, "port": 8000}, "either url, or port with path"),
        ({"url": URL, "path": "/x"}, "a path beside port"),
        ({"url": "ftp://host/"}, "a URL like"),
        ({"url": "http://169.254.169.254/"}, "link-local"),
        ({"url": "http://u:p@host/"}, "without user and password"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"port": 8000, "path": "chaos"}, "pattern"),
        ({"port": 8000, "method": "HEAD"}, "'POST', 'PUT'"),
        ({"port": 8000, "headers": {"X Key": "a"}}, "pattern"),
        ({"port": 8000, "headers": {"X-`id`": {"secret": "KEY"}}}, "pattern"),
        ({"port": 8000, "headers": {"X-Key": "a\r\nHost: b"}}, "a text of one line"),
        ({"port": 8000, "headers": {"X-Key": {"secret": "a b"}}}, "pattern"),
        ({"port": 8000, "body": "x"}, "Extra inputs"),
    ],
)
def test_what_is_no_request_is_refused(inject: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(inject)


def test_the_call_that_ends_it_is_due() -> None:
    """Nothing is begun that nobody knows how to end."""
    with pytest.raises(ValidationError, match="Field required"):
        FAULTS.validate_python({"type": "http_call", "target": "t", "inject": {"url": URL}})
