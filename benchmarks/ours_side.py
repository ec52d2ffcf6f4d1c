"""ppo-tui's side of `make bench-speed`: PPO steps of our own Trainer, timed.

    python -m benchmarks.ours_side SPEC.json    (`-` for stdin; SPEC: speed_contract.SpeedSpec)

It prints one speed_contract.SpeedResult as JSON. The engine runs as in any run: its sentiment
reward on decoded text, its self-checks, metrics and sample records are part of the step. Left out
is what the worker does around a step: the run directory's journals, checkpoints, evaluation.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

# The engine imports these when it first needs them; here they belong to the memory of the imports,
# as they do on TRL's side.
from peft import LoraConfig, get_peft_model  # noqa: F401
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache  # noqa: F401

from benchmarks.speed_contract import (
    CollectorClock,
    ResidentPeak,
    SpeedResult,
    SpeedSpec,
    episodes_per_second,
    peak_resident_mib,
    versions,
)
from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset, TokenizedPrompt
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.training.trainer import Trainer


def run_config(spec: SpeedSpec) -> RunConfig:
    """The spec as a run's configuration; what it does not name has its default.

    Raises:
        ValueError: The spec asks for training without LoRA, which ppo-tui does not do.
    """
    if spec.lora is None:
        raise ValueError("ppo-tui trains adapters only: give the spec a lora")
    return RunConfig.model_validate(
        {
            "model": {"name": spec.model, "dtype": spec.dtype},
            "adapter": {
                "rank": spec.lora.rank,
                "alpha": spec.lora.alpha,
                "targets": spec.lora.targets,
            },
            "rollout": {
                "batch_size": spec.batch_size,
                "response_tokens": spec.response_tokens,
                "temperature": spec.temperature,
            },
            "ppo": {
                "kl_coef": spec.kl_coef,
                "epochs": spec.epochs,
                "minibatches": spec.minibatches,
                "micro_batch_size": spec.micro_batch,
                "value": "head",
            },
            "optim": {"lr": spec.lr},
            "steps": spec.warmup + spec.steps,
            "seed": spec.seed,
            "device": spec.device,
        }
    )


def prompt_dataset(spec: SpeedSpec, tokenizer: Any) -> PromptDataset:
    """The spec's prompts as a run has them."""
    prompts = tuple(
        TokenizedPrompt(number, tokenizer.decode(ids), tuple(ids))
        for number, ids in enumerate(spec.prompts, start=1)
    )
    return PromptDataset(
        train=prompts, eval=prompts, held_out=False, limit=None, dropped=0, truncated=0
    )


def make_trainer(spec: SpeedSpec) -> Trainer:
    """Our trainer for this spec."""
    config = run_config(spec)
    base = load_base(config.model, torch.device(spec.device))
    data = prompt_dataset(spec, base.tokenizer)
    roles = Roles(base, config.adapter, config.ppo.value, config.rollout.temperature, config.seed)
    return Trainer(config, roles, data, WeightedSum(config.reward.terms))


def describe(spec: SpeedSpec) -> dict[str, str]:
    """In words for the report: how our engine was set up."""
    assert spec.lora is not None
    return {
        "policy": f"the case's model in {spec.dtype}, LoRA rank {spec.lora.rank} on "
        f"{spec.lora.targets}",
        "reference": "the policy with its adapter off",
        "value": "zero-initialised scalar head on the policy's trunk, one forward pass for both",
        "reward": "sentiment (VADER) of the decoded response, paid for within the step",
        "rollout": f"all {spec.batch_size} prompts together, pure sampling at temperature "
        f"{spec.temperature}",
        "update": f"{spec.epochs} epochs x {spec.minibatches} minibatches in micro-batches of "
        f"{spec.micro_batch_size}",
        "left out": "journals, checkpoints, evaluation",
    }


def measure(spec: SpeedSpec) -> SpeedResult:
    """Runs the spec's warm-up and timed steps, and reports the timed ones."""
    torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    seconds, cpu, collected, counted, lengths = [], [], [], [], []
    taken = 0

    def count_step(*_: object) -> None:
        nonlocal taken
        taken += 1

    with ResidentPeak() as memory, CollectorClock() as collector:
        trainer = make_trainer(spec)
        trainer.optimizer.register_step_post_hook(count_step)
        trainable = sum(
            parameter.numel()
            for group in trainer.optimizer.param_groups
            for parameter in group["params"]
        )
        started, cpu_started = time.perf_counter(), time.process_time()
        collector.seconds = 0.0
        for record in trainer.steps():
            ended, cpu_ended = time.perf_counter(), time.process_time()
            cpu.append(cpu_ended - cpu_started)
            seconds.append(ended - started)
            collected.append(collector.seconds)
            counted.append(taken)
            lengths.append(float(record.metrics["response/length"]))
            started, cpu_started = ended, cpu_ended
            taken, collector.seconds = 0, 0.0
    timed = slice(spec.warmup, None)
    return SpeedResult(
        engine="ppo-tui",
        step_seconds=seconds[timed],
        episodes_per_second=episodes_per_second(spec.batch_size, seconds[timed]),
        cpu_seconds=cpu[timed],
        gc_seconds=collected[timed],
        optimiser_steps=counted[timed],
        planned_optimiser_steps=spec.planned_optimiser_steps,
        response_length_mean=statistics.fmean(lengths[timed]),
        rss_after_import_mib=memory.baseline_mib,
        peak_rss_mib=peak_resident_mib(),
        peak_over_import_mib=memory.over_baseline_mib,
        trainable_parameters=trainable,
        versions=versions("ppo-tui", "torch", "transformers", "peft"),
        given=describe(spec),
    )


def main() -> None:
    """Reads the spec, runs our engine, prints the result."""
    source = sys.argv[1] if len(sys.argv) == 2 else "-"
    spec = SpeedSpec.from_json(sys.stdin.read() if source == "-" else Path(source).read_text())
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result
        result = measure(spec)
    print(result.to_json())


if __name__ == "__main__":
    main()
