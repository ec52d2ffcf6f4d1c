"""ppo-tui's side of `make bench-gpu`: PPO steps, rollouts alone, memory over many steps.

The engine runs as in any run, with what the memory plan chooses for the device. Left out is what
the worker does around a step: the run directory's journals, checkpoints, evaluation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from benchmarks.gpu_contract import GIB, DecodeRow, FlatRow, StepRow, Work
from benchmarks.gpu_device import (
    MIB,
    device_bytes,
    forget_peak,
    held_memory,
    peak_memory,
    seconds_of,
    synchronize,
)
from benchmarks.gpu_limits import (
    forward_flop,
    rollout_bytes,
    score_flop,
    token_step_bytes,
    update_flop,
)
from benchmarks.ours_side import prompt_dataset, run_config
from benchmarks.random_models import ModelShape, random_prompts
from benchmarks.speed_contract import SpeedSpec, resident_mib, versions
from ppo_tui.config.schema import EngineConfig, RunConfig
from ppo_tui.plan import Architecture, MemoryPlan, device_budget, plan_memory
from ppo_tui.policy.loading import BaseModel
from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.training.setup import build_roles
from ppo_tui.training.trainer import Trainer

PHASES = ("rollout", "score", "reward", "update")

LEARNING_RATE = 1e-5
"""Small, because random weights have nothing to learn; what a step costs does not depend on it."""


@dataclass(frozen=True)
class OurRun:
    """A trainer that is ready for its first step, and what it was made from."""

    config: RunConfig
    plan: MemoryPlan
    roles: Roles
    trainer: Trainer


def our_config(work: Work, base: BaseModel) -> tuple[RunConfig, SpeedSpec]:
    """The work as a run's configuration, and as what the sides of `bench-speed` share."""
    vocab = base.model.get_input_embeddings().weight.shape[0]
    spec = SpeedSpec(
        model=base.source,
        prompts=random_prompts(
            ModelShape(vocab=vocab), 256, work.prompt_tokens, work.prompt_tokens
        ),
        batch_size=work.batch,
        response_tokens=work.response_tokens,
        epochs=work.epochs,
        minibatches=work.minibatches,
        lr=LEARNING_RATE,
        steps=work.steps,
        warmup=work.warmup,
        device="cuda" if base.device.type == "cuda" else "cpu",
        dtype="bfloat16" if base.dtype == torch.bfloat16 else "float32",
    )
    config = run_config(spec)
    model = config.model.model_copy(update={"quantization": base.quantization})
    engine = EngineConfig(memory_gib=work.memory_gib)
    return config.model_copy(update={"model": model, "engine": engine}), spec


def make_run(work: Work, base: BaseModel, architecture: Architecture) -> OurRun:
    """Our trainer for this work, with what the memory plan chooses.

    Args:
        work: What is to be done.
        base: Gets adapters put into it, so that it serves one run only.
        architecture: Its shape.
    """
    config, spec = our_config(work, base)
    plan = plan_memory(
        architecture,
        config,
        device_bytes(base.device) or device_budget("cpu"),
        "cuda" if base.device.type == "cuda" else "cpu",
        work.prompt_tokens,
    )
    roles = build_roles(config, base, plan.choices)
    data = prompt_dataset(spec, base.tokenizer)
    reward = WeightedSum(config.reward.terms)
    trainer = Trainer(config, roles, data, reward, choices=plan.choices)
    return OurRun(config, plan, roles, trainer)


def measure_steps(work: Work, base: BaseModel, architecture: Architecture, model: str) -> StepRow:
    """Warm-up and timed steps; memory is looked at from the first of them on."""
    device = base.device
    forget_peak(device)
    run = make_run(work, base, architecture)
    taken = 0

    def count_step(*_: object) -> None:
        nonlocal taken
        taken += 1

    run.trainer.optimizer.register_step_post_hook(count_step)
    seconds: list[float] = []
    phases: list[dict[str, float]] = []
    counted: list[int] = []
    lengths: list[float] = []
    notes: dict[str, None] = {}
    synchronize(device)
    started = time.perf_counter()
    for record in run.trainer.steps():
        synchronize(device)
        ended = time.perf_counter()
        seconds.append(ended - started)
        phases.append({name: float(record.metrics[f"time/{name}"]) for name in PHASES})
        counted.append(taken)
        lengths.append(float(record.metrics["response/length"]))
        notes |= dict.fromkeys(n.message for n in record.health if n.code == "health.memory")
        taken, started = 0, ended
    timed = slice(work.warmup, None)
    middle = seconds.index(statistics.median_low(seconds[timed]), work.warmup)
    length = statistics.fmean(lengths[timed])
    allocated, reserved = peak_memory(device).in_units(GIB)
    sizes = (architecture, run.config.adapter.rank, work.batch, work.prompt_tokens, length)
    return StepRow(
        engine="ppo-tui",
        model=model,
        quantization=base.quantization,
        work=work,
        step_seconds=seconds[timed],
        phases=phases[middle],
        allocated_gib=allocated,
        reserved_gib=reserved,
        planned_gib=run.plan.allocated / GIB,
        choices=run.plan.choices.to_dict(),
        optimiser_steps=statistics.fmean(counted[timed]),
        response_length=length,
        score_flop=score_flop(*sizes),
        update_flop=update_flop(*sizes, work.epochs),
        versions=versions("ppo-tui", "torch", "transformers", "peft", "bitsandbytes"),
        notes=[*notes, *_refusals(run.roles)],
    )


