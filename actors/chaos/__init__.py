"""Watches the engine: whether it answers, which one it is, and what happens on it."""

from actors.chaos.actor import ChaosActor

__all__ = ["ChaosActor"]
