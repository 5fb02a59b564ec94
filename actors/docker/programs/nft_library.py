"""What nft does, by its own library in this process: half a millisecond, where the program takes ten and more to start.

Twenty namespaces that are to change at the same moment notice. Where the library is missing the program does it.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

LIBRARY = "libnftables.so.1"
FLAGS = {"-j": 1 << 4, "--stateless": 1 << 2}
DRY_RUN = "-c"
SCRIPT = ["-f", "-"]


@functools.cache
def loaded() -> Any:
    """The library with its functions declared; None where it is not here."""
    try:
        library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], ctypes.c_void_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_ctx_set_dry_run.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes, getattr(library, name).restype = [ctypes.c_void_p], ctypes.c_char_p
    except (OSError, AttributeError):
        return None
    return library


def ask(library: Any, arguments: list[str], text: str) -> tuple[int, str, str]:
    """Status, output and complaints of nft with these arguments and this input.

    Each time with a context of its own, which sees this process' network namespace as it is now.
    """
    context = library.nft_ctx_new(0)
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        words = list(arguments)
        library.nft_ctx_output_set_flags(context, sum(FLAGS[word] for word in words if word in FLAGS))
        library.nft_ctx_set_dry_run(context, DRY_RUN in words)
        words = [word for word in words if word not in FLAGS and word != DRY_RUN]
        wanted = text if words == SCRIPT else " ".join(words)
        status = library.nft_run_cmd_from_buffer(context, wanted.encode())
        out, error = library.nft_ctx_get_output_buffer(context), library.nft_ctx_get_error_buffer(context)
        return -status, (out or b"").decode(), (error or b"").decode()
    finally:
        library.nft_ctx_free(context)
