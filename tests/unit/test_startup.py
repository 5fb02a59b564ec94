from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from coordinator.settings import Settings, get_settings

if TYPE_CHECKING:
    from coordinator.assembly import Serving


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable and no `.env` of whoever runs the tests has a say."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


class TestSettingsInstanceAwareness:
    def test_instance_is_the_service_by_default(self) -> None:
        """Without an instance name the coordinator is the singleton: its instance is its service."""
        settings = Settings()
        assert settings.service_name == "test-coordinator"
        assert settings.service_instance_name == "test-coordinator"
        assert settings.identity.singleton

    def test_named_instance_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A given instance name is taken from the environment as written, beside the service's name."""
        monkeypatch.setenv("SERVICE_INSTANCE_NAME", "test-coordinator-Chaos1")
        settings = Settings()
        assert settings.service_instance_name == "test-coordinator-Chaos1"
        assert settings.service_name == "test-coordinator"
        assert not settings.identity.singleton

    def test_singleton_names_derive_from_the_first_part(self) -> None:
        """The singleton's schema and namespace are the first part of the service's name."""
        settings = Settings()
        assert settings.postgres_schema == "test"
        assert settings.redis_namespace == "test"

    def test_instance_names_derive_from_service_and_suffix(self) -> None:
        """A named instance's schema is in lower case with underscores; its namespace keeps the suffix as written."""
        derived = {
            name: (settings.postgres_schema, settings.redis_namespace)
            for name in ("test-coordinator-Chaos1", "test-coordinator-Chaos-Alpha-1", "blue")
            for settings in [Settings(service_instance_name=name)]
        }
        assert derived == {
            "test-coordinator-Chaos1": ("test_coordinator_chaos1", "test_coordinator:Chaos1"),
            "test-coordinator-Chaos-Alpha-1": ("test_coordinator_chaos_alpha_1", "test_coordinator:Chaos-Alpha-1"),
            "blue": ("blue", "blue"),
        }

    def test_explicit_names_win(self) -> None:
        """A given schema or namespace is used instead of the derived one."""
        settings = Settings(
            service_instance_name="test-coordinator-Chaos1", postgres_schema="mine", redis_namespace="mine:too"
        )
        assert settings.postgres_schema == "mine"
        assert settings.redis_namespace == "mine:too"

    def test_data_folder_is_the_instances_own(self, tmp_path: Path) -> None:
        """Two instances on one machine never share a folder."""
        folders = {Settings(service_instance_name=name).data_dir for name in ("", "blue", "green")}
        root = tmp_path / "state" / "test-coordinator"
        assert folders == {root / "test-coordinator", root / "blue", root / "green"}


@dataclass(frozen=True, slots=True)
class Served:
    """One life of the real process: what it was, how it ended, what it logged."""

    serving: Serving
    status: int
    messages: tuple[dict[str, Any], ...]


async def served(settings: Settings) -> Served:
    """Start the real process body, end it as soon as everything is up, and read its log."""
    from coordinator.assembly import serve

    seen: list[Serving] = []

    def started(serving: Serving) -> None:
        seen.append(serving)
        serving.process.stop("the test has seen enough")

    status = await serve(settings, on_started=started, take_signals=False)
    lines = (settings.data_dir / "logs" / "test-coordinator.jsonl").read_text(encoding="utf-8").splitlines()
    return Served(seen[0], status, tuple(json.loads(line) for line in lines))


