"""The loop: prompts -> rollout -> score -> reward -> advantage -> update -> record.

How it departs from the textbook: old log-probabilities come from a pass of their own, in the very
micro-batches of the first epoch (the ratio then starts at exactly 1); the KL penalty is part of the
reward, as in all RLHF work, and of no loss; responses cut off by their length are not bootstrapped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.data.stream import PromptStream
from ppo_tui.errors import CheckpointError, PpoTuiError
from ppo_tui.evaluation.compare import Evaluation, Evaluator, decode
from ppo_tui.plan.choices import Choices
from ppo_tui.policy.generation import finished
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences
from ppo_tui.ppo import AdaptiveKL, gae, token_rewards, whiten
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.runs.phase import Phase
from ppo_tui.training.answers import Watch, WatchedAnswer, Who
from ppo_tui.training.batches import (
    Experience,
    HealthNote,
    Measured,
    Rollout,
    SampleTrace,
    Scores,
    StepRecord,
    UpdateStats,
)
from ppo_tui.training.beside import Beside
from ppo_tui.training.health import check_decoder, check_start, check_step
from ppo_tui.training.measuring import Measurer
from ppo_tui.training.metrics import PhaseClock, step_metrics
from ppo_tui.training.minibatches import shuffled_minibatches
from ppo_tui.training.rehearsal import rehearse
from ppo_tui.training.room import Room
from ppo_tui.training.schedule import LearningRate
from ppo_tui.training.scoring import Readings, Scorer
from ppo_tui.training.traces import trace_samples
from ppo_tui.training.undo import (
    SMALLER,
    TRIES,
    Before,
    NotFinite,
    check_finite,
    given_up,
    may_be_tried_again,
    undone,
)
from ppo_tui.training.update import Updater, make_optimizer


class Trainer:
    """One PPO run on one loaded model.

    Args:
        config: What the run is.
        roles: The model in its roles, adapters fresh.
        data: The prompts.
        reward: The configured terms.
        on_phase: Called when the run goes over into another phase; may raise to end the run there.
        choices: What the memory plan chose; without, nothing is bounded.
        planned_gib: The peak that it foretold, to be recorded beside the measured one.

    Attributes:
        intact: All is as it was after the last whole step, and worth keeping; not so where a step
            could not be undone, or where what it began with was broken.
        at_rest: Where the generators stood before what failed; None while nothing has. A reward
            that did not answer in time goes on in its thread, and may draw from them.
    """

    def __init__(
        self,
        config: RunConfig,
        roles: Roles,
        data: PromptDataset,
        reward: WeightedSum,
        on_phase: Callable[[Phase], None] = lambda phase: None,
        choices: Choices | None = None,
        planned_gib: float = float("nan"),
    ) -> None:
        self.config = config
        self._planned_gib = planned_gib
        self.roles = roles
        self.data = data
        self.step = 0
        self.intact = True
        self.at_rest: Mapping[str, Any] | None = None
        self.stream = PromptStream(data.train, config.data.seed)
        self.reward = reward
        self.scorer = Scorer(config.reward, config.rollout.missing_eos_penalty, reward)
        self.kl = AdaptiveKL(config.ppo.kl_coef, config.ppo.kl_target, config.ppo.kl_horizon)
        self.learning_rate = LearningRate(config.optim, config.steps)
        roles.decoder.longest_prompt = max(len(prompt.ids) for prompt in data.train)
        self.optimizer = make_optimizer(roles, config.optim)
        # Two generators: how many numbers the sampler draws must not change the shuffles.
        self.sampling_rng = torch.Generator().manual_seed(config.seed)
        self.shuffle_rng = torch.Generator().manual_seed(config.seed + 1)
        self._notes: list[HealthNote] = []
        self.room = Room(roles, config, choices, self._notes.append)
        self._measurer = Measurer(
            roles,
            self.room,
            frozenset(reward.readings),
            keep_reading=config.ratings.pool > 0,
            entropy_gradient=config.ppo.entropy_coef > 0,
            keep_pass=config.ppo.epochs * config.ppo.minibatches == 1,
        )
        self._updater = Updater(
            roles,
            self.room,
            self.optimizer,
            config.ppo,
            config.optim.max_grad_norm,
            self.shuffle_rng,
            measure_after=config.optim.schedule == "adaptive",
        )
        self._evaluator = Evaluator(
            roles, config, data.eval, self._score_for_evaluation, self._measurer.sequence_kl
        )
        self._watch = Watch(roles, config, data.eval, self._score_for_evaluation)
        self._prompts_sha256 = _digest(data)
        self._enter = on_phase
        self._clock = PhaseClock(roles.base.device)
        self._before = Before(self)

    def check_start(self) -> list[HealthNote]:
        """What is worth a word before the first step."""
        cannot = self.roles.trunk.cannot_lay_out
        return check_start(self.config, self.roles.base.vocabulary, cannot)

    def engine_in_words(self) -> str:
        """How the run is carried out, for whoever reads its log."""
        return self.room.in_words()

    def steps(self) -> Iterator[StepRecord]:
        """Train, one PPO step an iteration, until the configured number is done.

        Raises:
            TrainingError: A step was not finite however often it was tried; all is as before it.
            RewardError: The reward failed; what the step has changed by then is its draws alone.
        """
        if self.roles.base.device.type == "cuda" and self.step < self.config.steps:
            self.rehearse()
        while self.step < self.config.steps:
            yield self._one_step()

    def rehearse(self) -> None:
        """Try the longest batch there can be; micro-batches get smaller where it does not fit.

        Raises:
            OutOfMemory: Not even one response at a time fits.
        """
        rehearse(self.roles, self.room, self.config, [prompt.ids for prompt in self.data.train])

    def take_notes(self) -> list[HealthNote]:
        """What has given way since it was last asked; a step's record has what did by then."""
        notes = list(self._notes)
        self._notes.clear()
        return notes

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
            "engine": self.room.state_dict(),
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
        if state["engine"] is not None:
            self.room.load_state_dict(state["engine"])

    # ---- the stations of a step

    def _one_step(self) -> StepRecord:
        """A step; undone and tried again where a number in it was not finite."""
        self._before.take()
        self.at_rest = None
        for tries in range(1, TRIES + 1):
            try:
                return self._try_step(SMALLER ** (tries - 1))
            except Exception as error:
                again = may_be_tried_again(error)
                self._undo(draws=tries == TRIES or not again)
                if not isinstance(error, PpoTuiError) or not again:
                    raise
                last = error
            if tries < TRIES:
                self._notes.append(undone(self.step + 1, last, tries))
        if isinstance(last, NotFinite) and last.of_the_state:
            self.intact = False
        raise given_up(self.step + 1, last) from last

    def _undo(self, *, draws: bool) -> None:
        """Put things back as they were before the step, for another try or for a checkpoint."""
        self.intact = False
        # A device that is gone takes nothing back; the error that led here is the one to report.
        with contextlib.suppress(RuntimeError):
            self._before.put_back(draws=draws)
            self.at_rest = self._before.draws if draws else None
            self.intact = True

    def _try_step(self, rate: float) -> StepRecord:
        """A step with its learning rate times `rate`."""
        self._clock.restart()
        rollout = self._roll_out()
        scores, experience, traces, update = self._learn_from(rollout, rate)
        metrics = step_metrics(rollout, scores, experience, update, self.kl.coef, self._clock)
        metrics["memory/planned_gib"] = self._planned_gib
        notes = [
            *self.take_notes(),
            *check_decoder(self.roles.decoder.graphs_refused),
            *check_step(self.config, rollout, scores, experience, update, self.roles.base.dtype),
        ]
        # Last, when nothing can break any more that would have to be undone.
        self.learning_rate.observe(self.step, update.policy_kl)
        if self.config.ppo.kl_controller == "adaptive":
            self.kl.update(metrics["kl/ref"], len(rollout.prompts))
        self.step += 1
        return StepRecord(self.step, metrics, traces, tuple(notes))

    def _learn_from(
        self, rollout: Rollout, rate: float = 1.0
    ) -> tuple[Scores, Experience, tuple[SampleTrace, ...], UpdateStats]:
        """Score, measure and train; what needs no model is done beside what does."""
        steps = shuffled_minibatches(
            rollout.sequences.lengths, self.config.ppo.minibatches, self.shuffle_rng
        )
        self._enter(Phase.SCORING)
        # A reward that reads nothing of the model need not wait for what the model measures.
        asked = None if self.reward.readings else Beside(lambda: self._score(rollout, {}))
        try:
            measured = self._measure(rollout, steps)
        except Exception:
            if asked:
                asked.settle()  # what it learns of these scores must not come after the undoing
            raise
        with self._clock.time("reward"):
            scores = asked.result() if asked else self._score(rollout, measured.readings)
        lr = rate * self.learning_rate.at(self.step)
        value_lr = rate * self.learning_rate.value_at(self.step)
        while True:
            experience = self._estimate(rollout, scores, measured)
            traces = Beside(partial(self._trace, rollout, scores, experience))
            with self._clock.time("update"):
                self._enter(Phase.UPDATE)
                update = self._updater.update(experience, lr, value_lr)
            traced = traces.result()
            if update is not None:
                return scores, experience, traced, update
            # What was measured goes first: it may hold the graph of a pass.
            del measured, experience, traces
            self._enter(Phase.SCORING)
            measured = self._measure(rollout, steps)

    def _roll_out(self) -> Rollout:
        """Sample a response to each of the next prompts."""
        self._enter(Phase.ROLLOUT)
        settings = self.config.rollout
        with self._clock.time("rollout"):
            taken = self.stream.take(settings.batch_size // settings.samples_per_prompt)
            prompts = tuple(p for p in taken for _ in range(settings.samples_per_prompt))
            sequences, logprobs = self.roles.decoder.sample(
                [prompt.ids for prompt in prompts],
                settings.response_tokens,
                self.sampling_rng,
                top_k=settings.top_k,
                top_p=settings.top_p,
            )
            what = "What was sampled has log-probabilities that are"
            check_finite(what, logprobs, sequences.response_mask, of_the_state=True)
            ended = finished(sequences, self.roles.base.vocabulary.eos_ids)
            texts = decode(self.roles, sequences)
            return Rollout(prompts, sequences, texts, ended, logprobs)

    def _score(self, rollout: Rollout, readings: Readings) -> Scores:
        """Ask the reward."""
        texts = [prompt.text for prompt in rollout.prompts]
        return self.scorer.score(texts, rollout.responses, rollout.finished, readings)

    def _measure(self, rollout: Rollout, steps: tuple[Tensor, ...]) -> Measured:
        """What policy, reference and critic say of the responses before the update."""
        with self._clock.time("score"):
            measured = self._measurer.measure(rollout.sequences, steps)
            mask = rollout.sequences.response_mask
            for what, values in (
                ("The policy's log-probabilities are", measured.logprobs),
                ("The base's log-probabilities are", measured.ref_logprobs),
                ("The critic's values are", measured.values),
            ):
                check_finite(what, values, mask, of_the_state=True)
            return measured

    def _trace(
        self, rollout: Rollout, scores: Scores, experience: Experience
    ) -> tuple[SampleTrace, ...]:
        return trace_samples(
            rollout, scores, experience, self.roles.base.tokenizer, self.config.ratings.pool
        )

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
        readings = self._measurer.read(sequences) if self.reward.readings else None
        scores = self.scorer.score(prompts, responses, ended, readings, learn=False)
        return scores.score.double().cpu().numpy(), scores.shaped.double().cpu().numpy()


def _digest(data: PromptDataset) -> str:
    digest = hashlib.sha256()
    for prompt in data.train:
        digest.update(repr(prompt.ids).encode())
    return digest.hexdigest()
