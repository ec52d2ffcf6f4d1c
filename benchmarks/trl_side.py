"""TRL's side of `make bench-speed`: PPO steps of trl 1.12.0's PPOTrainer, timed in TRL's own venv.

    python -m benchmarks.trl_side SPEC.json    (`-` for stdin; SPEC: speed_contract.SpeedSpec)

It prints one speed_contract.SpeedResult as JSON. TRL's code runs as released: nothing is patched.
It runs on the CPU, unless CUDA_VISIBLE_DEVICES names a GPU and the spec asks for it, as
`make bench-gpu` does.

What TRL is given, so that it pays for nothing that our engine does not do:

- **Policy**: the spec's model in its dtype with the same LoRA. With `peft_config` TRL needs no
  second copy as the reference: it is the policy with its adapter off.
- **Reward model**: TRL wants a module with a backbone and a `score` head. It gets one that reads
  the share of even token ids: no matrix product, no parameters.
- **Value model**: TRL cannot take values from the policy's own forward pass; it runs a second
  module, once in the rollout and once in every forward pass of the update. `shared` hands it a
  scalar head on the *policy's own trunk*, LoRA included: the same critic as ours, no second copy
  of the weights, no further optimiser state; only the trunk is run twice. It is the smallest thing
  that TRL accepts, and less than its users have. `separate` is what TRL's documentation shows: a
  sequence-classification model of its own, trained in full.
- **Optimiser steps**: as released, `num_mini_batches` adds no optimiser step
  (huggingface/trl#5645), since accelerate accumulates over the whole batch. The accelerator's
  public `gradient_accumulation_steps` is set to one minibatch after construction, so that both
  engines make epochs x minibatches steps. The steps reported are counted at the optimiser.
- **Rollout**: the whole batch in one `generate` call, pure sampling.
- **Precision**: a float32 model runs without mixed precision, a bfloat16 one with bf16 autocast,
  which is TRL's default.
- **Off**: gradient checkpointing, evaluation, saving, sample generations, progress bars, trackers.

Each sample goes forward and backward `epochs` times, as in our engine. What TRL does not do stays
undone: it clips no gradients.
"""

from __future__ import annotations

import os

# Before the imports that read them: no network, no advice about experimental code, no GPU unless
# one was named.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import contextlib
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
)
from transformers.modeling_outputs import BaseModelOutput
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.gpu_contract import GIB
from benchmarks.gpu_device import peak_memory
from benchmarks.speed_contract import (
    CollectorClock,
    ResidentPeak,
    SpeedResult,
    SpeedSpec,
    episodes_per_second,
    peak_resident_mib,
    versions,
)


@dataclass
class Counts:
    """What happened, one entry a PPO step, gathered through TRL's own extension points."""

    finished_at: list[float] = field(default_factory=list)
    cpu_at: list[float] = field(default_factory=list)
    optimiser_steps: list[int] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    scored_tokens: list[int] = field(default_factory=list)
    gc_seconds: list[float] = field(default_factory=list)
    optimiser_steps_now: int = 0
    scored_tokens_now: int = 0


class TokenShare(nn.Module):
    """A backbone with one hidden feature: the share of even ids so far, less one half."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> BaseModelOutput:
        """Both `[B, T]`; the hidden states are one tensor `[B, T, 1]`."""
        real = attention_mask.float()
        self.counts.scored_tokens_now += int(real.sum())
        even = (input_ids % 2 == 0).float() * real
        share = even.cumsum(1) / real.cumsum(1).clamp(min=1.0) - 0.5
        return BaseModelOutput(hidden_states=(share.unsqueeze(-1),))


class TokenShareReward(nn.Module):
    """The cheapest reward model that TRL accepts: `TokenShare` under a head that passes it on."""

    base_model_prefix = "backbone"

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.backbone = TokenShare(counts)
        self.score = nn.Identity()


class HeadOnPolicyTrunk(nn.Module):
    """The smallest value model that TRL accepts: a zero scalar head on the policy's own trunk."""

    base_model_prefix = "trunk"

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        # peft puts LoRA inside this module in place, so the trunk is the adapted one, like ours.
        self.trunk = policy.base_model
        self.score = nn.Linear(policy.config.hidden_size, 1, bias=False, dtype=policy.dtype)
        nn.init.zeros_(self.score.weight)


