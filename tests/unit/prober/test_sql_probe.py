from datetime import date
from decimal import Decimal

import pytest

from actors.prober.sql_probe import Refusal, options_of, single
from coordinator.errors import MissingSecret
from coordinator.scenarios.probes import SqlProbe
from tests.unit.prober.scene import secrets


def probe(**fields: object) -> SqlProbe:
    """A probe with a query."""
    return SqlProbe.model_validate({"query": "select 1", **fields})


def test_the_server_is_told_who_asks_and_for_how_long() -> None:
    """The name, the limit of a query and the password of its own stand beside what the dsn says."""
    asked = probe(
        dsn="postgresql://app:old@db:5433/shop?options=-c%20geqo%3Doff", password={"secret": "TOKEN"}, timeout="250ms"
    )
    options = options_of(asked, secrets)
    assert options["application_name"] == "test-coordinator probe"
    assert options["options"] == "-c statement_timeout=250 -c geqo=off"
    assert [options[key] for key in ("host", "port", "user", "password", "dbname")] == [
        "db", "5433", "app", "s3cr3t", "shop"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://a,b/d",
        "postgresql://u:p@w@h/d",
        "postgresql://h:port/d",
        "postgresql://h/d?hostaddr=127.0.0.1",
        "s3cr3t",
        "s3cr3t://u",
        "postgresql:///d",
    ],
)
def test_a_dsn_that_cannot_be_read_is_not_shown(dsn: str) -> None:
    """One host, no address beside it; whatever is wrong, the text is not quoted: it may be the password."""
    with pytest.raises(ValueError, match="the dsn cannot be read") as told:
        options_of(probe(dsn={"secret": "DSN"}), lambda _: dsn)
    assert "s3cr3t" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_secret_that_is_not_there_is_said() -> None:
    """It is looked up when the probe looks."""
    with pytest.raises(MissingSecret):
        options_of(probe(dsn="postgresql://h/d", password={"secret": "NONE"}), secrets)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (True, "true"),
        (3, 3.0),
        (Decimal("1.5"), 1.5),
        (Decimal("Infinity"), "Infinity"),
        (float("nan"), "nan"),
        ("5", "5"),
        (date(2026, 1, 2), "2026-01-02"),
        ("two\nlines", "two lines"),
        (None, None),
    ],
)
def test_cells_are_values(cell: object, value: object) -> None:
    """Finite numbers stay numbers, all else becomes one short line."""
    assert single(1, 1, [(cell,)]) == value


def test_more_than_one_is_refused() -> None:
    """One column and at most one row."""
    assert single(1, 0, []) is None
    for columns, rows in ((2, 1), (1, 2), (0, 1)):
        with pytest.raises(Refusal, match="expected one of each"):
            single(columns, rows, [(1, 2)])
