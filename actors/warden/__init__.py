"""Keeps a warden watching over this coordinator, so that its end by force leaves nothing broken."""

from actors.warden.actor import WardenActor, WardenDied

__all__ = ["WardenActor", "WardenDied"]