class PromptCollator:
    """Pads prompts on the left and counts their tokens.

    Response lengths are then known: the tokens that the reward model sees, less these.
    """

    def __init__(self, pad_token_id: int, counts: Counts) -> None:
        self.pad_token_id = pad_token_id
        self.counts = counts

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Token ids `[B, P]`; TRL makes the mask itself, from pad."""
        prompts = [row["input_ids"] for row in rows]
        width = max(map(len, prompts))
        self.counts.prompt_tokens.append(sum(map(len, prompts)))
        padded = [[self.pad_token_id] * (width - len(p)) + p for p in prompts]
        return {"input_ids": torch.tensor(padded)}


class StepClock(TrainerCallback):
    """Notes the time and the counts at the end of each PPO step."""

    def __init__(self, counts: Counts, collector: CollectorClock) -> None:
        self.counts = counts
        self.collector = collector

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the first step."""
        self.counts.finished_at.append(time.perf_counter())
        self.counts.cpu_at.append(time.process_time())
        self.collector.seconds = 0.0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Ends a step; the next one starts at once."""
        counts = self.counts
        counts.finished_at.append(time.perf_counter())
        counts.cpu_at.append(time.process_time())
        counts.optimiser_steps.append(counts.optimiser_steps_now)
        counts.scored_tokens.append(counts.scored_tokens_now)
        counts.gc_seconds.append(self.collector.seconds)
        counts.optimiser_steps_now = counts.scored_tokens_now = 0
        self.collector.seconds = 0.0


def make_trainer(spec: SpeedSpec, counts: Counts, clock: StepClock, output_dir: str) -> PPOTrainer:
    """TRL's trainer for this spec, with everything off that is no part of a PPO step."""
    tokenizer = AutoTokenizer.from_pretrained(spec.model, padding_side="left")
    dtype = getattr(torch, spec.dtype)
    policy = AutoModelForCausalLM.from_pretrained(spec.model, dtype=dtype)
    if spec.value == "shared":
        value: nn.Module = HeadOnPolicyTrunk(policy)
    else:
        value = AutoModelForSequenceClassification.from_pretrained(
            spec.model, num_labels=1, dtype=dtype
        )
    config = PPOConfig(
        output_dir=output_dir,
        use_cpu=spec.device == "cpu",
        bf16=spec.dtype == "bfloat16",
        gradient_checkpointing=False,
        eval_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        num_sample_generations=0,
        seed=spec.seed,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        adam_epsilon=1e-5,
        per_device_train_batch_size=spec.micro_batch_size,
        gradient_accumulation_steps=spec.batch_size // spec.micro_batch_size,
        num_mini_batches=spec.minibatches,
        num_ppo_epochs=spec.epochs,
        total_episodes=(spec.warmup + spec.steps) * spec.batch_size,
        local_rollout_forward_batch_size=spec.batch_size,
        response_length=spec.response_tokens,
        stop_token="eos" if spec.lengths == "mixed" else None,
        temperature=spec.temperature,
        kl_coef=spec.kl_coef,
    )
    lora = spec.lora and LoraConfig(
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        target_modules=spec.lora.targets,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=TokenShareReward(counts),
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": spec.prompt_stream()}),
        data_collator=PromptCollator(tokenizer.pad_token_id, counts),
        callbacks=[clock],
        peft_config=lora,
    )
    trainer.remove_callback(PrinterCallback)
    # One optimiser step a minibatch, which is what `num_mini_batches` promises.
    trainer.accelerator.gradient_accumulation_steps = spec.minibatch_size // spec.micro_batch_size

    def count_step(*_: Any) -> None:
        counts.optimiser_steps_now += 1

    # accelerate's wrapper skips a step while it accumulates: the optimiser inside knows the real.
    trainer.optimizer.optimizer.register_step_post_hook(count_step)
    return trainer


