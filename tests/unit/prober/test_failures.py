import errno
import socket
import ssl

import anyio
import h11
import pytest

from actors.prober.failures import MAX_ERROR, NoContainer, describe, timed_out, wrong_answer


def raised_from(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised_from(OSError("all failed"), ConnectionRefusedError(111, "no")), "refused: Connection"),
        (raised_from(OSError("all failed"), OSError(errno.EHOSTUNREACH, "no route")), "unreachable: OSError"),
        (socket.gaierror(-2, "not known"), "unknown name: gaierror"),
        (raised_from(OSError("x"), ssl.SSLCertVerificationError("expired")), "tls: SSLCert"),
        (TimeoutError("slow"), "timeout: TimeoutError"),
        (h11.RemoteProtocolError("server disconnected"), "broken: RemoteProtocolError"),
        (anyio.BrokenResourceError(), "broken: BrokenResourceError"),
        (ExceptionGroup("two", [ValueError("a"), ConnectionRefusedError(111, "b")]), "refused: ConnectionRefused"),
        (NoContainer("gone"), "NoContainer: gone"),
        (RuntimeError("boom"), "error: RuntimeError: boom"),
    ],
)
def test_the_kind_is_told_first(error: Exception, kind: str) -> None:
    """An error is told apart by kind, class and message, however deep its cause lies."""
    assert describe(error).startswith(kind)


def test_an_error_is_one_short_line() -> None:
    """An error takes one line of bounded length."""
    text = describe(RuntimeError("line\n" * 1000))
    assert len(text) == MAX_ERROR
    assert "\n" not in text


def test_what_http_cannot_carry_is_not_quoted() -> None:
    """The complaint about an illegal header does not show the header."""
    error = raised_from(RuntimeError(), h11.LocalProtocolError("Illegal header value b's3cr3t\\n'"))
    assert "s3cr3t" not in describe(error)


def test_timeout_and_wrong_answer_read_differently() -> None:
    """No answer has no latency; a wrong answer has one."""
    late, wrong = timed_out(0.5), wrong_answer("status 503", latency_s=0.1, value=503.0)
    assert (late.ok, late.latency_s, late.error) == (False, None, "timeout: no answer within 0.5 s")
    assert (wrong.ok, wrong.latency_s, wrong.value, wrong.error) == (False, 0.1, 503.0, "wrong answer: status 503")
