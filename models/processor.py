"""What the processor and its memory are told before a training."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def keep_memory() -> None:
    """Let glibc hold on to freed blocks: giving a step's large arrays back to the kernel, only to fault them in again
    in the next, takes a third of the time on a CPU."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is mapped by itself
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def fast_in_bf16(device: torch.device) -> bool:
    """Whether it multiplies in bfloat16 itself: on a CPU that only imitates it, a step takes eight times as long."""
    able = torch.cpu.get_capabilities()
    return device.type != "cpu" or any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@contextmanager
def no_denormals() -> Iterator[None]:
    """Numbers too small for a float's exponent, slow on most processors, are zeros meanwhile."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:  # this thread may go on with what minds
        torch.set_flush_denormal(False)
