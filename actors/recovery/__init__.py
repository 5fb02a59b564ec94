"""Puts back what an earlier life of this coordinator left behind, before anything new is accepted."""

from actors.recovery.actor import RecoveryActor

__all__ = ["RecoveryActor"]
