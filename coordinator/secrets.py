"""Where the secrets that scenarios name are found when a command or request runs. Never prints or keeps a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordinator.errors import MissingSecret

_PREFIX: Final = "SCENARIO_SECRET_"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Looks secrets up by name: the environment first, then `DATA_DIR/secrets`."""

    data_dir: Path
    environ: Mapping[str, str] = field(repr=False)

    def resolve(self, name: str) -> str:
        """The secret's value, without the line end of its file. Raises MissingSecret naming both places."""
        path = self.data_dir / "secrets" / name
        places = f"set {_PREFIX}{name} or write it to {path}"
        if _NAME.fullmatch(name) is None:
            raise MissingSecret(f"secret {name!r}: a name has letters, digits and _ only")
        value = self.environ.get(f"{_PREFIX}{name}")
        if value is not None:
            return value
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except FileNotFoundError:
            raise MissingSecret(f"secret {name}: not found; {places}") from None
        except OSError as unreadable:
            raise MissingSecret(f"secret {name}: {path}: {unreadable.strerror}; {places}") from None
        except UnicodeDecodeError:
            # The cause holds the bytes.
            raise MissingSecret(f"secret {name}: {path}: not UTF-8 text; {places}") from None
