"""What follows from the settings: the rules of every execution and the data adapter's part. Opens nothing."""

from __future__ import annotations

import difflib
from urllib.parse import urlsplit

from actors.data_adapter.config import AdapterConfig
from coordinator.deaf_socket import in_container
from coordinator.errors import InvalidSettings
from coordinator.faults.catalogue import KINDS
from coordinator.faults.targeting import Policy
from coordinator.record import Environment
from coordinator.scenarios.run import Rules
from coordinator.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """What the settings say about every execution. Raises InvalidSettings for a disabled fault that does not exist."""
    for name in settings.faults_disabled:
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidSettings(f"FAULTS_DISABLED: {name} is not allowed; allowed: {', '.join(KINDS)}{hint}")
    return Rules(
        instance=settings.service_instance_name,
        policy=policy_of(settings),
        faults_disabled=settings.faults_disabled,
        injection_enabled=settings.chaos_injection_enabled,
        timeout_s=settings.scenario_timeout_seconds,
        shutdown_deadline_s=settings.shutdown_deadline_seconds,
        in_container=in_container(),
        environment=Environment(
            service=settings.service_name,
            instance=settings.service_instance_name,
            version=settings.version,
            environment=settings.environment,
        ),
    )


def policy_of(settings: Settings) -> Policy:
    """What may be a target; the coordinator's own stores may not, nor a container through which it has its engine."""
    hosts: list[str] = []
    ports: list[int] = []
    stores = ((settings.postgres_url.get_secret_value(), 5432), (settings.redis_url.get_secret_value(), 6379))
    for url, default_port in (*stores, (settings.docker_host, 2375)):
        parts = urlsplit(url)
        if parts.hostname:
            hosts.append(parts.hostname)
            ports.append(parts.port or default_port)
    return Policy(opt_in=settings.chaos_target_policy == "opt-in", own_hosts=tuple(hosts), own_ports=tuple(ports))


def adapter_config_of(settings: Settings) -> AdapterConfig:
    """Who the data adapter works for, and where its stores are."""
    return AdapterConfig(
        service_name=settings.service_name,
        service_instance_name=settings.service_instance_name,
        environment=settings.environment,
        postgres_url=settings.postgres_url,
        redis_url=settings.redis_url,
        postgres_schema=settings.postgres_schema,
        redis_namespace=settings.redis_namespace,
    )
