"""What stands in a scenario for a text: the text, or the name of a secret that holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from coordinator.secret_text import SecretRef, SecretText

SecretSource = Callable[[str], str]
"""Gives the value of a named secret. Raises MissingSecret."""


@overload
def revealed(text: SecretText, secrets: SecretSource) -> str: ...
@overload
def revealed(text: SecretText | None, secrets: SecretSource) -> str | None: ...
def revealed(text: SecretText | None, secrets: SecretSource) -> str | None:
    """The text itself. Raises MissingSecret."""
    return secrets(text.secret) if isinstance(text, SecretRef) else text


def without(text: str, secret: str) -> str:
    """The text with the secret starred out, wherever a library quoted it."""
    return text.replace(secret, "***") if secret else text
