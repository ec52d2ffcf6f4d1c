"""Which exceptions mean that the memory is too small. Imports no torch."""

from __future__ import annotations

import sys

# What torch and its libraries raise without a type of its own: the CPU's allocator, that of mps,
# cuBLAS when it cannot have its workspace, and CUDA itself outside of torch's allocator.
_SAID = (
    "DefaultCPUAllocator",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "CUDA out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, if it is loaded, or Python says that the memory is too small."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
