"""The memory plan: the parts of a run against the device's memory, and what would help most."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ppo_tui.config.schema import RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.choices import TIGHT, Choices, choose, stated_budget
from ppo_tui.plan.device import DeviceKind
from ppo_tui.plan.parts import DEVICE, GRAPHS, MemoryPart, Phase, parts_of
from ppo_tui.plan.sizes import Sizes, compute_bytes, sizes_of

Verdict = Literal["fits", "tight", "too large"]

ASSUMED_PROMPT_TOKENS = 64
"""Length of a prompt where neither the data nor the configuration says."""


@dataclass(frozen=True)
class Suggestion:
    """A change that would save memory.

    Attributes:
        setting: The dotted key.
        value: What to set it to.
        saves: Bytes that the total falls by.
        verdict: The verdict after the change; None without a budget.
        explanation: What it is and what it costs, in a sentence.
    """

    setting: str
    value: str | int
    saves: int
    verdict: Verdict | None
    explanation: str

    def to_dict(self) -> dict[str, Any]:
        """The suggestion as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class MemoryPlan:
    """What a run will hold at its peak.

    Attributes:
        parts: All parts; those of one phase are not held in another.
        peak_phase: The phase with the largest sum.
        total: Bytes at the peak: what is always held and what the peak's phase holds.
        budget: Bytes that the run may take, or None where they are not known.
        stated: Whether that is what `engine.memory_gib` allows, and less than the device has.
        verdict: ``fits``, ``tight`` (above 90 % of the budget), ``too large``; None without budget.
        device: What it was computed for.
        choices: How the run is carried out, so that it fits.
        bits: Bits of a number in computation.
        prompt_tokens: Length of a prompt that was reckoned with.
        micro_batch: Sequences of the longest length in a forward pass of scoring and update.
        estimated: Whether the architecture is one that is not known in detail.
        suggestions: What would save memory, the most first.
    """

    parts: tuple[MemoryPart, ...]
    peak_phase: Phase
    total: int
    budget: int | None
    stated: bool
    verdict: Verdict | None
    device: DeviceKind
    choices: Choices
    bits: int
    prompt_tokens: int
    micro_batch: int
    estimated: bool
    suggestions: tuple[Suggestion, ...]

    @property
    def peak_parts(self) -> tuple[MemoryPart, ...]:
        """The parts that are held at the peak; their sum is `total`."""
        return tuple(part for part in self.parts if part.phase in ("always", self.peak_phase))

    @property
    def allocated(self) -> int:
        """What torch's allocator will have handed out at its peak.

        The total less what it does not count, to be compared with
        `torch.cuda.max_memory_allocated`.
        """
        counted = (part for part in self.parts if part.name not in (DEVICE, GRAPHS))
        return _peak(tuple(counted))[0]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        peak = self.peak_parts
        return {
            "parts": [{**asdict(part), "at_peak": part in peak} for part in self.parts],
            "peak_phase": self.peak_phase,
            "total_bytes": self.total,
            "allocated_bytes": self.allocated,
            "budget_bytes": self.budget,
            "budget_stated": self.stated,
            "verdict": self.verdict,
            "device": self.device,
            "choices": self.choices.to_dict(),
            "prompt_tokens": self.prompt_tokens,
            "micro_batch": self.micro_batch,
            "estimated": self.estimated,
            "suggestions": [suggestion.to_dict() for suggestion in self.suggestions],
        }


