from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.assembly.derived import rules_of
from coordinator.errors import InvalidSettings
from coordinator.settings import Settings, load, masked, reference_table
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no `.env` of whoever runs the tests has a say."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """The lines a person reads when these variables are set."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        load(env_file=False)
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("SERVICE_NAME", "no good", "letters, digits and hyphens"),
        ("SERVICE_INSTANCE_NAME", "-x", "letters, digits and hyphens"),
        ("ENVIRONMENT", "staging", "development, testing, production, docker"),
        ("DEBUG", "perhaps", "true or false"),
        ("HOST", "a b", "an IP address or a host name"),
        ("HTTP_PORT", "65536", "1 to 65535; 0 = any free port"),
        ("GRPC_PORT", "8080", "another than HTTP_PORT"),
        ("GRPC_PORT", "-1", "1 to 65535"),
        ("ALLOWED_HOSTS", "good.example,b/d", "separated by commas"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("LOG_FORMAT", "xml", "json, console"),
        ("POSTGRES_SCHEMA", "pg_x", "not public, information_schema or pg_*"),
        ("REDIS_NAMESPACE", "services", "not services"),
        ("DOCKER_HOST", "nonsense", "unix://"),
        ("DOCKER_SOCKET", "relative/path", "a path or unix://"),
        ("CHAOS_TARGET_POLICY", "always", "opt-in, opt-out"),
        ("FAULTS_DISABLED", "exec;http_call", "separated by commas"),
        ("SCENARIO_TIMEOUT_SECONDS", "0", "more than 0"),
        ("SHUTDOWN_DEADLINE_SECONDS", "inf", "more than 0"),
        ("UNDO_DEADLINE_SECONDS", "soon", "more than 0"),
        ("DOCKER_TIMEOUT_FACTOR", "0.5", "1 to 100"),
        ("SCENARIO_RESULTS_RETENTION_DAYS", "0", "1 to 36500"),
        ("MAX_CONCURRENT_EXECUTIONS", "1.5", "at least 1"),
    ],
)
def test_refusal_names_variable_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    """A wrong value is told in one line: which variable, what was found, what is allowed."""
    (line,) = refusal(monkeypatch, **{variable: value})
    assert line.startswith(f"{variable}: {value} is not allowed; allowed: ")
    assert allowed in line


def test_all_errors_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several wrong values are several lines, not one after the other in several starts."""
    lines = refusal(monkeypatch, HTTP_PORT="x", LOG_LEVEL="loud", ENVIRONMENT="moon")
    assert {line.split(":")[0] for line in lines} == {"HTTP_PORT", "LOG_LEVEL", "ENVIRONMENT"}


def test_derived_schema_that_is_refused_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an instance's own name leads to a foreign schema, the schema is shown and the way out said."""
    (line,) = refusal(monkeypatch, SERVICE_INSTANCE_NAME="public")
    assert line == ("POSTGRES_SCHEMA: public is not allowed; allowed: another SERVICE_INSTANCE_NAME, or set this one")


def test_tls_needs_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate without its key, and an authority without TLS, are refused."""
    lines = refusal(monkeypatch, HTTP_TLS_CERT="/cert", GRPC_TLS_CLIENT_CA="/ca")
    assert [line.split(":")[0] for line in lines] == ["HTTP_TLS_KEY", "GRPC_TLS_CLIENT_CA"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POSTGRES_URL", "mysql://user:hunter2@db/x"),
        ("POSTGRES_URL", "hunter2"),
        ("REDIS_URL", "http://:hunter2@cache"),
        ("API_TOKEN", "hunter2 with space"),
    ],
)
def test_refusal_hides_secrets(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A refused secret is not shown, nor is it in the error that led there or in pydantic's own."""
    (line,) = refusal(monkeypatch, **{variable: value})
    assert line.startswith(f"{variable}: ")
    assert "hunter2" not in line
    with pytest.raises(ValueError, match="1 validation error") as raw:
        Settings()
    assert "hunter2" not in str(raw.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("postgresql://user:hunter2@db:5432/x", "postgresql://user:***@db:5432/x"),
        ("postgresql://user:hun/ter@2@db/x", "postgresql://user:***@db/x"),
        ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
        (
            "postgresql://db/x?user=u&password=hunter2&sslmode=require",
            "postgresql://db/x?user=u&password=***&sslmode=require",
        ),
        ("postgresql://db/x?sslpassword=hunter2", "postgresql://db/x?sslpassword=***"),
        ("unix:///var/run/redis.sock", "unix:///var/run/redis.sock"),
        ("redis://cache", "redis://cache"),
        ("just hunter2", "***"),
    ],
)
def test_masked_urls_tell_all_but_the_password(url: str, shown: str) -> None:
    """Host, user and database are shown, the password never, wherever it stands."""
    assert masked(url) == shown


