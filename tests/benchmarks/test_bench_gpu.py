"""`make bench-gpu` on the CPU: its arithmetic, its report, and its parts on tiny models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench_gpu import find_trl, main, run_part, trl_spec
from benchmarks.gpu_contract import (
    DecodeRow,
    FailedRow,
    FlatRow,
    FolderRow,
    LimitsRow,
    Part,
    Row,
    StepRow,
    Work,
    row_from_dict,
    row_to_dict,
)
from benchmarks.gpu_limits import (
    data_sheet,
    forward_flop,
    lora_weights,
    rollout_bytes,
    score_flop,
    token_step_bytes,
    update_flop,
)
from benchmarks.gpu_models import build_base
from benchmarks.gpu_ours import make_run, our_config
from benchmarks.gpu_parts import rows_of
from benchmarks.gpu_report import asked, report, rollout_share, step_share, unequal_work
from benchmarks.gpu_schedule import GROUPS, parts
from benchmarks.gpu_shapes import MODELS, architecture
from benchmarks.speed_contract import SpeedResult
from ppo_tui.errors import ExitCode

CPU = torch.device("cpu")
WORK = Work(batch=64, prompt_tokens=64, response_tokens=128)
LIMITS = LimitsRow(
    device="H100",
    memory_gib=80.0,
    copy_gb_s=2000.0,
    matmul_tflop_s=500.0,
    sheet_gb_s=4000.0,
    sheet_tflop_s=989.0,
)
ABOUT = {"date": "2026-01-02", "machine": {"cpu": "A"}, "seconds": 3.0, "tiny": False, "trl": ""}


def step_row(engine: str = "ppo-tui", **changes: object) -> StepRow:
    row = StepRow(
        engine=engine,
        model="llama-1b",
        quantization="none",
        work=WORK,
        step_seconds=[2.0, 1.0, 4.0],
        phases={"rollout": 0.5, "score": 0.25, "reward": 0.05, "update": 1.0},
        allocated_gib=8.0,
        reserved_gib=9.0,
        planned_gib=8.5,
        choices={"rollout_slots": 64},
        optimiser_steps=16.0,
        response_length=128.0,
        score_flop=25e12,
        update_flop=250e12,
    )
    return replace(row, **changes)


def tiny_parts(*groups: str, folder: str = "unused", trl_python: str = "") -> list[Part]:
    return parts(groups, Path(folder), device="cpu", tiny=True, trl_python=trl_python)


# ---- what work costs at the least


@pytest.mark.parametrize(
    ("device", "figures"),
    [
        ("NVIDIA H100 80GB HBM3", (3352, 989)),
        ("NVIDIA H200", (4800, 989)),
        ("NVIDIA A100-SXM4-80GB", (2039, 312)),
        ("NVIDIA A100-SXM4-40GB", (1555, 312)),
        ("NVIDIA L40S", (864, 362)),
        ("NVIDIA L4", (300, 121)),
        ("NVIDIA GeForce RTX 4090", (1008, 165)),
        ("CPU", (None, None)),
    ],
)
def test_a_data_sheet_is_found_by_the_device_s_name(
    device: str, figures: tuple[float | None, float | None]
) -> None:
    assert data_sheet(device) == figures


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("llama-1b", 1_235_814_400),
        ("qwen-0.5b", 494_032_768),
        ("qwen-3b", 3_085_938_688),
        ("llama-8b", 8_030_261_248),
    ],
)
def test_the_models_have_the_size_of_the_real_ones(model: str, parameters: int) -> None:
    assert architecture(model).parameters == parameters


def test_a_token_step_reads_the_weights_once_and_every_row_s_cache() -> None:
    # 16 layers x 2 (key, value) x 512 wide x 2 bytes = 32 KiB a token.
    assert token_step_bytes(architecture("llama-1b"), 64, 128) == (
        2 * 1_235_814_400 + 64 * 128 * 32_768
    )


def test_embeddings_that_are_not_the_head_are_not_read() -> None:
    embeddings = 128_256 * 4096
    assert token_step_bytes(architecture("llama-8b"), 1, 0) == 2 * (8_030_261_248 - embeddings)


def test_a_rollout_s_bytes_are_the_sum_of_its_token_steps() -> None:
    a = architecture("qwen-0.5b")
    steps = [token_step_bytes(a, 8, 10 + t) for t in range(1, 5)]
    assert rollout_bytes(a, 8, prompt=10, response=5) == sum(steps)


@pytest.mark.parametrize("model", ["llama-1b", "qwen-0.5b"])
def test_the_operations_of_a_forward_pass_are_those_that_torch_counts(model: str) -> None:
    base = build_base(model, CPU, torch.float32, tiny=True)
    base.model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base.model(torch.ones(3, 10, dtype=torch.long))
    a = architecture(model, tiny=True)
    # Eager attention computes the half of the scores that the causal mask takes away.
    masked_half = 3 * 2 * a.layers * a.widths.query * 10**2
    assert counter.get_total_flops() == forward_flop(a, 3, 10, 10) + masked_half


def test_the_adapter_s_weights_are_those_that_are_trained() -> None:
    shape = architecture("qwen-3b", tiny=True)
    base = build_base("qwen-3b", CPU, torch.float32, tiny=True)
    roles = make_run(Work(4, 4, 4), base, shape).roles
    trained = sum(p.numel() for p in roles.policy_parameters())
    assert lora_weights(shape, rank=16) == trained


def test_an_update_of_two_epochs_costs_twice_that_of_one() -> None:
    a = architecture("llama-1b")
    assert update_flop(a, 16, 8, 4, 4, 2) == 2 * update_flop(a, 16, 8, 4, 4, 1)


def test_without_an_adapter_scoring_is_two_forward_passes() -> None:
    a = architecture("llama-1b")
    assert score_flop(a, 0, 8, 16, 32) == 2 * forward_flop(a, 8, 48, 32)


# ---- the models


def test_the_linear_layers_of_a_block_are_in_nf4_and_compute_as_the_others() -> None:
    import bitsandbytes as bnb

    base = build_base("llama-8b", CPU, torch.bfloat16, quantization="nf4", tiny=True)
    kinds = {
        type(module)
        for name, module in base.model.named_modules()
        if name.startswith("model.layers") and name.endswith("_proj")
    }
    assert kinds == {bnb.nn.Linear4bit}
    assert len(base.model.model.layers) == base.model.config.num_hidden_layers == 2
    layer = base.model.model.layers[1].mlp.up_proj
    unpacked = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    x = torch.randn(3, layer.in_features, dtype=torch.bfloat16)
    assert unpacked.std() > 0
    torch.testing.assert_close(layer(x), x @ unpacked.t().to(x.dtype))


def test_both_sides_are_asked_for_the_same_work() -> None:
    (part,) = (p for p in tiny_parts("trl", trl_python="python") if p.name == "trl shared")
    base = build_base(part.model, CPU, torch.bfloat16, tiny=True)
    _, ours = our_config(part.works[0], base)
    theirs = trl_spec(part)
    same = {"model": "", "threads": 1}
    assert replace(ours, **same) == replace(theirs, **same)


# ---- the report


def test_the_first_table_says_what_was_reached_and_what_was_not() -> None:
    decode = DecodeRow(
        "ppo-tui rollout", "llama-1b", "none", WORK, 1.0, 8192, 2e-3, 2e12, 3e9, 0.0, 4.0
    )
    measured: dict[str, list[Row]] = {
        "limits": [LIMITS],
        "trl": [
            step_row(),
            step_row("trl shared", step_seconds=[12.0], allocated_gib=32.0),
            step_row("trl separate", step_seconds=[9.0], allocated_gib=40.0),
        ],
        "decode": [decode],
        "nf4": [step_row(allocated_gib=10.0, reserved_gib=11.0)],
        "flat": [FlatRow(1000, 1000, 50.0, 100.0, 100.5, 200.0, 200.0, 900.0, 905.0)],
    }
    assert [line[2:] for line in asked(measured)] == [
        ("4.5x", "no"),
        ("0.25x", "yes"),
        ("75%", "yes"),
        ("10.7 GB (reserved 11.8)", "yes"),
        ("+0.5 MiB", "yes"),
    ]
    assert step_share(decode, LIMITS) == 0.75
    assert rollout_share(decode, LIMITS) == 1.0


def test_the_tables_hold_shares_of_the_peak_and_ratios_to_trl() -> None:
    measured: dict[str, list[Row]] = {
        "limits": [LIMITS],
        "trl": [step_row(), step_row("trl shared", step_seconds=[12.0], phases={}, choices=None)],
    }
    text = "\n".join(report(measured, ABOUT))
    row = next(line for line in text.splitlines() if line.startswith("| ppo-tui "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # 64 episodes in the median step of 2 s; 25 TFLOP in 0.25 s and 250 in 1 s of 500 TFLOP/s.
    assert cells[3:11] == ["64 + 128", "32.00", "2.000", "0.500", "0.250", "1.000", "20%", "50%"]
    assert "| ours / trl shared |" in text
    assert "| 6.00x " in text
    assert "- rollout_slots 64: for llama-1b, batch 64, 64 + 128" in text


def test_what_failed_is_in_the_report_with_its_reason() -> None:
    text = "\n".join(report({"trl": [FailedRow("trl shared", "not done within its 120 s")]}, ABOUT))
    assert "| trl shared | not done within its 120 s |" in text


def test_work_that_is_not_the_same_is_called_so() -> None:
    assert unequal_work([step_row(optimiser_steps=4.0)]) == [
        "ppo-tui made 4 optimiser steps, not 16"
    ]
    assert unequal_work([step_row("trl shared", response_length=100.0)]) == [
        "trl shared's responses were 100.0 tokens long, not 128"
    ]
    mixed = replace(WORK, mixed=True)
    rows = [
        step_row(work=mixed, response_length=50.0),
        step_row("trl", work=mixed, response_length=61.0),
    ]
    assert unequal_work(rows) == ["mean response lengths differ: ppo-tui 50.0, trl 61.0"]
    assert unequal_work([step_row(), step_row("trl shared")]) == []


def test_a_part_and_a_row_survive_their_way_between_processes() -> None:
    for part in tiny_parts(*GROUPS, trl_python="python"):
        assert Part.from_json(part.to_json()) == part
    row = step_row()
    assert row_from_dict(json.loads(json.dumps(row_to_dict(row)))) == row


# ---- the parts, on tiny models


def measure(part: Part) -> list[Row]:
    return list(rows_of(part))


def test_the_limits_are_measured() -> None:
    (part,) = tiny_parts()
    (row,) = measure(part)
    assert isinstance(row, LimitsRow)
    assert row.copy_gb_s > 0
    assert row.matmul_tflop_s > 0


@pytest.mark.parametrize(("group", "full"), [("trl", True), ("mixed", False)])
def test_steps_on_a_written_model_are_whole(tmp_path: Path, group: str, full: bool) -> None:
    _, written, ours = tiny_parts(group, folder=str(tmp_path))
    if not full:
        # Long enough to see responses that end by themselves.
        works = (replace(ours.works[0], response_tokens=100, batch=16, epochs=1),)
        ours = replace(ours, works=works)
    (wrote,) = measure(written)
    assert isinstance(wrote, FolderRow)
    (row,) = measure(ours)
    assert isinstance(row, StepRow)
    assert unequal_work([row]) == []
    assert (row.response_length == row.work.response_tokens) == full
    assert set(row.phases) == {"rollout", "score", "reward", "update"}
    assert min(row.phases.values()) > 0
    assert sum(row.phases.values()) <= row.step_seconds[0]


def test_a_row_that_fails_is_told_and_the_next_one_is_measured() -> None:
    _, part = tiny_parts("nf4")
    good = part.works[0]
    failed, row = measure(replace(part, works=(replace(good, batch=5), good)))
    assert isinstance(failed, FailedRow)
    assert "batch_size 5 is not a multiple of minibatches" in failed.reason
    assert isinstance(row, StepRow)
    assert row.quantization == "nf4"
    assert unequal_work([row]) == []


def test_decoding_is_measured_for_plain_generate_and_for_ours() -> None:
    _, part = tiny_parts("decode")
    plain, ours = measure(part)
    assert isinstance(plain, DecodeRow)
    assert isinstance(ours, DecodeRow)
    work = part.works[0]
    assert [row.how for row in (plain, ours)] == ["plain generate", "ppo-tui rollout"]
    assert plain.tokens == ours.tokens == work.batch * work.response_tokens


def test_memory_over_steps_is_looked_at_in_every_step() -> None:
    _, part = tiny_parts("flat")
    (row,) = measure(part)
    assert isinstance(row, FlatRow)
    assert row.steps == row.wanted == 20
    assert row.resident_late > 0


# ---- the script


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_it_says_so_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--results", str(tmp_path)]) == ExitCode.MISSING
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bench-gpu: torch sees no CUDA device here; ")
    assert captured.err.count("\n") == 1


def test_the_script_runs_its_parts_and_writes_what_they_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--device", "cpu", "--tiny", "--trl", "none", "--parts"]
    assert main([*arguments, "--results", str(tmp_path)]) == ExitCode.DONE
    (data,) = tmp_path.glob("bench-gpu-tiny-*.json")
    (row,) = json.loads(data.read_text())["rows"]["limits"]
    assert row["device"] == "CPU"
    printed = capsys.readouterr().out
    assert "## Limits of the device: CPU" in printed
    assert data.with_suffix(".md").read_text() == printed


def test_a_part_for_which_no_time_is_left_is_a_line_of_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--device", "cpu", "--tiny", "--trl", "none", "--minutes", "0"]
    assert main([*arguments, "--parts", "flat", "--results", str(tmp_path)]) == ExitCode.FAILED
    assert "| memory over steps | the 0 minutes were over |" in capsys.readouterr().out


def run_with(python: str, seconds: float, tmp_path: Path) -> list[Row]:
    """What becomes of a part of TRL's where `python` is a shell script."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{python}\n")
    program.chmod(0o755)
    *_, part = tiny_parts("trl", trl_python=str(program))
    rows: list[Row] = []
    run_part(part, seconds, rows.append)
    return rows


