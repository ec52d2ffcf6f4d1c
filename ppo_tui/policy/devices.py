"""Which device a run trains on, and what that device can do."""

from __future__ import annotations

import torch

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import DeviceError


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