def plan_memory(
    architecture: Architecture,
    config: RunConfig,
    budget_bytes: int | None,
    device: DeviceKind,
    prompt_tokens: int | None = None,
) -> MemoryPlan:
    """How a run is carried out on a device, and how much memory it then takes at its peak.

    Args:
        architecture: The model's shape.
        config: The run.
        budget_bytes: The device's memory; None where it is not known. `engine.memory_gib` bounds it
            further. Without either there is no verdict.
        device: Where the run is to be.
        prompt_tokens: Longest prompt; if left out, `data.max_prompt_tokens`, or 64 are assumed.
    """
    prompt = prompt_tokens or config.data.max_prompt_tokens or ASSUMED_PROMPT_TOKENS
    choices = choose(architecture, config, budget_bytes, device, prompt)
    budget = stated_budget(config, budget_bytes)
    parts = parts_of(architecture, config, device, prompt, choices)
    sizes = sizes_of(architecture, config, device, prompt, choices)
    total, phase = _peak(parts)
    suggestions = []
    for key, value, changed, explanation in _changes(config, sizes):
        # What the change leaves room for is used: the plan after it is the one that would be made.
        other = choose(architecture, changed, budget_bytes, device, prompt)
        smaller, _ = _peak(parts_of(architecture, changed, device, prompt, other))
        if smaller < total:
            verdict = _verdict(smaller, budget)
            suggestions.append(Suggestion(key, value, total - smaller, verdict, explanation))
    return MemoryPlan(
        parts=parts,
        peak_phase=phase,
        total=total,
        budget=budget,
        stated=budget != budget_bytes,
        verdict=_verdict(total, budget),
        device=device,
        choices=choices,
        bits=8 * compute_bytes(config, device),
        prompt_tokens=prompt,
        micro_batch=sizes.sequences,
        estimated=architecture.estimated,
        suggestions=tuple(sorted(suggestions, key=lambda s: s.saves, reverse=True)),
    )


def _peak(parts: tuple[MemoryPart, ...]) -> tuple[int, Phase]:
    always = sum(part.bytes for part in parts if part.phase == "always")
    phases: tuple[Phase, ...] = ("update", "rollout", "scoring")
    sums = {phase: sum(p.bytes for p in parts if p.phase == phase) for phase in phases}
    largest = max(phases, key=lambda phase: sums[phase])
    return always + sums[largest], largest


def _verdict(total: int, budget: int | None) -> Verdict | None:
    if budget is None:
        return None
    if total > budget:
        return "too large"
    return "tight" if total > TIGHT * budget else "fits"


def _changes(config: RunConfig, sizes: Sizes) -> list[tuple[str, str | int, RunConfig, str]]:
    """Changes that may help, each as (key, value, the changed run, what it costs).

    Args:
        config: The run.
        sizes: Its sizes as it is carried out now.
    """
    changes: list[tuple[str, str | int, RunConfig, str]] = []

    def propose(group: str, field: str, value: str | int, explanation: str) -> None:
        section = getattr(config, group).model_copy(update={field: value})
        changed = config.model_copy(update={group: section})
        changes.append((f"{group}.{field}", value, changed, explanation))

    engine = config.engine
    if sizes.tokens > sizes.sequence and engine.micro_batch_tokens is not None:
        propose(
            "engine",
            "micro_batch_tokens",
            (sizes.tokens + 1) // 2,
            "Keep fewer tokens in memory at a time; slower, with the same result.",
        )
    elif sizes.sequences > 1:
        propose(
            "ppo",
            "micro_batch_size",
            (sizes.sequences + 1) // 2,
            "Keep fewer sequences in memory at a time; slower, with the same result.",
        )
    if engine.checkpointing == "never":
        propose(
            "engine",
            "checkpointing",
            "auto",
            "Compute activations again instead of keeping them; slower, with the same result.",
        )
    if engine.rollout_weights == "merged":
        propose(
            "engine",
            "rollout_weights",
            "auto",
            "Decode without a copy of the weights; slower, with nearly the same result.",
        )
    if engine.rollout_slots is not None and engine.rollout_slots > 1:
        propose(
            "engine",
            "rollout_slots",
            (engine.rollout_slots + 1) // 2,
            "Decode fewer responses at a time; slower, with the same result.",
        )
    if config.model.quantization != "nf4":
        propose(
            "model",
            "quantization",
            "nf4",
            "Hold the frozen weights in 4 bits; rollouts get slower, the text hardly worse.",
        )
    if config.rollout.response_tokens > 1:
        propose(
            "rollout",
            "response_tokens",
            config.rollout.response_tokens // 2,
            "Shorter responses; what is learnt changes with them.",
        )
    half = config.rollout.batch_size // 2
    group = config.rollout.samples_per_prompt
    if half and half % config.ppo.minibatches == 0 and half % group == 0:
        propose(
            "rollout",
            "batch_size",
            half,
            "Fewer responses a step; each step's gradient gets noisier.",
        )
    if config.ppo.value == "adapter":
        propose(
            "ppo",
            "value",
            "head",
            "Read the values from the policy's own trunk instead of a second adapter.",
        )
    return changes
