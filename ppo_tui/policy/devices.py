"""Which device a run trains on, and what that device can do."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import DeviceError
from ppo_tui.out_of_memory import is_out_of_memory

Given = ParamSpec("Given")
Result = TypeVar("Result")


def available_devices() -> list[str]:
    """Devices of this machine, the best first; ``cpu`` is always among them."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose_device(name: str) -> torch.device:
    """The device called `name`, or the best there is for ``auto``.

    Raises:
        DeviceError: It was named and is not there.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    if name not in devices:
        raise DeviceError(
            f"device: {name} was asked for, and torch {torch.__version__} sees only "
            f"{' and '.join(devices)} on this machine.",
            hint="Use device: auto to take the best there is, or run `ppo-tui doctor`.",
            code="device.missing",
        )
    return torch.device(name)


def choose_dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    """The type of weights and computation: what was asked for, or the best for the device.

    ``auto`` is bfloat16 on a CUDA device that has it, float16 on an older one and on mps, and
    float32 on the CPU.
    """
    if config.dtype != "auto":
        dtype: torch.dtype = getattr(torch, config.dtype)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


def check_quantization(config: ModelConfig, device: torch.device) -> None:
    """Say before anything is loaded what the device cannot do.

    Raises:
        DeviceError: bitsandbytes has no kernels for the device.
    """
    if config.quantization != "none" and device.type == "mps":
        raise DeviceError(
            f"model.quantization: {config.quantization} needs cuda or cpu, and the device is mps: "
            "use quantization: none with dtype: float16 there.",
            code="device.quantization",
        )


def release_memory(device: torch.device) -> None:
    """Give back what is free in torch's own store, after memory ran out.

    Cycles of Python objects may hold tensors, so those are looked for as well.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def attempt(
    device: torch.device, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> tuple[Result] | None:
    """Do some work; None where the memory was too small for it.

    What the work had made by then, and torch's own store, are free when this returns: an exception
    that is still being handled would hold on to every frame that it came through.
    """
    try:
        return (work(*args, **kwargs),)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_memory(device)
    return None
