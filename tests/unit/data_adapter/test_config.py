import pytest
from pydantic import ValidationError

from actors.data_adapter import AdapterConfig


def config(instance: str = "test-coordinator", **more: str) -> AdapterConfig:
    """A config of that instance."""
    return AdapterConfig(service_name="test-coordinator", service_instance_name=instance, environment="testing", **more)


@pytest.mark.parametrize(
    ("instance", "schema", "namespace"),
    [
        ("test-coordinator", "test", "test"),
        ("test-coordinator-Chaos1", "test_coordinator_chaos1", "test_coordinator:Chaos1"),
        ("blue", "blue", "blue"),
    ],
)
def test_schema_and_namespace_follow_from_the_names(instance: str, schema: str, namespace: str) -> None:
    """An adapter told only its names works under the derived ones."""
    found = config(instance)
    assert (found.postgres_schema, found.redis_namespace) == (schema, namespace)


def test_given_names_win() -> None:
    """An explicit schema or namespace is used as it is."""
    found = config(postgres_schema="mine", redis_namespace="ours")
    assert (found.postgres_schema, found.redis_namespace) == ("mine", "ours")


def test_it_is_frozen_and_shows_no_password() -> None:
    """Nothing changes it, unknown fields are refused, and its text holds no secret."""
    found = config(postgres_url="postgresql://u:s3cret@h/d", redis_url="redis://:s3cret@h")
    assert "s3cret" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    with pytest.raises(ValidationError):
        found.environment = "production"  # type: ignore[misc]  # the refusal is what is tested
    with pytest.raises(ValidationError):
        config(postgers_url="x")
