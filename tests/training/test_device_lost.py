"""A graphics card that fails or goes away: one sentence, and a run that goes on elsewhere."""

import pytest
import torch

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.errors import DeviceError, ExitCode
from ppo_tui.policy.roles import Roles
from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe
from ppo_tui.training.endings import as_ours
from ppo_tui.training.session import Session
from ppo_tui.training.undo import Before

SAID = (
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported "
    "at some other API call, so the stacktrace below might be incorrect."
)


def lost():
    raise torch.AcceleratorError(SAID)


def test_the_run_fails_with_a_sentence_and_its_last_checkpoint(small_config, tmp_path, monkeypatch):
    config = small_config(steps=4, checkpoint={"every": 1}, eval={"at_end": False})
    run = RunDirectory.create(tmp_path / "run", config_to_yaml(config), total=4)
    policy_pass, calls = Roles.policy_pass, []

    def passed(self, *given, **how):
        calls.append(1)
        if len(calls) > 20:
            lost()
        return policy_pass(self, *given, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Roles, "policy_pass", passed)
        # What is gone takes nothing back either.
        patched.setattr(Before, "put_back", lambda self, *, draws: lost())
        with pytest.raises(DeviceError) as caught:
            Session(run).execute()
    assert caught.value.exit_code is ExitCode.MISSING
    seen = observe(run)
    assert (seen.phase, seen.error.code) == (Phase.FAILED, "device.lost")
    assert seen.error.message == (
        "The graphics card failed or is gone: CUDA error: unspecified launch failure."
    )
    assert "ppo-tui resume" in seen.error.hint
    done = seen.state.step
    assert 0 < done < 4
    assert max(step for step, _ in list_checkpoints(run.checkpoints_path)) == done
    assert Session(run).execute() is Phase.FINISHED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("HIP error: no ROCm-capable device is detected"), "device.lost"),
        (RuntimeError("CUDA error: device-side assert triggered"), "device.lost"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device.lost"),
        (RuntimeError("CUDA error: out of memory"), "memory.step"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "memory.step"),
        (MemoryError(), "memory.step"),
        (RuntimeError("shapes do not fit"), "internal"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_what_torch_says_becomes_an_error_of_ours(error, code):
    ours = as_ours(error)
    assert ours.code == code
    assert "\n" not in ours.message
