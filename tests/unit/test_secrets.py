from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.errors import MissingSecret
from coordinator.secrets import SecretSource


def test_secret_comes_from_environment_or_file(tmp_path: Path) -> None:
    """The environment wins over a file in DATA_DIR/secrets, whose last line end does not count."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "DB").write_text("from file\n\n")
    assert SecretSource(tmp_path, {}).resolve("DB") == "from file\n"
    assert SecretSource(tmp_path, {"SCENARIO_SECRET_DB": "from environment"}).resolve("DB") == "from environment"


def test_missing_secret_names_both_places(tmp_path: Path) -> None:
    """A secret that is nowhere is told with the two places where it could be."""
    with pytest.raises(MissingSecret) as missing:
        SecretSource(tmp_path, {}).resolve("DB")
    assert "SCENARIO_SECRET_DB" in str(missing.value)
    assert str(tmp_path / "secrets" / "DB") in str(missing.value)


@pytest.mark.parametrize("name", ["../api-token", "a/b", "", ".", "DB "])
def test_secret_names_are_no_paths(tmp_path: Path, name: str) -> None:
    """A name cannot lead out of the folder of secrets."""
    (tmp_path / "api-token").write_text("token")
    with pytest.raises(MissingSecret, match="letters, digits"):
        SecretSource(tmp_path / "secrets", {}).resolve(name)


def test_unreadable_secret_shows_nothing(tmp_path: Path) -> None:
    """A secret that is no text is refused without its bytes; the source's own text holds no environment."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "DB").write_bytes(b"hunter2\xff")
    with pytest.raises(MissingSecret, match="not UTF-8") as refused:
        SecretSource(tmp_path, {}).resolve("DB")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__
    assert "hunter2" not in repr(SecretSource(tmp_path, {"SCENARIO_SECRET_DB": "hunter2"}))
