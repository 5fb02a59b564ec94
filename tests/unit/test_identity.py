from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.identity import (
    Identity,
    derive_namespace,
    derive_schema,
    is_name,
    is_namespace,
    is_schema,
    labels,
)

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", fullmatch=True)


@given(NAMES)
def test_every_allowed_name_has_a_schema_that_fits(instance: str) -> None:
    """A derived schema is one word of Postgres' 63 bytes at most, whatever the instance is called."""
    schema = derive_schema("test-coordinator", instance)
    assert len(schema) <= 63
    assert is_schema(schema) or schema in {"public", "information_schema"} or schema.startswith("pg_")


@given(NAMES)
def test_namespace_keeps_suffixes_apart(suffix: str) -> None:
    """Instances of one service have namespaces of their own, case included, below the service's."""
    instance = f"test-coordinator-{suffix}"
    assert derive_namespace("test-coordinator", instance) == f"test_coordinator:{suffix}"


@pytest.mark.parametrize("service", ["coordinator", "Test-Coordinator"])
def test_singleton_of_another_service(service: str) -> None:
    """The singleton is called by the first part of its service's name, in lower case."""
    first = service.split("-", maxsplit=1)[0].lower()
    assert derive_schema(service, service) == first
    assert derive_namespace(service, service) == first


def test_service_name_alone_is_no_prefix() -> None:
    """A name that only begins with the same letters is no instance of the service."""
    assert derive_namespace("test-coordinator", "test-coordinatorX") == "test_coordinatorx"


def test_registry_key_names_service_and_instance() -> None:
    """The registry stands outside every namespace, under service and instance as written."""
    identity = Identity("test-coordinator", "test-coordinator-Chaos1", "docker", "1", "schema", "namespace")
    assert identity.registry_key == "services:test-coordinator:test-coordinator-Chaos1"


@pytest.mark.parametrize("namespace", ["services", "services:x", ":x", "x:", "a b", "", "a*"])
def test_namespaces_that_would_collide_are_refused(namespace: str) -> None:
    """The registry's own name and texts that would not be one key's beginning are no namespaces."""
    assert not is_namespace(namespace)


def test_labels_leave_out_what_does_not_apply() -> None:
    """Everything on an engine says role and instance; execution, fault and expiry where there are any."""
    assert labels("helper", "blue") == {"test-coordinator.role": "helper", "test-coordinator.instance": "blue"}
    assert labels("helper", "blue", execution="e", fault="f", expires="1") == {
        "test-coordinator.role": "helper",
        "test-coordinator.instance": "blue",
        "test-coordinator.execution": "e",
        "test-coordinator.fault": "f",
        "test-coordinator.expires": "1",
    }


def test_name_is_ascii() -> None:
    """Digits and letters of other scripts are not allowed, though Python would call them so."""
    assert not is_name("\u0661")
    assert not is_name("é")
