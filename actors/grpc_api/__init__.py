"""The gRPC API: health and reflection. Decides nothing. asyncio-only: grpc.aio runs on nothing else."""

import os

# Before grpc is first imported: its fork handlers are for programs that fork, and docker commands are spawned.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from actors.grpc_api.actor import GrpcApiActor

__all__ = ["GrpcApiActor"]
