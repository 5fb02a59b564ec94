from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.errors import InvalidSettings
from coordinator.settings import Settings
from coordinator.token import resolve_token


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests has a say."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_token_is_made_once(tmp_path: Path) -> None:
    """The first start makes a token that only its owner can read; later ones use it."""
    settings = Settings(data_dir=tmp_path / "data")
    first = resolve_token(settings)
    file = tmp_path / "data" / "api-token"
    assert len(first.get_secret_value()) >= 32
    assert file.read_text().strip() == first.get_secret_value()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    assert resolve_token(settings) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["api-token"]


def test_given_token_wins(tmp_path: Path) -> None:
    """API_TOKEN wins over API_TOKEN_FILE, which wins over the one in DATA_DIR; nothing is written then."""
    (tmp_path / "token").write_text("from-file\n")
    both = Settings(api_token="given", api_token_file=tmp_path / "token", data_dir=tmp_path / "data")
    assert resolve_token(both).get_secret_value() == "given"
    file = Settings(api_token_file=tmp_path / "token", data_dir=tmp_path / "data")
    assert resolve_token(file).get_secret_value() == "from-file"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [None, "", "two words", "\udcff"])
def test_unusable_token_file_is_told(tmp_path: Path, content: str | None) -> None:
    """A missing, empty or nonsensical token file is an invalid setting that names it, not a coordinator without one."""
    if content is not None:
        (tmp_path / "token").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidSettings, match=f"API_TOKEN_FILE: {tmp_path / 'token'}"):
        resolve_token(Settings(api_token_file=tmp_path / "token"))


def test_unwritable_data_folder_is_told(tmp_path: Path) -> None:
    """A DATA_DIR in which no token can be made is named."""
    (tmp_path / "data").touch()
    with pytest.raises(InvalidSettings, match="DATA_DIR"):
        resolve_token(Settings(data_dir=tmp_path / "data"))
