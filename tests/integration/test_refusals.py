"""What only a person can mend about Postgres is told in one clear line, and nothing is written meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.data_adapter.schema import migrations
from coordinator.errors import HistoryUnavailable
from coordinator.logging import Message, configure
from coordinator.settings import Settings
from tests.integration.history_stage import adapter, drained, execution, living, record
from tests.integration.remembered import command, in_ledger, in_postgres, schemas
from tests.integration.services import PostgresServer
from tests.unit.ledger.living import alive, ledger_in

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
PASSWORD = "s3cret-of-limited"


def limited(server: PostgresServer) -> str:
    """The URL of a role with a password and without rights."""
    command(
        server.url,
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'limited') THEN"
        f" CREATE ROLE limited LOGIN PASSWORD '{PASSWORD}'; END IF; END $$",
        "REVOKE CREATE ON DATABASE postgres FROM PUBLIC",
    )
    rules = server.folder / "data" / "pg_hba.conf"
    if "limited" not in rules.read_text():
        rules.write_text(f"host all limited 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        command(server.url, "SELECT pg_reload_conf()")
    return server.url.replace("tester@", f"limited:{PASSWORD}@")


def another_instance(server: PostgresServer, instance: str) -> str:
    """The schema is another's."""
    command(
        server.url,
        f"CREATE SCHEMA {instance}",
        "CREATE TABLE coordinator (one boolean, service text, instance text, version int, migrated_at date)",
        "INSERT INTO coordinator VALUES (true, 's', upper(current_schema()), 1)",
        schema=instance,
    )
    return server.url


def newer(server: PostgresServer, instance: str) -> str:
    """The schema was migrated by a later program."""
    url = another_instance(server, instance)
    command(url, "UPDATE coordinator SET instance = current_schema(), version = version + 1", schema=instance)
    assert len(migrations()) == 1
    return url


def foreign_tables(server: PostgresServer, instance: str) -> str:
    """The schema holds somebody's tables."""
    command(server.url, f"CREATE SCHEMA {instance}", f"CREATE TABLE {instance}.accounts (id int)")
    return server.url


def other_encoding(server: PostgresServer, instance: str) -> str:
    """The database cannot hold every text."""
    made = f"CREATE DATABASE {instance}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    command(server.url, made)
    return server.url.replace("/postgres", f"/{instance}_latin")


REFUSALS: dict[str, tuple[Callable[[PostgresServer, str], str], str]] = {
    "wrong password": (
        lambda server, _: limited(server).replace(PASSWORD, f"{PASSWORD}-not"),
        'error: password authentication failed for user "limited"; correct POSTGRES_URL or the server\'s settings',
    ),
    "no password": (
        lambda server, _: limited(server).replace(f":{PASSWORD}", ""),
        "no password supplied; correct POSTGRES_URL",
    ),
    "wrong database": (
        lambda server, _: server.url.replace("/postgres", "/nowhere"),
        'error: database "nowhere" does not exist; correct POSTGRES_URL or the server\'s settings',
    ),
    "no rights": (
        lambda server, _: limited(server),
        "error: this role may not create schema {instance}: create it for the role, or grant CREATE on the database",
    ),
    "no TLS": (
        lambda server, _: f"{server.url}?sslmode=require",
        "error: server does not support SSL, but SSL was required; correct POSTGRES_URL or the server's settings",
    ),
    "another instance": (
        another_instance,
        "schema {instance} belongs to instance {INSTANCE}, and this is {instance}: rename one or set POSTGRES_SCHEMA",
    ),
    "newer": (newer, "error: schema {instance} is of version 2, this program knows 1: use a later test-coordinator"),
    "foreign tables": (
        foreign_tables,
        "error: schema {instance} holds tables that are not ours; set POSTGRES_SCHEMA to another",
    ),
    "other encoding": (other_encoding, "error: the database has the encoding LATIN1; give one with UTF8"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refusals_are_one_clear_line(case: str, tmp_path: Path, postgres: PostgresServer, instance: str) -> None:
    """What only a person can mend is told in one line without a secret, and nothing is written; the ledger goes on."""
    postgres.start()
    arrange, wanted = REFUSALS[case]
    url = arrange(postgres, instance)
    before = schemas(postgres.url)
    seen: list[Message] = []
    with configure(Settings().identity, sinks=[seen.append]):
        async with alive(ledger := ledger_in(tmp_path)):
            subject = adapter(url, instance, ledger)
            async with living(subject) as life:
                await record(ledger, execution("one"))
                await life.until(lambda: subject.status["postgres"].startswith("error: "))
                told = subject.status["postgres"]
                assert life.impaired is not None
                with pytest.raises(HistoryUnavailable):
                    await subject.history.execution("one")
                assert await ledger.lag() > 0
    assert wanted.format(instance=instance, INSTANCE=instance.upper()) in told
    assert "\n" not in told
    assert PASSWORD not in f"{told}{life.impaired}{json.dumps(seen, default=str)}"
    assert schemas(postgres.url) == before


async def test_a_schema_made_beforehand_needs_no_right_to_make_one(
    tmp_path: Path, postgres: PostgresServer, instance: str
) -> None:
    """A role that owns an empty schema and may do nothing else is enough; it mends by itself once that is granted."""
    postgres.start()
    url = limited(postgres)
    async with alive(ledger := ledger_in(tmp_path)):
        subject = adapter(url, instance, ledger)
        async with living(subject) as life:
            await record(ledger, execution("one"))
            await life.until(lambda: subject.status["postgres"].startswith("error: "))
            command(postgres.url, f"CREATE SCHEMA {instance} AUTHORIZATION limited")
            await drained(ledger)
    assert in_postgres(postgres.url, instance) == in_ledger(tmp_path)
