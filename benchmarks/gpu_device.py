"""All that `make bench-gpu` asks of the device itself: time, memory, and what it can do at most.

The one place that calls `torch.cuda`; ROCm counts as it. TRL's side uses it too, in its own venv:
it knows nothing but torch and the standard library.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

MIB = 2**20


class DeviceMemory(NamedTuple):
    """Bytes of torch's allocator; None where the device has none of its own (a CPU).

    Attributes:
        allocated: Handed out to tensors.
        reserved: Taken from the device.
    """

    allocated: int | None
    reserved: int | None

    def in_units(self, unit: int) -> tuple[float | None, float | None]:
        """Both in units of so many bytes."""
        allocated, reserved = self
        return (
            None if allocated is None else allocated / unit,
            None if reserved is None else reserved / unit,
        )


def synchronize(device: torch.device) -> None:
    """Wait until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """Give back what is not used, and begin to look for the peak anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> DeviceMemory:
    """The most since `forget_peak`, or since the process began."""
    if device.type != "cuda":
        return DeviceMemory(None, None)
    return DeviceMemory(
        torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    )


def held_memory(device: torch.device) -> DeviceMemory:
    """What is held now."""
    if device.type != "cuda":
        return DeviceMemory(None, None)
    return DeviceMemory(torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device))


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def device_bytes(device: torch.device) -> int | None:
    """The device's whole memory; None for a CPU."""
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of `work`, all that it asked of the device included."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes a second, read and written, of a copy of `size` bytes; the best of five."""
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(4):
            target.copy_(source)

    copy()
    moved = 4 * 2 * source.numel() * source.element_size()
    return moved / min(seconds_of(copy, device) for _ in range(5))


def matmul_rate(device: torch.device, width: int, dtype: torch.dtype) -> float:
    """Operations a second of a product of two `width` x `width` matrices; the best of five."""
    one, other = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    result = torch.empty_like(one)

    def multiply() -> None:
        for _ in range(4):
            torch.matmul(one, other, out=result)

    multiply()
    return 4 * 2 * width**3 / min(seconds_of(multiply, device) for _ in range(5))
