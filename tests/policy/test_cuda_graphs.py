"""Which steps are done, captured and done again; what a CUDA graph itself does is in tests/gpu."""

import pytest
import torch

from ppo_tui.policy.cuda_graphs import GraphedSteps


class Steps:
    """Steps that write down what is done, and a capture that writes down what is captured."""

    def __init__(self, error=None):
        self.log = []
        self._error = error
        self.graphed = GraphedSteps(self._step, self._capture)

    def _step(self, rows, width):
        self.log.append(("step", rows, width))

    def _capture(self, work):
        # What is captured is looked at, and is not what has been done.
        before = len(self.log)
        work()
        (step,) = self.log[before:]
        self.log[before:] = [("capture", *step[1:])]
        if self._error is not None:
            raise self._error
        return lambda: self.log.append(("replay", *step[1:]))


def test_a_step_is_done_then_captured_and_replayed_then_only_replayed():
    steps = Steps()
    for _ in range(3):
        steps.graphed(4, 128)
    assert steps.log == [
        ("step", 4, 128),
        ("capture", 4, 128),
        ("replay", 4, 128),
        ("replay", 4, 128),
    ]
    assert steps.graphed.captured == 1


def test_each_kind_of_step_has_a_graph_of_its_own():
    steps = Steps()
    for rows, width in [(4, 128), (2, 128), (4, 256), (2, 128), (4, 128), (4, 256)]:
        steps.graphed(rows, width)
    kinds = [kind for kind, *_ in steps.log]
    assert kinds == ["step"] * 3 + ["capture", "replay"] * 3
    assert steps.graphed.captured == 3
    assert steps.graphed.refused == ""


@pytest.mark.parametrize(
    "error", [RuntimeError("not\n allowed"), NotImplementedError("not allowed")]
)
def test_where_capture_is_refused_every_step_is_still_done_once(error, caplog):
    steps = Steps(error)
    for _ in range(3):
        steps.graphed(4, 128)
    steps.graphed(2, 128)
    steps.graphed(2, 128)
    # One try for all kinds of step: what cannot be captured once is not tried again.
    assert [entry for entry in steps.log if entry[0] == "capture"] == [("capture", 4, 128)]
    assert [entry for entry in steps.log if entry[0] == "step"] == [
        *[("step", 4, 128)] * 3,
        *[("step", 2, 128)] * 2,
    ]
    assert steps.graphed.refused == "not allowed"
    assert "not captured as CUDA graphs: not allowed" in caplog.text


def test_memory_that_runs_out_in_a_capture_is_for_others_to_deal_with():
    steps = Steps(torch.OutOfMemoryError("CUDA out of memory."))
    steps.graphed(4, 128)
    with pytest.raises(torch.OutOfMemoryError):
        steps.graphed(4, 128)
    assert steps.graphed.refused == ""
    assert steps.graphed.captured == 0
