from uuid import uuid4

from actors.grpc_api.health import OVERALL, serving
from coordinator.supervision import ChildState, ChildView, Snapshot


def view(name: str, state: ChildState = ChildState.RUNNING, **more: object) -> ChildView:
    """A child at one moment."""
    fields: dict[str, object] = {
        "id": name, "path": f"root/{name}", "kind": "worker", "state": state, "critical": True, "incarnation": 1,
        "restarts": 0, "since": 0.0,
    }  # fmt: skip
    return ChildView(**(fields | more))  # type: ignore[arg-type]  # a test's shorthand


def tree(*children: ChildView, state: ChildState = ChildState.RUNNING) -> Snapshot:
    """A root with these children."""
    return Snapshot(view("root", state, path="root", kind="supervisor", children=children))


def test_every_actor_is_a_service_beside_the_process() -> None:
    """The process has the empty name, each actor its id, nested ones included."""
    pool = view("running", kind="supervisor", children=(view("janitor"),))
    assert serving(tree(view("chaos"), pool)) == {OVERALL: True, "chaos": True, "running": True, "janitor": True}


def test_running_executions_are_no_services() -> None:
    """A child named by a UUID is work, and would leave a service name behind for ever."""
    pool = view("running", kind="supervisor", children=(view(str(uuid4())),))
    assert serving(tree(pool)) == {OVERALL: True, "running": True}


def test_a_critical_actor_takes_the_process_with_it() -> None:
    """The process does not serve while a critical actor is down; the other actors do."""
    found = serving(tree(view("ledger", ChildState.BACKOFF), view("chaos")))
    assert found == {OVERALL: False, "ledger": False, "chaos": True}


def test_an_impaired_or_minor_actor_does_not() -> None:
    """The process serves while an actor is impaired, or one that is not critical is down."""
    found = serving(tree(view("data_adapter", degraded="redis: gone"), view("x", ChildState.BACKOFF, critical=False)))
    assert found == {OVERALL: True, "data_adapter": True, "x": False}


def test_a_stopping_process_does_not_serve() -> None:
    """From the moment a stop begins the process is not serving, whatever its actors still do."""
    assert serving(tree(view("chaos"), state=ChildState.STOPPING)) == {OVERALL: False, "chaos": True}
