"""URLs of http probes."""

import pytest

from actors.prober.url import parse_url


def test_a_url_is_taken_apart() -> None:
    """Host, port, target and user come out as a request needs them."""
    url = parse_url("https://u%40x:p@Example.com:8443/a b?q=1#part")
    assert (url.host, url.port, url.target) == ("example.com", 8443, b"/a%20b?q=1")
    assert (url.user, url.password) == ("u@x", "p")
    assert url.host_header == "example.com:8443"


@pytest.mark.parametrize(
    ("text", "header", "target"),
    [
        ("http://host", "host", b"/"),
        ("http://host:80/x", "host", b"/x"),
        ("https://host:80/%41", "host:80", b"/%41"),
        ("http://[fd00::1]:8000/", "[fd00::1]:8000", b"/"),
        ("http://bücher.example/ü", "xn--bcher-kva.example", b"/%C3%BC"),
    ],
)
def test_what_goes_without_saying_is_left_out(text: str, header: str, target: bytes) -> None:
    """The usual port is not named, brackets stand around IPv6, other scripts are encoded."""
    url = parse_url(text)
    assert (url.host_header, url.target) == (header, target)


def test_a_redirect_is_joined() -> None:
    """A relative location keeps the origin, an absolute one replaces it."""
    url = parse_url("http://a:8000/x/y")
    assert url.join("../z").target == b"/z"
    assert url.join("../z").origin == url.origin
    assert url.join("https://b/").origin == ("https", "b", 443)


@pytest.mark.parametrize("text", ["ftp://a/", "nothing", "http://", "http://a:99999/"])
def test_what_is_no_http_url_is_refused(text: str) -> None:
    """A URL that cannot be asked is a ValueError."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_url(text)
