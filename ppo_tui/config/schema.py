"""What a run is: the configuration, one frozen pydantic model a group.

The models are the single source of the command line's `--set`, of presets, of the JSON schema and
of the form in the app; a field's description is its documentation in all of them. Unknown keys are
refused. Nothing here knows torch.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from ppo_tui.config.rewards import AnyRewardTerm, HumanTerm, SentimentTerm

SCHEMA_VERSION: Final = 1

BUNDLED = "bundled"
"""The value of `model.name` and `data.prompts` that means what ppo-tui ships itself."""

Quantization = Literal["none", "int8", "nf4"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Task = Literal["generate"]


class Group(BaseModel):
    """Base of the configuration's groups."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelConfig(Group):
    """The base model: policy, reference and critic are all made from this one copy."""

    name: str = Field(BUNDLED, min_length=1)
    """A hub id such as Qwen/Qwen2.5-0.5B-Instruct, a local folder, or `bundled`."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; its default branch if left out."""
    quantization: Quantization = "none"
    """How the frozen base weights are held: none, int8, or nf4 (4 bits, double quantisation)."""
    dtype: Dtype = "auto"
    """Type of the unquantised weights and of the computation: bfloat16 where the device has it."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for a model whose author you trust."""


class AdapterConfig(Group):
    """The trained part: low-rank adapters on the frozen base (LoRA, arXiv:2106.09685)."""

    method: Literal["lora", "rslora"] = "lora"
    """lora scales by alpha/rank, rslora by alpha/sqrt(rank) (arXiv:2312.03732)."""
    rank: int = Field(16, ge=1, le=1024)
    """Rank of the update; 1 to 32 is enough for reinforcement learning."""
    alpha: FiniteFloat = Field(32.0, gt=0)
    """Scale of the update before it is divided by the rank."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that get an adapter; all but the output head by default."""

    @model_validator(mode="after")
    def _names_a_layer(self) -> AdapterConfig:
        if isinstance(self.targets, tuple) and not self.targets:
            raise ValueError("targets must name at least one layer, or be all-linear")
        return self


class DataConfig(Group):
    """The prompts that the policy answers."""

    prompts: str = Field(BUNDLED, min_length=1)
    """A .txt (one prompt a line), .jsonl, .csv or .parquet file, or `bundled`."""
    column: str | None = None
    """Column that holds the prompt; `prompt` if left out. Not for .txt."""
    template: str | None = None
    """Text around each prompt, with {prompt} in it; `chat` uses the model's chat template."""
    system: str | None = None
    """System message in front of each prompt; only with template: chat."""
    eval_fraction: FiniteFloat = Field(0.1, ge=0, lt=1)
    """Share of the prompts that is held out for evaluation."""
    max_prompt_tokens: int | None = Field(None, ge=1)
    """Longest prompt in tokens; the model's context less the response if left out."""
    overlong: Literal["error", "drop", "truncate"] = "error"
    """What happens to a longer prompt; truncate keeps its end."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the split and of the order of the prompts."""

    @model_validator(mode="after")
    def _template_has_a_place_for_the_prompt(self) -> DataConfig:
        if self.template not in (None, "chat") and "{prompt}" not in (self.template or ""):
            raise ValueError("template must contain {prompt}, or be chat")
        if self.system is not None and self.template != "chat":
            raise ValueError("system needs template: chat")
        return self