def _refusals(roles: Roles) -> list[str]:
    refused = roles.decoder.graphs_refused
    return [f"Decoding ran without CUDA graphs: {refused}"] if refused else []


def decode_seconds(run: OurRun, tokens: int, repeats: int = 3) -> tuple[float, int]:
    """Seconds of a rollout of so many tokens, and how many tokens it sampled.

    The median of `repeats`, after two to warm up: steps are captured at their second time.
    """
    prompts = [prompt.ids for prompt in run.trainer.data.train]
    prompts = prompts[: run.config.rollout.batch_size]
    generator = torch.Generator().manual_seed(0)
    sampled: list[int] = []

    def roll_out() -> None:
        responses = run.roles.decoder.sample(prompts, tokens, generator).sequences
        sampled.append(int(responses.response_lengths.sum()))

    for _ in range(2):
        roll_out()
    seconds = [seconds_of(roll_out, run.roles.base.device) for _ in range(repeats)]
    return statistics.median(seconds), sampled[-1]


def generate_seconds(
    base: BaseModel, work: Work, tokens: int, repeats: int = 3
) -> tuple[float, int]:
    """The same of `generate` of transformers on the base, without an adapter: its fastest form."""
    _, spec = our_config(work, base)
    ids = torch.tensor(spec.prompts[: work.batch], device=base.device)
    sampled: list[int] = []

    @torch.no_grad()
    def generate() -> None:
        output = base.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=0,
        )
        sampled.append(int(output.shape[0] * (output.shape[1] - ids.shape[1])))

    generate()
    seconds = [seconds_of(generate, base.device) for _ in range(repeats)]
    return statistics.median(seconds), sampled[-1]


def measure_decoding(
    base: BaseModel, work: Work, architecture: Architecture, model: str
) -> Iterator[DecodeRow]:
    """Plain `generate`, which needs the base without an adapter, and then our rollout.

    Each for whole and for half responses, so that a token step can be told from what a rollout
    costs once: reading the prompts, making the copy of the weights.
    """
    lengths = (work.response_tokens // 2, work.response_tokens)
    forget_peak(base.device)
    timed = [generate_seconds(base, work, tokens) for tokens in lengths]
    yield _decode_row("plain generate", model, base, work, architecture, timed)
    forget_peak(base.device)
    run = make_run(work, base, architecture)
    timed = [decode_seconds(run, tokens) for tokens in lengths]
    row = _decode_row("ppo-tui rollout", model, base, work, architecture, timed)
    yield replace(row, choices=run.plan.choices.to_dict(), notes=_refusals(run.roles))


def _decode_row(
    how: str,
    model: str,
    base: BaseModel,
    work: Work,
    architecture: Architecture,
    timed: list[tuple[float, int]],
) -> DecodeRow:
    (half_seconds, half_tokens), (seconds, tokens) = timed
    more = (tokens - half_tokens) / work.batch
    # Between half of the response and its end, three quarters of it lie in the cache.
    context = work.prompt_tokens + 0.75 * work.response_tokens
    return DecodeRow(
        how=how,
        model=model,
        quantization=base.quantization,
        work=work,
        seconds=seconds,
        tokens=tokens,
        token_step_seconds=(seconds - half_seconds) / more,
        rollout_bytes=rollout_bytes(
            architecture, work.batch, work.prompt_tokens, work.response_tokens
        ),
        token_step_bytes=token_step_bytes(architecture, work.batch, context),
        prefill_flop=forward_flop(architecture, work.batch, work.prompt_tokens, 1),
        allocated_gib=peak_memory(base.device).in_units(GIB)[0],
    )


def measure_flat(
    work: Work, base: BaseModel, architecture: Architecture, seconds: float
) -> FlatRow:
    """Memory after each of many steps, until they are done or `seconds` are over."""
    device = base.device
    forget_peak(device)
    run = make_run(work, base, architecture)
    allocated: list[float | None] = []
    reserved: list[float | None] = []
    resident: list[float] = []
    started = time.perf_counter()
    for _ in run.trainer.steps():
        synchronize(device)
        held = held_memory(device).in_units(MIB)
        allocated.append(held[0])
        reserved.append(held[1])
        resident.append(resident_mib())
        if time.perf_counter() - started > seconds:
            break
    return FlatRow(
        steps=len(resident),
        wanted=work.steps + work.warmup,
        seconds=time.perf_counter() - started,
        allocated_early=_most(allocated, 1),
        allocated_late=_most(allocated, 9),
        reserved_early=_most(reserved, 1),
        reserved_late=_most(reserved, 9),
        resident_early=_most(resident, 1) or 0.0,
        resident_late=_most(resident, 9) or 0.0,
    )


def _most(values: list[float] | list[float | None], tenth: int) -> float | None:
    """The largest of one tenth of the values, the first being 0; None where there are none."""
    size = max(1, len(values) // 10)
    start = min(tenth * size, len(values) - 1)
    known = [value for value in values[start : start + size] if value is not None]
    return max(known) if known else None
