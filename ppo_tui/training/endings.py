"""How a run begins and ends, in words: what was loaded, what went wrong, what it came to."""

from __future__ import annotations

import math

import torch

from ppo_tui.errors import DeviceError, OutOfMemory, PpoTuiError, StoppedByUser, TrainingError
from ppo_tui.out_of_memory import is_out_of_memory
from ppo_tui.policy.loading import BaseModel
from ppo_tui.runs.records import Event, log_event
from ppo_tui.training.batches import StepRecord

# What torch raises without a type of its own when the driver or the card fails.
_LOST = (
    "CUDA error",
    "HIP error",
    "CUDNN_STATUS",
    "CUBLAS_STATUS",
    "NCCL Error",
    "driver shutting",
)


def as_ours(error: BaseException) -> PpoTuiError:
    """Any exception as an error that can be shown to a user."""
    if isinstance(error, PpoTuiError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            "The device's memory ran out in a training step.",
            hint="Lower engine.micro_batch_tokens, rollout.batch_size or rollout.response_tokens; "
            "`ppo-tui plan` shows what takes how much.",
            code="memory.step",
        )
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return StoppedByUser("The worker was interrupted.")
    text = " ".join(str(error).split())[:300]
    if is_device_lost(error):
        first = text.partition(" CUDA kernel errors")[0].rstrip(".")
        return DeviceError(
            f"The graphics card failed or is gone: {first}.",
            hint="See what `nvidia-smi` says; when the card is back, `ppo-tui resume` goes on from "
            "the last checkpoint.",
            code="device.lost",
        )
    return TrainingError(
        f"Something unforeseen happened: {type(error).__name__}{': ' if text else ''}{text}",
        hint="The traceback stands in the run's log.txt; please report it.",
        code="internal",
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether torch says that the device does not answer any more."""
    if isinstance(error, getattr(torch, "AcceleratorError", ())):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _LOST)


def loaded_event(name: str, base: BaseModel) -> Event:
    """What was loaded, and how it lies on its device."""
    dtype = str(base.dtype).removeprefix("torch.")
    weights = "" if base.quantization == "none" else f", weights in {base.quantization}"
    return log_event(
        f"Loaded {name} on {base.device.type} in {dtype}{weights}.", device=base.device.type
    )


def memory_event(record: StepRecord, device: str) -> Event:
    """What the memory plan foresaw, and what it came to."""
    peak, planned = (record.metrics[f"memory/{name}_gib"] for name in ("peak", "planned"))
    foreseen = "" if math.isnan(planned) else f" The memory plan foresaw {planned:.2f} GiB"
    beside = "" if device == "cuda" else ", beside what Python and its libraries take"
    return log_event(
        f"At most {peak:.2f} GiB of memory were held.{foreseen}{beside if foreseen else ''}"
        f"{'.' if foreseen else ''}",
        step=record.step,
    )