def test_settings_never_print_secrets() -> None:
    """Neither repr nor JSON of the settings shows a password or the token."""
    settings = Settings(postgres_url="postgresql://u:hunter2@h/d", redis_url="redis://:hunter2@h", api_token="hunter2")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize("prefix", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_driver_suffix_is_ignored(prefix: str) -> None:
    """URLs written for other libraries work: what is left is plain postgresql."""
    assert Settings(postgres_url=f"{prefix}://u:p@h/d").postgres_url.get_secret_value() == "postgresql://u:p@h/d"


def test_docker_host_wins() -> None:
    """DOCKER_HOST wins over DOCKER_SOCKET, which may be a path."""
    assert Settings(docker_socket="/run/x.sock").docker_host == "unix:///run/x.sock"
    assert Settings(docker_socket="/run/x.sock", docker_host="tcp://h:2375").docker_host == "tcp://h:2375"


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists may have spaces and empty parts; host names are compared in lower case."""
    monkeypatch.setenv("ALLOWED_HOSTS", "Api.Example, other ,")
    monkeypatch.setenv("FAULTS_DISABLED", "exec, http_call")
    settings = Settings()
    assert settings.allowed_hosts == ("api.example", "other")
    assert settings.faults_disabled == ("exec", "http_call")
    assert rules_of(settings).faults_disabled == settings.faults_disabled


def test_environment_wins_over_file_over_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` reads the environment, then `.env`, then defaults; the other commands leave `.env` alone."""
    (tmp_path / ".env").write_text("HTTP_PORT=1111\nGRPC_PORT=2222\nUNKNOWN=x\n")
    monkeypatch.setenv("HTTP_PORT", "3333")
    served, other = load(env_file=True), load(env_file=False)
    assert (served.http_port, served.grpc_port) == (3333, 2222)
    assert (other.http_port, other.grpc_port) == (3333, 50051)


def test_unreadable_file_is_told(tmp_path: Path) -> None:
    """A `.env` that is no text is named."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSettings, match=r"\.env"):
        load(env_file=True)


def test_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTP_PORT=` in a compose file means the default."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert load(env_file=False) == Settings()


def test_version_has_two_names() -> None:
    """`version` is the variable SERVICE_VERSION, readable and settable under both names; VERSION is somebody else's."""
    assert Settings(version="9").service_version == Settings(service_version="9").version == "9"


def test_foreign_version_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable VERSION, which images like to set, does not change ours."""
    monkeypatch.setenv("VERSION", "of-the-base-image")
    assert Settings().version != "of-the-base-image"


def test_relative_state_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_STATE_HOME counts only when absolute; without it the home's state folder is used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for state in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        assert Settings().data_dir == tmp_path / ".local" / "state" / "test-coordinator" / "test-coordinator"


def test_given_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative DATA_DIR is below the working folder of the start, a `~` is the home."""
    monkeypatch.setenv("HOME", "/somewhere")
    assert Settings(data_dir=Path("data")).data_dir == tmp_path / "data"
    assert Settings(data_dir=Path("~/data")).data_dir == Path("/somewhere/data")


def test_reference_page_is_up_to_date() -> None:
    """The page of settings is what the settings themselves say."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert reference_table() in page, "put what coordinator.settings.reference_table() returns into the page"
