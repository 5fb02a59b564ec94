"""The bearer token of this coordinator: the one given, or one made at first start. Knows nothing of who checks it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from coordinator.errors import InvalidSettings
from coordinator.settings import TOKEN, Settings

TOKEN_FILE: Final = "api-token"  # noqa: S105 - the name of the file, not a token
_OTHERS: Final = 0o077


def resolve_token(settings: Settings) -> SecretStr:
    """API_TOKEN, else the content of API_TOKEN_FILE, else of `DATA_DIR/api-token`, which is made when missing.

    Raises InvalidSettings where a file cannot be read, is empty, or cannot be made.
    """
    if settings.api_token:
        return settings.api_token
    if settings.api_token_file is not None:
        return _read(settings.api_token_file, "API_TOKEN_FILE")
    path = settings.data_dir / TOKEN_FILE
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & _OTHERS:
            path.chmod(0o600)
    except OSError as failed:
        raise InvalidSettings(f"DATA_DIR: {path}: {failed.strerror}; give another DATA_DIR or API_TOKEN") from failed
    return _read(path, "DATA_DIR")


def _read(path: Path, variable: str) -> SecretStr:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidSettings(f"{variable}: {path}: cannot be read as the bearer token: {unreadable}") from unreadable
    if TOKEN.fullmatch(token) is None:
        raise InvalidSettings(f"{variable}: {path}: must hold one token without spaces; mend or remove the file")
    return SecretStr(token)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears with its content and never replaces: of two first starts both read the same token.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
