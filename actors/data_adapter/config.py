"""What the data adapter is told: whom it works for and where its stores are. Opens nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from coordinator.identity import derive_namespace, derive_schema


class AdapterConfig(BaseModel):
    """The adapter's identity and its stores. An empty URL means that the store is not used.

    Schema and namespace follow from the names where they are not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service_name: str
    service_instance_name: str
    environment: str
    postgres_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    postgres_schema: str = ""
    redis_namespace: str = ""

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: dict[str, Any]) -> dict[str, Any]:
        names = data.get("service_name"), data.get("service_instance_name")
        if not all(isinstance(name, str) and name for name in names):
            return data
        service, instance = map(str, names)
        return data | {
            "postgres_schema": data.get("postgres_schema") or derive_schema(service, instance),
            "redis_namespace": data.get("redis_namespace") or derive_namespace(service, instance),
        }
