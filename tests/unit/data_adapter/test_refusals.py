import psycopg2
import pytest
from psycopg2 import errors

from actors.data_adapter.refusals import meaning
from actors.data_adapter.store import BadRecord, Denied, Unreachable


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ('connection to server failed: FATAL:  password authentication failed for user "u"\n', Denied, "password auth"),
        ('FATAL:  database "d" does not exist\n', Denied, 'database "d" does not exist'),
        ("FATAL:  sorry, too many clients already\n", Unreachable, "sorry, too many clients already"),
        ("FATAL:  the database system is starting up\n", Unreachable, "the database system is starting up"),
        ("connection refused by s3cret\nIs the server running?", Unreachable, "connection refused by ***"),
        ("", Unreachable, "OperationalError"),
    ],
)
def test_what_the_server_says_at_the_door(text: str, kind: type[Exception], told: str) -> None:
    """What only a person can mend is told apart from what passes; each in one line without the password."""
    found = meaning(psycopg2.OperationalError(text), "s3cret")
    assert type(found) is kind
    assert str(found).startswith(told)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("42501", Denied),
        ("25006", Unreachable),
        ("22P05", BadRecord),
        ("23514", BadRecord),
        ("53100", Unreachable),
        ("57P01", Unreachable),
        ("42P01", Unreachable),
        ("40P01", Unreachable),
        ("TC001", Unreachable),
    ],
)
def test_what_the_server_says_of_a_statement(code: str, kind: type[Exception]) -> None:
    """The code decides, whatever the language of the text."""
    error = errors.lookup(code)("etwas") if code != "TC001" else psycopg2.DatabaseError("etwas")
    coded = type("Coded", (type(error),), {"pgcode": code})("etwas")
    assert type(meaning(coded, "")) is kind


def test_what_the_network_says() -> None:
    """An error of the system is a server that cannot be reached."""
    assert isinstance(meaning(ConnectionResetError("reset by peer"), "x"), Unreachable)
