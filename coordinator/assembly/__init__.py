"""The composition root: settings in, a running coordinator out. The only package that knows both core and actors;
the edges are imported when they are needed, so that a command that needs no gRPC does not pay for it.
"""

from coordinator.assembly.embedding import (
    docker_cli_version,
    embedded,
    engine_containers,
    engine_info,
    helper_image_error,
    try_abilities,
)
from coordinator.assembly.serving import Serving, run_serve, serve

__all__ = [
    "Serving",
    "docker_cli_version",
    "embedded",
    "engine_containers",
    "engine_info",
    "helper_image_error",
    "run_serve",
    "serve",
    "try_abilities",
]
