"""Addresses as a person writes them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from coordinator.faults.addresses import Network

NETWORK: TypeAdapter[str] = TypeAdapter(Network)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.9/24", "192.0.2.0/24"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_an_address_or_a_network_is_taken(written: str, read: str) -> None:
    """In the usual form, whatever is written behind the length of a network."""
    assert NETWORK.validate_python(written) == read


@pytest.mark.parametrize("written", ["", "host", "192.0.2", "192.0.2.1/33", "fe80::1%eth0", "fe80::%1/64", "1", "-1"])
def test_nothing_else_is(written: str) -> None:
    """No name, and no zone: that is an interface of some machine."""
    with pytest.raises(ValidationError, match=r"an address like 192\.0\.2\.1 or a network"):
        NETWORK.validate_python(written)
