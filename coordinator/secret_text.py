"""Text of a scenario in whose place the name of a secret may stand. Holds no secret's value."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SecretRef(BaseModel):
    """`{secret: NAME}`: resolved when the command or request runs, never printed or stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")


SecretText = str | SecretRef
