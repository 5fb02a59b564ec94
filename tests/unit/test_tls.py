import re
from pathlib import Path

import pytest

from coordinator.errors import InvalidSettings
from coordinator.settings import Settings
from coordinator.tls import Certificates, KeyPair, certificates_of
from tests.unit.certificates import Certificate, self_signed


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"), "good")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Another certificate, whose key is encrypted."""
    return self_signed(tmp_path_factory.mktemp("tls"), "other", password="secret")  # of a throw-away key


def settings(**files: Path) -> Settings:
    """Settings with these files."""
    return Settings.model_validate(files)


def test_without_files_all_is_cleartext() -> None:
    """No setting, no TLS."""
    assert certificates_of(settings()) == Certificates(None, None)


def test_files_that_are_of_use_are_handed_on(good: Certificate) -> None:
    """Each interface has its own pair; the client authority belongs to gRPC alone."""
    found = certificates_of(
        settings(
            http_tls_cert=good.certificate, http_tls_key=good.key,
            grpc_tls_cert=good.certificate, grpc_tls_key=good.key, grpc_tls_client_ca=good.certificate,
        )
    )  # fmt: skip
    assert found.http == KeyPair(good.certificate, good.key)
    assert found.grpc == KeyPair(good.certificate, good.key, good.certificate)


def test_a_missing_file_is_named_with_its_variable(good: Certificate, tmp_path: Path) -> None:
    """One line says which variable, which file, and why."""
    with pytest.raises(InvalidSettings, match=r"^GRPC_TLS_KEY: /.*/none: No such file or directory; allowed: [^\n]+$"):
        certificates_of(settings(grpc_tls_cert=good.certificate, grpc_tls_key=tmp_path / "none"))


def test_a_folder_is_no_certificate(good: Certificate, tmp_path: Path) -> None:
    """A folder in a file's place is refused as such."""
    with pytest.raises(InvalidSettings, match=r"^HTTP_TLS_CERT: .*: Is a directory"):
        certificates_of(settings(http_tls_cert=tmp_path, http_tls_key=good.key))


def test_a_pair_that_does_not_fit_is_refused(good: Certificate, other: Certificate, tmp_path: Path) -> None:
    """Another's key, an encrypted key (nobody is asked for its password), and a text that is no PEM: a line each."""
    text = tmp_path / "text"
    text.write_text("hello\n")
    foreign = self_signed(tmp_path, "foreign")
    for certificate, key in (
        (good.certificate, foreign.key),
        (other.certificate, other.key),
        (text, good.key),
        (good.certificate, text),
    ):
        told = rf"^HTTP_TLS_CERT, HTTP_TLS_KEY: {re.escape(f'{certificate}, {key}')}: [^\n]+ PEM form$"
        with pytest.raises(InvalidSettings, match=told):
            certificates_of(settings(http_tls_cert=certificate, http_tls_key=key))


def test_a_client_authority_that_is_none_is_refused(good: Certificate, tmp_path: Path) -> None:
    """Without a certificate in it, no client could ever come in."""
    text = tmp_path / "text"
    text.write_text("hello\n")
    with pytest.raises(InvalidSettings, match=r"^GRPC_TLS_CLIENT_CA: .*allowed: certificates in PEM form$"):
        certificates_of(settings(grpc_tls_cert=good.certificate, grpc_tls_key=good.key, grpc_tls_client_ca=text))