def test_a_part_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    rows = run_with("exec tail -f /dev/null", 0.2, tmp_path)
    assert rows == [FailedRow("trl separate", "not done within its 0 s")]


def test_a_part_that_fails_says_its_last_words(tmp_path: Path) -> None:
    rows = run_with("cat > /dev/null; echo 'ImportError: no TRL here' >&2; exit 3", 60, tmp_path)
    assert rows == [FailedRow("trl separate", "ImportError: no TRL here")]


def test_what_trl_s_side_answers_is_a_row_of_its_form(tmp_path: Path) -> None:
    answer = SpeedResult(
        engine="trl",
        step_seconds=[2.0, 3.0],
        episodes_per_second=4.0,
        cpu_seconds=[1.0, 1.0],
        gc_seconds=[0.0, 0.0],
        optimiser_steps=[16, 16],
        planned_optimiser_steps=16,
        response_length_mean=8.0,
        rss_after_import_mib=1.0,
        peak_rss_mib=2.0,
        peak_over_import_mib=1.0,
        trainable_parameters=10,
        versions={"trl": "1.12.0"},
        given={},
        device_allocated_gib=30.0,
        device_reserved_gib=40.0,
    )
    says = f"cat > /dev/null; echo talk; cat <<'END'\n{answer.to_json()}\nEND"
    (row,) = run_with(says, 60, tmp_path)
    assert isinstance(row, StepRow)
    assert (row.engine, row.step_seconds, row.allocated_gib) == ("trl separate", [2.0, 3.0], 30.0)
    assert unequal_work([row]) == []


def test_a_part_that_cannot_be_started_is_no_end_of_the_script() -> None:
    *_, part = tiny_parts("trl", trl_python="/nowhere/python")
    rows: list[Row] = []
    run_part(part, 60, rows.append)
    assert rows == [
        FailedRow("trl separate", "/nowhere/python cannot be run: No such file or directory")
    ]


def test_trl_is_taken_from_the_interpreter_that_is_named() -> None:
    assert find_trl("/some/python") == ("/some/python", "")
    assert find_trl("none") == ("", "as asked.")


def test_every_group_has_a_part_and_every_part_a_model() -> None:
    everything = tiny_parts(*GROUPS, trl_python="python")
    assert {part.group for part in everything} == {"limits", *GROUPS}
    assert {part.model for part in everything} <= set(MODELS)