class RewardConfig(Group):
    """What is wanted of a response: a weighted sum of terms, and how the sum is shaped."""

    terms: tuple[AnyRewardTerm, ...] = Field((SentimentTerm(),), min_length=1)
    """The terms, each {kind, weight, ...options of the kind}."""
    clip: FiniteFloat | None = Field(None, gt=0)
    """Limit the score to [-clip, clip], after scaling."""
    scaling: Literal["none", "running"] = "none"
    """running divides the score by its running standard deviation over the run."""
    whiten: bool = False
    """Scale the per-token rewards to unit variance over the batch, keeping their mean."""
    timeout_seconds: FiniteFloat | None = Field(600.0, gt=0)
    """Longest that the reward may take for a batch; then the run fails. null waits for ever."""

    @model_validator(mode="before")
    @classmethod
    def _a_single_term_may_stand_alone(cls, values: Any) -> Any:
        # `reward: human`, and `reward: {kind: human, from: PATH}`.
        if isinstance(values, str):
            return {"terms": [{"kind": values}]}
        if isinstance(values, dict) and "kind" in values and "terms" not in values:
            return {"terms": [values]}
        return values

    @property
    def learns_from_ratings(self) -> bool:
        """Whether a term is fitted to the ratings that this run gets."""
        return any(isinstance(term, HumanTerm) and term.source is None for term in self.terms)

    @model_validator(mode="after")
    def _labels_differ(self) -> RewardConfig:
        labels = [term.label for term in self.terms]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"two terms are called {twice[0]!r}: give one of them a name")
        if sum(isinstance(term, HumanTerm) and term.source is None for term in self.terms) > 1:
            raise ValueError("only one human term can learn from the ratings of this run")
        reserved = {"score", "total"} & set(labels)
        if reserved:
            raise ValueError(f"a term cannot be called {sorted(reserved)[0]!r}: the name is taken")
        return self


class RatingsConfig(Group):
    """Which texts people are asked to rate, and whether the run waits for them."""

    mode: Literal["wait", "flow"] = "flow"
    """wait rests every so many steps until a round is rated; flow goes on with what there is."""
    first: int = Field(20, ge=5)
    """Ratings that `reward: human` must have before the first step, in either mode."""
    every: int = Field(10, ge=1)
    """wait: steps from one round to the next."""
    per_round: int = Field(10, ge=1)
    """wait: ratings of a round."""
    timeout_minutes: FiniteFloat | None = Field(None, gt=0)
    """How long to wait for people; then the run goes on if it can, or stops. null waits on."""
    candidates: int = Field(256, ge=8)
    """reward: human: responses written before the first step, to choose from and to learn the
    spread of texts."""
    pool: int = Field(8, ge=0)
    """Responses of each step that are kept to be rated, now or in another run; 0 keeps none."""
    use: tuple[str, ...] = ()
    """Ratings of other runs on the same base that count as well: run folders or ratings files."""


class RolloutConfig(Group):
    """How responses are sampled. The sampled distribution is the scored one unless cut below."""

    batch_size: int = Field(64, ge=1)
    """Responses (episodes) a step."""
    samples_per_prompt: int = Field(1, ge=1)
    """Responses to each prompt; batch_size must be a multiple."""
    response_tokens: int = Field(32, ge=1)
    """Longest response in tokens."""
    temperature: FiniteFloat = Field(1.0, gt=0)
    """Divides the logits when sampling and in every log-probability."""
    top_k: int = Field(0, ge=0)
    """Sample from the k likeliest tokens; 0 is off. Breaks the match."""
    top_p: FiniteFloat = Field(1.0, gt=0, le=1)
    """Sample from the likeliest tokens that hold this probability; 1 is off. Breaks the match."""
    missing_eos_penalty: FiniteFloat = Field(0.0, ge=0)
    """Subtracted from the score of a response that did not end by itself."""

    @model_validator(mode="after")
    def _whole_groups(self) -> RolloutConfig:
        if self.batch_size % self.samples_per_prompt:
            raise ValueError("batch_size must be a multiple of samples_per_prompt")
        return self


