"""Takes one sample of one probe: over HTTP, over TCP, through the engine, or by a command inside a container."""

from actors.prober.actor import Prober

__all__ = ["Prober"]
