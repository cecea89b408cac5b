"""Keeps what a program frees, for it will be asked for again."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30
LARGEST_PIECE_BYTES = 1 << 25
"""The most that glibc takes from what it keeps."""


def keep_freed_memory() -> None:
    """Let glibc keep large pieces that were freed (elsewhere nothing).

    By default it gives them back, and getting fresh pages from the system for every piece of a
    tensor takes longer than the arithmetic on it. For processes that do nothing else.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            set_option = ctypes.CDLL(None).mallopt
            set_option(M_TRIM_THRESHOLD, KEPT_BYTES)
            set_option(M_MMAP_THRESHOLD, LARGEST_PIECE_BYTES)