class PPOConfig(Group):
    """Proximal policy optimisation (arXiv:1707.06347) with a KL penalty to the base model."""

    kl_coef: FiniteFloat = Field(0.05, ge=0)
    """Weight of the KL penalty (beta); where the adaptive controller starts."""
    kl_controller: Literal["fixed", "adaptive"] = "fixed"
    """adaptive moves kl_coef towards kl_target (arXiv:1909.08593)."""
    kl_target: FiniteFloat = Field(6.0, gt=0)
    """KL to the base per sequence, in nats, that the adaptive controller aims at."""
    kl_horizon: FiniteFloat = Field(10_000.0, gt=0)
    """Episodes over which the adaptive controller moves kl_coef by about its own size."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the per-token KL in the reward; k1 is the unbiased one."""
    epochs: int = Field(4, ge=1)
    """Passes over each batch of experience."""
    minibatches: int = Field(4, ge=1)
    """Optimiser steps a pass; batch_size must be a multiple."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Sequences in memory at a time (gradient accumulation); the result does not depend on it."""
    clip: FiniteFloat = Field(0.2, gt=0, lt=1)
    """Clip range of the probability ratio below 1, and above 1 unless clip_high is set."""
    clip_high: FiniteFloat | None = Field(None, gt=0)
    """Clip range above 1 (clip-higher, arXiv:2503.14476)."""
    dual_clip: FiniteFloat | None = Field(None, gt=1)
    """Bound c of the objective for negative advantages (dual clip, arXiv:1912.09729)."""
    value: Literal["head", "adapter"] = "head"
    """The critic: a scalar head on the policy's trunk, or with a LoRA of its own on the base."""
    value_clip: FiniteFloat | None = Field(0.2, gt=0)
    """How far a value may move from its old one within a step before it is clipped; null is off."""
    value_coef: FiniteFloat = Field(0.5, ge=0)
    """Weight of the value loss beside the policy loss."""
    gamma: FiniteFloat = Field(1.0, ge=0, le=1)
    """Discount a token."""
    lam: FiniteFloat = Field(0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation (arXiv:1506.02438)."""
    whiten_advantages: bool = True
    """Give the advantages mean 0 and variance 1 over the batch's tokens."""
    entropy_coef: FiniteFloat = Field(0.0, ge=0)
    """Weight of an entropy bonus."""
    stop_kl: FiniteFloat | None = Field(None, gt=0)
    """End a step's epochs early when the policy's KL to itself before the step passes this."""


class OptimConfig(Group):
    """AdamW and its learning rate."""

    lr: FiniteFloat = Field(1e-4, gt=0)
    """Learning rate of the adapter (where `adaptive` starts)."""
    value_lr: FiniteFloat | None = Field(None, gt=0)
    """Learning rate of the critic's own parameters; lr if left out. Follows the same schedule."""
    schedule: Literal["constant", "linear", "cosine", "adaptive"] = "constant"
    """linear and cosine fall to 0 at the last step; adaptive follows the policy's measured KL."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the rate rises linearly to lr."""
    kl_target: FiniteFloat = Field(0.01, gt=0)
    """adaptive: the policy KL (k3, old to new, mean a token) a step should have."""
    min_lr: FiniteFloat = Field(1e-7, gt=0)
    """adaptive: lower bound of the rate."""
    max_lr: FiniteFloat = Field(1e-2, gt=0)
    """adaptive: upper bound of the rate."""
    max_grad_norm: FiniteFloat = Field(1.0, gt=0)
    """The gradient's global norm is clipped to this, once per optimiser step."""
    betas: tuple[FiniteFloat, FiniteFloat] = (0.9, 0.999)
    """Decay rates of Adam's moments."""
    eps: FiniteFloat = Field(1e-5, gt=0)
    """Adam's epsilon."""
    weight_decay: FiniteFloat = Field(0.0, ge=0)
    """Decoupled weight decay."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> OptimConfig:
        if any(not 0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in [0, 1)")
        if self.schedule == "adaptive" and not self.min_lr <= self.lr <= self.max_lr:
            raise ValueError("lr must lie between min_lr and max_lr for schedule: adaptive")
        return self


class EvalConfig(Group):
    """Base against tuned on the held-out prompts, and the share of the optimum."""

    every: int = Field(0, ge=0)
    """Evaluate every so many steps; 0 is off."""
    at_end: bool = True
    """Evaluate after the last step."""
    prompts: int = Field(16, ge=1)
    """Held-out prompts that are used; all of them if there are fewer."""
    samples: int = Field(64, ge=1)
    """Responses of the tuned model to each prompt."""
    reference_samples: int = Field(64, ge=2)
    """Responses of the base to each prompt, to estimate the optimum; more of them flatter less."""
    watch_prompts: int = Field(4, ge=0)
    """Held-out prompts that base and policy answer while the run goes on, to look at; 0 is off."""
    watch_every: int = Field(10, ge=1)
    """The policy answers the watched prompts every so many steps; the base does once."""


class CheckpointConfig(Group):
    """When the run's whole state is saved."""

    every: int = Field(20, ge=0)
    """Save every so many steps; 0 saves at the end only."""
    keep: int = Field(2, ge=1)
    """How many checkpoints are kept, the newest."""
    keep_best: bool = True
    """Keep the one that did best in an evaluation as well, however old; saved when it is found."""


class EngineConfig(Group):
    """How the run is carried out on the device; changes what is learnt by rounding alone."""

    memory_gib: FiniteFloat | None = Field(None, gt=0)
    """Memory that the run may take, in GiB; all of the device's if left out."""
    micro_batch_tokens: int | None = Field(None, ge=1)
    """Tokens in a forward pass of scoring and update; what fits the memory if left out."""
    rollout: Literal["auto", "slots", "plain"] = "auto"
    """slots decodes in a cache of fixed size and refills rows that have ended; plain does not."""
    rollout_weights: Literal["auto", "merged", "adapters"] = "auto"
    """merged decodes on a copy of the weights with the adapter added in, adapters on what is held;
    auto takes merged where the copy fits."""
    rollout_slots: int | None = Field(None, ge=1)
    """Responses that are decoded at a time; what fits the memory if left out."""
    cuda_graphs: Literal["auto", "never"] = "auto"
    """Replay each decoding step as one CUDA graph, which saves launching its kernels one by one."""
    packing: Literal["auto", "never"] = "auto"
    """Score and train on sequences laid end to end, without padding, where the model allows it."""
    checkpointing: Literal["auto", "always", "never"] = "auto"
    """Compute a block's activations again in the backward pass instead of keeping them; auto does
    where they do not fit."""


class RunConfig(Group):
    """A whole run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this file's form."""
    description: str = ""
    """What the run is for, in a sentence."""
    task: Task = "generate"
    """generate: a causal model, one action a token."""
    model: ModelConfig = ModelConfig()
    adapter: AdapterConfig = AdapterConfig()
    data: DataConfig = DataConfig()
    reward: RewardConfig = RewardConfig()
    ratings: RatingsConfig = RatingsConfig()
    rollout: RolloutConfig = RolloutConfig()
    ppo: PPOConfig = PPOConfig()
    optim: OptimConfig = OptimConfig()
    engine: EngineConfig = EngineConfig()
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    steps: int = Field(100, ge=1)
    """PPO steps, each one batch of responses."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of sampling, shuffling and initialisation."""
    device: Device = "auto"
    """Where to train; auto takes cuda (ROCm counts as it), then mps, then cpu."""

    @model_validator(mode="after")
    def _minibatches_divide_the_batch(self) -> RunConfig:
        if self.rollout.batch_size % self.ppo.minibatches:
            raise ValueError(
                f"rollout.batch_size ({self.rollout.batch_size}) must be a multiple of "
                f"ppo.minibatches ({self.ppo.minibatches})"
            )
        if self.optim.warmup_steps >= self.steps:
            raise ValueError(
                f"optim.warmup_steps ({self.optim.warmup_steps}) must be less than "
                f"steps ({self.steps})"
            )
        return self

    @model_validator(mode="after")
    def _waiting_has_a_reason(self) -> RunConfig:
        if self.ratings.mode == "wait" and not self.reward.learns_from_ratings:
            raise ValueError("ratings.mode: wait needs a reward term of kind human, without from")
        if self.ratings.use and not self.reward.learns_from_ratings:
            raise ValueError("ratings.use needs a reward term of kind human, without from")
        return self

    @property
    def optimizer_steps_per_step(self) -> int:
        """Optimiser steps that one PPO step plans: epochs x minibatches."""
        return self.ppo.epochs * self.ppo.minibatches
