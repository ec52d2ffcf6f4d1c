"""The loop: prompts -> rollout -> score -> reward -> advantage -> update -> record.

How it departs from the textbook: old log-probabilities come from a pass of their own, in the very
micro-batches of the first epoch (the ratio then starts at exactly 1); the KL penalty is part of the
reward, as in all RLHF work, and of no loss; responses cut off by their length are not bootstrapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.data.stream import PromptStream
from ppo_tui.errors import CheckpointError
from ppo_tui.evaluation.compare import Evaluation, Evaluator, decode
from ppo_tui.policy.generation import finished, generate
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences
from ppo_tui.ppo import AdaptiveKL, gae, token_rewards, whiten
from ppo_tui.rewards.protocol import REFERENCE
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.runs.phase import Phase
from ppo_tui.training.answers import Watch, WatchedAnswer, Who
from ppo_tui.training.batches import (
    Experience,
    HealthNote,
    Measured,
    Rollout,
    Scores,
    StepRecord,
)
from ppo_tui.training.health import check_start, check_step
from ppo_tui.training.metrics import PhaseClock, step_metrics
from ppo_tui.training.minibatches import plan_minibatches
from ppo_tui.training.schedule import LearningRate
from ppo_tui.training.scoring import Readings, Scorer
from ppo_tui.training.traces import trace_samples
from ppo_tui.training.update import Updater, make_optimizer


class Trainer:
    """One PPO run on one loaded model.

    Args:
        config: What the run is.
        roles: The model in its roles, adapters fresh.
        data: The prompts.
        reward: The configured terms.
        on_phase: Called when the run goes over into another phase; may raise to end the run there.
    """

    def __init__(
        self,
        config: RunConfig,
        roles: Roles,
        data: PromptDataset,
        reward: WeightedSum,
        on_phase: Callable[[Phase], None] = lambda phase: None,
    ) -> None:
        self.config = config
        self.roles = roles
        self.data = data
        self.step = 0
        self.stream = PromptStream(data.train, config.data.seed)
        self.reward = reward
        self._read = reward.readings | ({REFERENCE} if config.ratings.pool else set())
        self.scorer = Scorer(config.reward, config.rollout.missing_eos_penalty, reward)
        self.kl = AdaptiveKL(config.ppo.kl_coef, config.ppo.kl_target, config.ppo.kl_horizon)
        self.learning_rate = LearningRate(config.optim, config.steps)
        self.optimizer = make_optimizer(roles, config.optim)
        # Two generators: how many numbers the sampler draws must not change the shuffles.
        self.sampling_rng = torch.Generator().manual_seed(config.seed)
        self.shuffle_rng = torch.Generator().manual_seed(config.seed + 1)
        self._updater = Updater(
            roles,
            self.optimizer,
            config.ppo,
            config.optim.max_grad_norm,
            self.shuffle_rng,
            measure_after=config.optim.schedule == "adaptive",
        )
        self._evaluator = Evaluator(roles, config, data.eval, self._score_for_evaluation)
        self._watch = Watch(roles, config, data.eval, self._score_for_evaluation)
        self._prompts_sha256 = _digest(data)
        self._enter = on_phase
        self._clock = PhaseClock()

    def check_start(self) -> list[HealthNote]:
        """What is worth a word before the first step."""
        return check_start(self.config, self.roles.base.vocabulary)

    def steps(self) -> Iterator[StepRecord]:
        """Train, one PPO step an iteration, until the configured number is done."""
        while self.step < self.config.steps:
            yield self._one_step()

    def evaluate(self) -> Evaluation:
        """Compare base and tuned model on the held-out prompts, as they are now."""
        self._enter(Phase.EVALUATING)
        return self._evaluator.evaluate(self.kl.coef)

    def answers(self, who: Who) -> tuple[WatchedAnswer, ...]:
        """Answers to the watched prompts by the base, or by the policy as it is now."""
        if not self.config.eval.watch_prompts:
            return ()
        self._enter(Phase.EVALUATING)
        return self._watch.answers(who)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, besides weights, optimiser and generators; JSON."""
        return {
            "step": self.step,
            "kl_coef": self.kl.coef,
            "learning_rate": self.learning_rate.state_dict(),
            "reward_moments": self.scorer.moments.state_dict(),
            "data": self.stream.state_dict(),
            "prompts_sha256": self._prompts_sha256,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            CheckpointError: The prompts are not those that the run began with.
        """
        if state["prompts_sha256"] != self._prompts_sha256:
            raise CheckpointError(
                "The prompts, their template or the tokenizer have changed since the run began, so "
                "it cannot go on where it was.",
                hint="Put the old ones back, or start a new run.",
                code="checkpoint.prompts_changed",
            )
        self.step = int(state["step"])
        self.kl.coef = float(state["kl_coef"])
        self.learning_rate.load_state_dict(state["learning_rate"])
        self.scorer.moments.load_state_dict(state["reward_moments"])
        self.stream.load_state_dict(state["data"])

    # ---- the stations of a step

    def _one_step(self) -> StepRecord:
        self._clock.restart()
        rollout = self._roll_out()
        measured = self._measure(rollout)
        scores = self._score(rollout, measured)
        experience = self._estimate(rollout, scores, measured)
        lr = self.learning_rate.at(self.step)
        with self._clock.time("update"):
            self._enter(Phase.UPDATE)
            update = self._updater.update(experience, lr, self.learning_rate.value_at(self.step))
        metrics = step_metrics(rollout, scores, experience, update, self.kl.coef, self._clock)
        self.learning_rate.observe(self.step, update.policy_kl)
        if self.config.ppo.kl_controller == "adaptive":
            self.kl.update(metrics["kl/ref"], len(rollout.prompts))
        self.step += 1
        return StepRecord(
            self.step,
            metrics,
            trace_samples(
                rollout,
                scores,
                experience,
                self.roles.base.tokenizer,
                self.config.ratings.pool,
            ),
            tuple(check_step(self.config, scores, experience, update, self.roles.base.dtype)),
        )

    def _roll_out(self) -> Rollout:
        """Sample a response to each of the next prompts."""
        self._enter(Phase.ROLLOUT)
        settings = self.config.rollout
        with self._clock.time("rollout"):
            taken = self.stream.take(settings.batch_size // settings.samples_per_prompt)
            prompts = tuple(p for p in taken for _ in range(settings.samples_per_prompt))
            sequences = generate(
                self.roles,
                [prompt.ids for prompt in prompts],
                settings.response_tokens,
                self.sampling_rng,
                top_k=settings.top_k,
                top_p=settings.top_p,
            )
            ended = finished(sequences, self.roles.base.vocabulary.eos_ids)
            return Rollout(prompts, sequences, decode(self.roles, sequences), ended)

    def _score(self, rollout: Rollout, measured: Measured) -> Scores:
        """Ask the reward."""
        with self._clock.time("reward"):
            texts = [prompt.text for prompt in rollout.prompts]
            return self.scorer.score(texts, rollout.responses, rollout.finished, measured.readings)

    @torch.no_grad()
    def _measure(self, rollout: Rollout) -> Measured:
        """Old and reference log-probabilities and values, in the first epoch's micro-batches.

        And what the model reads in each response, where a reward or a rater asks for it.
        """
        self._enter(Phase.SCORING)
        sequences, ppo = rollout.sequences, self.config.ppo
        readings = _Gathered(len(sequences))
        with self._clock.time("score"):
            plan = plan_minibatches(
                sequences.prompt_lengths + sequences.response_lengths,
                ppo.minibatches,
                ppo.micro_batch_size,
                self.shuffle_rng,
            )
            shape, device = sequences.response_ids.shape, sequences.response_ids.device
            logprobs, reference, values, entropies = (
                torch.zeros(shape, device=device) for _ in range(4)
            )
            for rows in plan.micro_batches:
                rows = rows.to(device)
                batch = sequences.select(rows)
                width = batch.response_ids.shape[1]
                output = self.roles.policy_pass(batch, with_entropy=True)
                assert output.values is not None
                assert output.entropies is not None
                logprobs[rows, :width] = output.logprobs
                values[rows, :width] = output.values
                entropies[rows, :width] = output.entropies
                if REFERENCE in self._read:
                    reference[rows, :width], reading = self.roles.reference_reading(batch)
                    readings.put(REFERENCE, rows, reading)
                else:
                    reference[rows, :width] = self.roles.reference_logprobs(batch)
                self._read_adapters(batch, rows, readings)
            return Measured(logprobs, reference, values, entropies, plan, readings.by_name)

    def _read_adapters(self, batch: Sequences, rows: Tensor, readings: _Gathered) -> None:
        for name in self.reward.readings - {REFERENCE}:
            readings.put(name, rows, self.roles.pooled(name, batch).cpu().numpy())

    @torch.no_grad()
    def read(self, sequences: Sequences) -> Readings:
        """What the reward asks of the model about responses that are not of a step."""
        readings = _Gathered(len(sequences))
        at_once = self.config.ppo.micro_batch_size or self.config.rollout.batch_size
        for rows in torch.split(torch.arange(len(sequences)), at_once):
            batch = sequences.select(rows.to(sequences.response_ids.device))
            if REFERENCE in self.reward.readings:
                readings.put(REFERENCE, rows, self.roles.reference_reading(batch)[1])
            self._read_adapters(batch, rows, readings)
        return readings.by_name

    @torch.no_grad()
    def _estimate(self, rollout: Rollout, scores: Scores, measured: Measured) -> Experience:
        """Rewards a token, and from them advantages and returns."""
        ppo, mask = self.config.ppo, rollout.sequences.response_mask
        rewards = token_rewards(
            scores.shaped,
            measured.logprobs,
            measured.ref_logprobs,
            mask,
            self.kl.coef,
            ppo.kl_estimator,
        )
        if self.config.reward.whiten:
            rewards = whiten(rewards, mask, shift_mean=False)
        advantages, returns = gae(rewards, measured.values, mask, ppo.gamma, ppo.lam)
        if ppo.whiten_advantages:
            advantages = whiten(advantages, mask)
        return Experience(rollout.sequences, mask, measured, rewards, advantages, returns)

    def _score_for_evaluation(
        self, prompts: Any, responses: Any, ended: Tensor, sequences: Sequences
    ) -> tuple[Any, Any]:
        readings = self.read(sequences) if self.reward.readings else None
        scores = self.scorer.score(prompts, responses, ended, readings, learn=False)
        return scores.score.double().cpu().numpy(), scores.shaped.double().cpu().numpy()


class _Gathered:
    """Readings put together from micro-batches, ``[B, D]`` by name."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.by_name: dict[str, NDArray[np.float32]] = {}

    def put(self, name: str, rows: Tensor, reading: NDArray[np.float32]) -> None:
        if name not in self.by_name:
            self.by_name[name] = np.zeros((self._rows, reading.shape[1]), np.float32)
        self.by_name[name][rows.cpu().numpy()] = reading


def _digest(data: PromptDataset) -> str:
    digest = hashlib.sha256()
    for prompt in data.train:
        digest.update(repr(prompt.ids).encode())
    return digest.hexdigest()
