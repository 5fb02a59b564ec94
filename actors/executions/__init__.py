"""Accepts executions, queues them, and hands each to a child of its own under the pool of running executions."""

from actors.executions.actor import ExecutionsActor

__all__ = ["ExecutionsActor"]