def describe(spec: SpeedSpec) -> dict[str, str]:
    """In words for the report: what TRL was given in this case."""
    value = {
        "shared": "zero-initialised scalar head on the policy's own trunk with LoRA: no second "
        "copy of the weights, no further optimiser state (the smallest value model that TRL "
        "accepts; it runs the trunk a second time)",
        "separate": "a sequence-classification model of its own from the same folder, trained in "
        "full, as TRL's documentation shows",
    }[spec.value]
    lora = spec.lora
    adapter = f"LoRA rank {lora.rank} on {lora.targets}" if lora else "trained in full"
    return {
        "policy": f"the case's model in {spec.dtype}, {adapter}",
        "reference": "the policy with its adapter off" if lora else "TRL's own frozen copy",
        "value model": value,
        "reward model": "share of even token ids: no parameters, no matrix product",
        "rollout": f"one generate call for all {spec.batch_size} prompts, pure sampling at "
        f"temperature {spec.temperature}",
        "update": f"{spec.epochs} epochs x {spec.minibatches} minibatches in micro-batches of "
        f"{spec.micro_batch_size}; the accelerator's gradient_accumulation_steps set to one "
        "minibatch, because as released num_mini_batches adds no optimiser step "
        "(huggingface/trl#5645)",
        "switched off": ", ".join(
            [
                "gradient checkpointing",
                *(["mixed precision"] if spec.dtype == "float32" else []),
                "evaluation, saving, sample generations, progress bars",
            ]
        ),
    }


def measure(spec: SpeedSpec) -> SpeedResult:
    """Runs the spec's warm-up and timed steps, and reports the timed ones."""
    torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    counts = Counts()
    with (
        tempfile.TemporaryDirectory() as output_dir,
        ResidentPeak() as memory,
        CollectorClock() as collector,
    ):
        trainer = make_trainer(spec, counts, StepClock(counts, collector), output_dir)
        trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
        trainer.train()
    peak = peak_memory(torch.device(spec.device)).in_units(GIB)
    timed = slice(spec.warmup, spec.warmup + spec.steps)
    seconds, cpu = (
        [after - before for before, after in itertools.pairwise(ends)][timed]
        for ends in (counts.finished_at, counts.cpu_at)
    )
    # The collator is one batch ahead of the trainer, in the same order.
    responses = [
        (scored - prompts) / spec.batch_size
        for scored, prompts in zip(counts.scored_tokens, counts.prompt_tokens, strict=False)
    ][timed]
    return SpeedResult(
        engine=f"trl ({spec.value} value model)",
        step_seconds=seconds,
        episodes_per_second=episodes_per_second(spec.batch_size, seconds),
        cpu_seconds=cpu,
        gc_seconds=counts.gc_seconds[timed],
        optimiser_steps=counts.optimiser_steps[timed],
        planned_optimiser_steps=spec.planned_optimiser_steps,
        response_length_mean=statistics.fmean(responses),
        rss_after_import_mib=memory.baseline_mib,
        peak_rss_mib=peak_resident_mib(),
        peak_over_import_mib=memory.over_baseline_mib,
        trainable_parameters=trainable,
        versions=versions("trl", "torch", "transformers", "peft", "accelerate"),
        given=describe(spec),
        device_allocated_gib=peak[0],
        device_reserved_gib=peak[1],
    )


def main() -> None:
    """Reads the spec, runs TRL, prints the result."""
    source = sys.argv[1] if len(sys.argv) == 2 else "-"
    spec = SpeedSpec.from_json(sys.stdin.read() if source == "-" else Path(source).read_text())
    with contextlib.redirect_stdout(sys.stderr):  # TRL prints on stdout, which is for the result
        result = measure(spec)
    print(result.to_json())


if __name__ == "__main__":
    main()
