"""This instance's schema in Postgres: created, brought up to date by numbered SQL files, and refused where it is
another's. Touches nothing outside of it; knows nothing of what its tables hold.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

from actors.data_adapter.database import Database, Statement
from actors.data_adapter.store import Denied, OfAnother, Unreachable

_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_STATE: Final = """
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
           current_setting('server_encoding'),
           EXISTS (SELECT FROM pg_namespace WHERE nspname = %s),
           (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %s),
           to_regclass(%s) IS NOT NULL
"""
_OWNER: Final = """
    CREATE TABLE coordinator (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        service text NOT NULL,
        instance text NOT NULL,
        version integer NOT NULL,
        migrated_at timestamptz NOT NULL DEFAULT now()
    )
"""


@cache
def migrations() -> tuple[str, ...]:
    """The SQL files in the order of their numbers, which have no gap."""
    found = sorted((one.name, one.read_text("utf-8")) for one in files(__package__).joinpath("migrations").iterdir())
    return tuple(text for name, text in found if _FILE.fullmatch(name))


async def prepare(database: Database, schema: str, service: str, instance: str) -> None:
    """Make the schema this instance's and up to date. Raises Denied where it may not be, Unreachable."""
    async with database.transaction():
        # Two that start at once take turns: the second finds everything made.
        await database.fetch(_LOCK, f"test-coordinator {schema}")
        ((read_only, encoding, exists, relations, ours),) = await database.fetch(
            _STATE, schema, schema, f'"{schema}".coordinator'
        )
        if read_only:
            raise Unreachable("the server is read-only")
        if encoding != "UTF8":
            raise Denied(f"the database has the encoding {encoding}; give one with UTF8")
        if not ours:
            if relations:
                raise Denied(f"schema {schema} holds tables that are not ours; set POSTGRES_SCHEMA to another")
            await _create(database, schema, exists=exists)
        await _take(database, schema, service, instance)


async def check(database: Database, schema: str, instance: str) -> bool:
    """Whether there is a schema to read from. Raises Denied where it is another's or of a later program."""
    ((there,),) = await database.fetch("SELECT to_regclass(%s) IS NOT NULL", f'"{schema}".coordinator')
    return bool(there) and await _version(database, schema, instance) is not None


async def _create(database: Database, schema: str, *, exists: bool) -> None:
    if not exists:
        try:
            await database.fetch(f'CREATE SCHEMA "{schema}"')
        except Denied as error:
            raise Denied(
                f"this role may not create schema {schema}: create it for the role, or grant CREATE on the database"
            ) from error
    await database.fetch(_OWNER)


async def _take(database: Database, schema: str, service: str, instance: str) -> None:
    version = await _version(database, schema, instance)
    if version is None:
        version = 0
        claim = "INSERT INTO coordinator (service, instance, version) VALUES (%s, %s, 0)"
        await database.fetch(claim, service, instance)
    for text in migrations()[version:]:
        await database.run([Statement(text)])
    if version < len(migrations()):
        await database.fetch("UPDATE coordinator SET version = %s, migrated_at = now()", len(migrations()))


async def _version(database: Database, schema: str, instance: str) -> int | None:
    """How many migrations it has had; None where nobody owns it yet."""
    rows = await database.fetch("SELECT instance, version FROM coordinator")
    if not rows:
        return None
    ((owner, version),) = rows
    if owner != instance:
        raise OfAnother(
            f"schema {schema} belongs to instance {owner}, and this is {instance}: rename one or set POSTGRES_SCHEMA"
        )
    if version > len(migrations()):
        raise Denied(
            f"schema {schema} is of version {version}, this program knows {len(migrations())}:"
            " use a later test-coordinator"
        )
    return int(version)