@pytest.mark.anyio
class TestLifespanInstanceContext:
    @pytest.fixture
    def anyio_backend(self) -> str:
        """The servers run on asyncio alone."""
        return "asyncio"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        """A named instance on free ports, without an engine."""
        return Settings(
            service_instance_name="test-coordinator-Chaos1",
            environment="testing",
            data_dir=tmp_path / "data",
            docker_host=f"unix://{tmp_path}/no-engine.sock",
            http_port=0,
            grpc_port=0,
        )

    async def test_every_message_carries_the_instance(self, settings: Settings) -> None:
        """From its first to its last message the process says which service, instance and environment speaks, which
        actor, and how loudly; the actors speak under their own places in the tree.
        """
        life = await served(settings)
        assert life.status == 0
        speakers = {(said["service"], said["instance"], said["environment"]) for said in life.messages}
        assert speakers == {("test-coordinator", "test-coordinator-Chaos1", "testing")}
        assert {said["level"] for said in life.messages} <= {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        assert {"root", "root/ledger", "root/data_adapter", "root/http_api"} <= {
            said["actor"] for said in life.messages
        }

    async def test_data_adapter_receives_the_identity(self, settings: Settings) -> None:
        """The data adapter is given the identity of the settings, and says itself that it works under it."""
        life = await served(settings)
        config = life.serving.adapter_config
        assert config.service_name == settings.service_name
        assert config.service_instance_name == settings.service_instance_name
        assert config.environment == settings.environment
        (told,) = [said for said in life.messages if said.get("message_type") == "data_adapter:identity"]
        assert told["actor"] == "root/data_adapter"
        assert told["received"] == {
            "service_name": "test-coordinator",
            "service_instance_name": "test-coordinator-Chaos1",
            "environment": "testing",
            "postgres_schema": "test_coordinator_chaos1",
            "redis_namespace": "test_coordinator:Chaos1",
        }


class TestInstanceNameValidation:
    def test_letters_digits_and_hyphens_are_allowed(self) -> None:
        """Names of either case with digits and hyphens are kept as written, up to 63 characters."""
        for name in ("a", "7", "Chaos-1", "x--y", "A" * 63):
            assert Settings(service_instance_name=name).service_instance_name == name

    def test_other_names_are_refused(self) -> None:
        """Anything else is refused: other characters, hyphens at an end, 64 characters, a line end."""
        for name in (
            "under_score",
            "dot.ted",
            "with space",
            "-front",
            "end-",
            "A" * 64,
            "umläut",
            "line\n",
            "a/b",
            " ",
        ):
            with pytest.raises(ValidationError, match="service_instance_name"):
                Settings(service_instance_name=name)

    def test_names_of_foreign_schemas_are_refused(self) -> None:
        """An instance whose schema would be Postgres' own is refused, derived or given."""
        for name in ("public", "Public", "information-schema", "pg-1"):
            with pytest.raises(ValidationError, match="postgres_schema"):
                Settings(service_instance_name=name)
        for schema in ("public", "pg_catalog", "Upper", "semi;colon", 'quo"te', "s" * 64):
            with pytest.raises(ValidationError, match="postgres_schema"):
                Settings(postgres_schema=schema)


class TestEnvironmentConfiguration:
    def test_development_by_default(self) -> None:
        """Without a word it runs for development."""
        assert Settings().environment == "development"

    def test_docker_and_the_others_are_supported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each of the four environments is taken from its variable."""
        for environment in ("development", "testing", "production", "docker"):
            monkeypatch.setenv("ENVIRONMENT", environment)
            assert Settings().environment == environment

    def test_unknown_environment_is_refused(self) -> None:
        """Another environment is an error that names the setting."""
        with pytest.raises(ValidationError, match="environment"):
            Settings(environment="staging")

    def test_log_level_is_normalized(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A log level in any case is taken in capitals; an unknown one is refused."""
        for level in ("debug", "Info", " WARNING ", "eRRor", "critical"):
            monkeypatch.setenv("LOG_LEVEL", level)
            assert Settings().log_level == level.strip().upper()
        monkeypatch.setenv("LOG_LEVEL", "loud")
        with pytest.raises(ValidationError, match="log_level"):
            Settings()


class TestSettingsCaching:
    def test_settings_are_read_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every caller gets the same object, whatever became of the environment since."""
        first = get_settings()
        monkeypatch.setenv("SERVICE_INSTANCE_NAME", "blue")
        assert get_settings() is first

    def test_cleared_cache_reads_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After `cache_clear` the environment of now counts."""
        first = get_settings()
        monkeypatch.setenv("SERVICE_INSTANCE_NAME", "blue")
        get_settings.cache_clear()
        assert get_settings() is not first
        assert get_settings().service_instance_name == "blue"


class TestCoordinatorSettings:
    def test_ports_and_engine_defaults(self) -> None:
        """The standard ports, this machine only, and the local engine's socket."""
        settings = Settings()
        assert (settings.host, settings.http_port, settings.grpc_port) == ("127.0.0.1", 8080, 50051)
        assert settings.docker_host == "unix:///var/run/docker.sock"

    def test_chaos_and_scenario_defaults(self) -> None:
        """Injection is on, production asks for consent, and every limit has the value that the docs promise."""
        settings = Settings()
        assert settings.chaos_injection_enabled
        assert settings.chaos_target_policy == "opt-out"
        assert Settings(environment="production").chaos_target_policy == "opt-in"
        assert settings.scenario_timeout_seconds == 3600
        assert settings.shutdown_deadline_seconds == 8
        assert settings.undo_deadline_seconds == 300
        assert settings.scenario_results_retention_days == 7
        assert settings.max_concurrent_executions == 10
