"""What a run's metrics look like when something is wrong with it: one rule an ailment.

For `runs.diagnosis`, which asks the rules step by step and keeps what they say from flapping. The
rules see metrics only, so that they work on any journal, of whatever version. A metric that a
journal lacks is NaN, and no rule holds of it.

Every threshold has its reason beside it. They are wide: a run that goes well must never be
disturbed, and one that goes badly passes them soon enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ppo_tui.runs.course import ALWAYS_FINITE, Change, Course, short
from ppo_tui.text.figures import number, percent


@dataclass(frozen=True, slots=True)
class Symptom:
    """What a rule sees: in few words, with its numbers, and what to do about it."""

    title: str
    cause: str
    remedy: str
    change: Change | None = None
    level: str = "warning"


Look = Callable[[Course, bool], Symptom | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """When something is wrong.

    Attributes:
        code: Of the finding.
        patience: Steps in a row before it is said, and before it is taken back.
        look: The symptom if there is one. Its second argument is whether the finding stands
            already: then it takes more to be well than it took to be ill.
    """

    code: str
    patience: int
    look: Look


def _not_finite(course: Course, ailing: bool) -> Symptom | None:
    broken = [name for name in ALWAYS_FINITE if math.isnan(course.latest.get(name, 0.0))]
    if not broken:
        return None
    return Symptom(
        "Numbers that are none",
        f"{' and '.join(broken[:2])} {'is' if len(broken) == 1 else 'are'} not a finite number.",
        "Lower the learning rate, or use dtype bfloat16 or float32 in a new run.",
        course.scaled_lr(0.5),
        "error",
    )


def _kl_runaway(course: Course, ailing: bool) -> Symptom | None:
    """Far from the base is where rewards stop meaning what they say.

    Huang et al. 2024 (arXiv:2403.17031) lose at a KL of 50 to 85 nats what PPO had won; targets in
    use are 6 to 10 (Ziegler et al. 2019). In short answers it shows earlier: at a nat a token the
    base would have written each token with a third of the policy's probability.
    """
    kl, length = course.now("kl/ref"), course.now("response/length")
    ease = 0.8 if ailing else 1.0
    a_token = kl / length if length > 0 else math.nan
    if not (kl > 40 * ease or (a_token > ease and kl > 8 * ease)):
        return None
    far = f", {number(a_token)} a token" if a_token > 0 else ""
    return Symptom(
        "KL running away",
        f"The policy is {number(kl)} nats a response away from the base model{far}; beyond 40, or "
        "1 a token, answers tend to get worse while their score still rises.",
        "Raise the KL coefficient; if the answers read badly, go back to an earlier checkpoint.",
        course.raised_kl_coef(),
        "error" if kl > 80 or a_token > 2 else "warning",
    )


def _kl_negative(course: Course, ailing: bool) -> Symptom | None:
    """A KL is never negative; its estimate is by noise only (TRL issues 235, 925, 1857)."""
    kl, ease = course.now("kl/ref"), 0.5 if ailing else 1.0
    if not (kl < -0.5 * ease and -kl > 2 * course.noise("kl/ref") * ease):
        return None
    change = None
    if course.config and course.config.rollout.top_p < 1:
        change = Change("rollout.top_p", 1.0, live=False)
    elif course.config and course.config.rollout.top_k:
        change = Change("rollout.top_k", 0, live=False)
    return Symptom(
        "KL is negative",
        f"The KL to the base model is {number(kl)} nats, beyond what noise explains: the responses "
        "are not sampled from the distribution that is scored.",
        "Sample without top_k and top_p (0 and 1).",
        change,
    )


def _entropy_collapse(course: Course, ailing: bool) -> Symptom | None:
    """A policy that has stopped choosing learns nothing more (Cui et al. 2025, arXiv:2505.22617).

    Entropy falls in every run that goes well, to a half or so; to under a third it has collapsed.
    """
    start, entropy = course.start("policy/entropy"), course.now("policy/entropy")
    if not entropy < start * (0.4 if ailing else 0.3):
        return None
    return Symptom(
        "Entropy collapse",
        f"The policy's entropy fell from {number(start)} to {number(entropy)} nats a token: it "
        "gives nearly the same answers each time, and explores no more.",
        "Raise the KL coefficient, or lower the learning rate; ppo.entropy_coef helps in a new "
        "run.",
        course.raised_kl_coef(),
        "error" if entropy < 0.1 * start else "warning",
    )


def _length_drift(course: Course, ailing: bool) -> Symptom | None:
    """Length is the first thing a reward is hacked by (Singhal et al. 2023, arXiv:2310.03716)."""
    start, length = course.start("response/length"), course.now("response/length")
    grew, shrank = (2.0, 0.5) if ailing else (2.5, 0.4)
    wanted = course.now("reward/length") > course.start("reward/length")
    if wanted or not abs(length - start) >= 5 or shrank * start <= length <= grew * start:
        return None
    longer = length > start
    return Symptom(
        "Answers grow longer" if longer else "Answers grow shorter",
        f"Responses went from {number(start)} to {number(length)} tokens, and no term of the "
        "reward asks for that by its name.",
        "Look at the samples: is length what is rewarded? A term of kind length holds it; a higher "
        "KL coefficient slows it.",
        course.raised_kl_coef(),
    )


def _eos_lost(course: Course, ailing: bool) -> Symptom | None:
    """Answers that no longer end are the usual way out of a reward (the EOS trick, 2403.17031)."""
    start, rate = course.start("response/eos_rate"), course.now("response/eos_rate")
    if not (start >= 0.2 and rate < start * (0.6 if ailing else 0.5)):
        return None
    return Symptom(
        "Answers no longer end",
        f"{percent(rate)} of the responses end by themselves, {percent(start)} did at the start; "
        "the others are cut off at their longest.",
        "A penalty on responses that are cut off (1 is usual), or longer responses, in a new run.",
        Change("rollout.missing_eos_penalty", 1.0, live=False),
        "error" if rate < 0.1 * start else "warning",
    )


def _value_useless(course: Course, ailing: bool) -> Symptom | None:
    """Below 0 a critic is worse than none: it adds the variance it is there to take away."""
    explained = course.now("value/explained_variance", 10)
    if not (course.seen >= 20 and explained < (0.1 if ailing else 0.0)):
        return None
    critic = course.config.ppo.value if course.config else None
    if critic == "adapter":
        change = Change("optim.value_lr", short(2 * _value_rate(course)), live=False)
        remedy = "Raise optim.value_lr in a new run; gamma and lambda at 1 need no critic at all."
    else:
        change = Change("ppo.value", "adapter", live=False)
        remedy = "Give the critic an adapter of its own (ppo.value: adapter) in a new run."
    return Symptom(
        "Value function useless",
        f"The critic's explained variance is {number(explained)} after {course.seen} steps, and "
        "below 0 the mean return foretells the returns better than it does.",
        remedy,
        change,
    )


def _reward_hacked(course: Course, ailing: bool) -> Symptom | None:
    """Reward up, variety down: one text that scores well, again and again (TRL issue 204).

    A run that goes well loses up to half of its different word pairs, as all answers come to
    please. Longer texts have fewer in proportion, because words recur (Heaps' law); that is allowed
    for.
    """
    start, distinct = course.start("response/distinct_2"), course.now("response/distinct_2")
    before, reward = course.start("reward/score"), course.now("reward/score")
    longer = course.now("response/length") / max(1.0, course.start("response/length"))
    expected = start * (longer**-0.4 if longer > 1 else 1.0)
    if not (reward > before and distinct < expected * (0.42 if ailing else 0.35)):
        return None
    return Symptom(
        "Reward hacked by repetition",
        f"The reward rose from {number(before)} to {number(reward)} while different word pairs "
        f"fell from {percent(start)} to {percent(distinct)}: answers repeat themselves or each "
        "other.",
        "Raise the KL coefficient; a reward term of kind repetition rules it out in a new run.",
        course.raised_kl_coef(),
        "error" if distinct < 0.2 * expected else "warning",
    )


def _ratio_first(course: Course, ailing: bool) -> Symptom | None:
    """Before the first optimiser step the policy is itself (37 PPO details; TRL issue 454).

    The mean over a minibatch keeps within 0.001 of 1 even in bfloat16, whose single tokens do not.
    """
    ratio = course.now("policy/ratio_first")
    off = abs(ratio - 1)
    if not off > (0.005 if ailing else 0.01):
        return None
    return Symptom(
        "Ratio not 1 at the start",
        f"At the start of a step the policy's ratio to itself is {ratio:.3f} instead of 1: KL and "
        "clip fraction are partly noise.",
        "Use dtype float32 in a new run; if it stays, please report it.",
        Change("model.dtype", "float32", live=False),
        "error" if off > 0.05 else "warning",
    )


def _memory(course: Course, ailing: bool) -> Symptom | None:
    """A response longer than any so far takes a few per cent more than the peak until now."""
    peak, planned = (course.latest.get(f"memory/{n}_gib", math.nan) for n in ("peak", "planned"))
    budget = course.budget_gib if course.budget_gib else math.nan
    near = peak > budget * (0.90 if ailing else 0.92)
    # A gibibyte is what Python, its libraries and fragmentation take beside any plan.
    over = peak > planned * 1.25 and peak > planned + 1
    if not (near or over):
        return None
    # The plan then chooses smaller micro-batches, and the like.
    change = Change("engine.memory_gib", round(0.8 * peak, 1), live=False) if peak > 0.1 else None
    return Symptom(
        "Memory near its limit" if near else "More memory than planned",
        f"{peak:.1f} of {budget:.1f} GiB were in use at the highest."
        if near
        else f"{peak:.1f} GiB were in use at the highest, and {planned:.1f} GiB were planned.",
        "A smaller engine.memory_gib makes a run hold less at a time, and changes no result.",
        change,
        "error" if peak > 0.98 * budget else "warning",
    )


def _reward_flat(course: Course, ailing: bool) -> Symptom | None:
    """Neither up nor down beyond its noise, long after it should have moved."""
    enough = max(20, min(100, course.config.steps // 4)) if course.config else 30
    start, reward = course.start("reward/score"), course.now("reward/score", 10)
    noise, kl = course.noise("reward/score"), course.now("kl/ref")
    if course.seen < 10 or math.isnan(reward) or math.isnan(start):
        return None
    if reward < start - (2 if ailing else 4) * noise and reward < start:
        return Symptom(
            "Reward is falling",
            f"The reward fell from {number(start)} to {number(reward)}, which noise does not "
            "explain.",
            "Lower the learning rate; if the answers read badly, go back to an earlier checkpoint.",
            course.scaled_lr(0.5),
        )
    if course.seen < enough or reward > start + (2 if ailing else 1) * noise:
        return None
    still = kl < 1
    return Symptom(
        "Reward is flat",
        f"The reward was {number(start)} at the start and is {number(reward)} after {course.seen} "
        + ("steps, with the policy still close to the base model." if still else "steps."),
        "Raise the learning rate."
        if still
        else "Look at the samples: does the reward tell good answers from bad ones?",
        course.scaled_lr(2.0) if still else None,
    )


def _grad_norm(course: Course, ailing: bool) -> Symptom | None:
    """Clipped gradients keep their direction; one that is ten times too long has little of it."""
    bound = course.config.optim.max_grad_norm if course.config else 1.0
    start, norm = course.start("optim/grad_norm"), course.now("optim/grad_norm")
    if not norm > max(10 * bound, 10 * start) * (0.5 if ailing else 1.0):
        return None
    return Symptom(
        "Gradients explode",
        f"The gradient's norm before clipping is {number(norm)}; it was {number(start)} at the "
        f"start, and is clipped to {number(bound)}.",
        "Lower the learning rate; if it goes on, go back to an earlier checkpoint.",
        course.scaled_lr(0.5),
        "error" if norm > 100 * bound else "warning",
    )


def _clip_fraction(course: Course, ailing: bool) -> Symptom | None:
    """Of a step that goes well a fifth of the tokens is clipped at most.

    And the policy's KL to itself stays at 0.01 to 0.05 (Spinning Up stops at 0.015, CleanRL's
    target_kl is in that range): far beyond, the ratio says nothing any more.
    """
    clipped, moved = course.now("policy/clip_fraction"), course.now("policy/approx_kl")
    ease = 0.67 if ailing else 1.0
    if not (clipped > 0.3 * ease or moved > 0.1 * ease):
        return None
    return Symptom(
        "Steps too large",
        f"{percent(clipped)} of the tokens are clipped and a step moves the policy by "
        f"{number(moved)} nats a token; up to 20 % and 0.05 is usual.",
        "Lower the learning rate, or ppo.epochs in a new run.",
        course.scaled_lr(0.5),
        "error" if clipped > 0.5 else "warning",
    )


RULES = (
    Rule("diagnosis.not_finite", 1, _not_finite),
    Rule("diagnosis.kl_runaway", 3, _kl_runaway),
    Rule("diagnosis.reward_hacked", 3, _reward_hacked),
    Rule("diagnosis.entropy_collapse", 3, _entropy_collapse),
    Rule("diagnosis.eos_lost", 3, _eos_lost),
    Rule("diagnosis.length_drift", 3, _length_drift),
    Rule("diagnosis.grad_norm", 3, _grad_norm),
    Rule("diagnosis.clip_fraction", 3, _clip_fraction),
    Rule("diagnosis.ratio_first", 3, _ratio_first),
    Rule("diagnosis.kl_negative", 5, _kl_negative),
    Rule("diagnosis.memory_near_limit", 1, _memory),
    Rule("diagnosis.reward_flat", 5, _reward_flat),
    Rule("diagnosis.value_useless", 5, _value_useless),
)
"""The gravest first."""


def _value_rate(course: Course) -> float:
    assert course.config is not None
    return course.config.optim.value_lr or course.config.optim.lr
