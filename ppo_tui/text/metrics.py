"""What each number of a run means, in words: for the charts' help, the glossary and the docs.

The names are those of the journal. How a number is computed stands where it is computed; here is
what a person reads from it, and what it looks like when all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Explanation:
    """One number of a run, explained.

    Attributes:
        title: What it is called on a screen, in a few words.
        words: What it is.
        healthy: What it looks like when all is well, and what a departure means.
    """

    title: str
    words: str
    healthy: str


EXPLANATIONS: Final[Mapping[str, Explanation]] = MappingProxyType(
    {
        "reward/score": Explanation(
            "reward",
            "Mean over the step's responses of the weighted sum of the reward terms: how much "
            "the responses are what you asked for, before penalties.",
            "Rises, and flattens when there is no more to gain. If it rises while the texts get "
            "worse, the policy has found a hole in the reward: read the samples.",
        ),
        "reward/total": Explanation(
            "total reward",
            "What PPO maximises: the score, shaped as the configuration says, less the KL "
            "penalty, summed over a response.",
            "Rises with the score. If the score rises and this falls, the score is bought with "
            "distance from the base model: look at the KL.",
        ),
        "human/mean": Explanation(
            "expected rating",
            "The rating, from 1 to 5, that your ratings lead the reward to expect for the step's "
            "responses, on average.",
            "Rises. If it rises and you like the texts no better, rate some of the newest.",
        ),
        "human/std": Explanation(
            "unsure by",
            "How unsure the reward is of those expectations: one standard deviation, in rating "
            "steps.",
            "Falls with each rating; rises as the policy moves to where nobody has rated.",
        ),
        "human/penalty": Explanation(
            "caution",
            "What is taken off the expected rating for not being sure: pessimism times the "
            "standard deviation.",
            "A small part of the expected rating; as large as the gain, it stops the gain.",
        ),
        "human/outside": Explanation(
            "unrated ground",
            "Share of the step's responses of which the reward is less sure than of nearly all "
            "texts that there were when it was fitted.",
            "About 0.05 at first. Beyond one half the reward guesses: rate some of the newest.",
        ),
        "human/ratings": Explanation(
            "ratings",
            "Ratings and pairs that the reward is fitted to.",
            "Rises as you rate; each refit takes less than a second.",
        ),
        "human/agreement": Explanation(
            "agreement",
            "Rank correlation of the reward with ratings that were held out, from -1 to 1; with "
            "pairs alone, Kendall's: twice the share put in the right order, less 1.",
            "Above 0.5 is useful, above 0.8 is good. Where it stays near 0, the ratings say "
            "nothing that the model can see, or contradict each other.",
        ),
        "kl/ref": Explanation(
            "KL to the base",
            "How far the policy has moved from the base model: the log-probability it gives its "
            "own responses less what the base gives them, summed over a response, in nats.",
            "Starts at 0, rises and levels off; 1 to 20 is common for short texts. It may dip "
            "below 0 by the luck of the sample; far below 0, or rising without end, is a fault: "
            "raise the KL weight or lower the learning rate.",
        ),
        "kl/ref_k3": Explanation(
            "KL to the base (k3)",
            "The same distance by an estimate that cannot be negative and is less noisy near 0.",
            "Close to the KL to the base while that is small. If the two part, few responses "
            "carry most of the distance.",
        ),
        "kl/coef": Explanation(
            "KL weight",
            "Beta, the price of one nat of distance from the base model, in units of reward.",
            "Constant with a fixed controller. An adaptive one moves it to hold the KL at its "
            "target: at rest it has found it; if it runs to one side, the target is out of reach.",
        ),
        "policy/loss": Explanation(
            "policy loss",
            "The clipped objective of PPO with its sign turned. It is measured against the "
            "policy before each step, so its level says nothing about progress.",
            "Near 0, a little below it, and noisy. It does not fall as training goes well: "
            "look at the reward instead.",
        ),
        "policy/approx_kl": Explanation(
            "step size (KL)",
            "How far one step moved the policy: KL from before the step to after it, mean a token.",
            "0.001 to 0.02. Larger: the learning rate, or the number of epochs, is too high. "
            "Much smaller: the step changes nothing.",
        ),
        "policy/clip_fraction": Explanation(
            "clip fraction",
            "Share of the tokens whose probability moved so far within the step that the clip "
            "stopped it from paying.",
            "0 to 20 %. More for many steps: the steps are too large. Always 0 with one update "
            "a batch, where nothing can have moved yet.",
        ),
        "policy/entropy": Explanation(
            "entropy",
            "How undecided the policy is about the next token, mean a token, in nats.",
            "Falls slowly. A plunge towards 0 means that it says one and the same thing whatever "
            "it is asked: raise the KL weight, or lower the learning rate.",
        ),
        "policy/ratio_first": Explanation(
            "first ratio",
            "Probability of the sampled tokens in training over that when they were measured, "
            "before the first update of the step, when both are the same policy.",
            "1. Anything else is the noise of kernels that are not deterministic or, above 0.01 "
            "of difference, a fault that makes the clip and the step's KL meaningless.",
        ),
        "value/loss": Explanation(
            "value loss",
            "Half the squared error of the values against the returns, with its clip.",
            "Falls at first and then follows the scale of the reward. Its level depends on that "
            "scale: the explained variance says whether it is good.",
        ),
        "value/explained_variance": Explanation(
            "explained variance",
            "How much of the differences between returns the value function foresaw: 100 % is "
            "all, 0 no more than their mean would, below 0 less than that.",
            "Rises from 0 within the first tens of steps. At or below 0 for long, the value "
            "function is of no use, and the advantages are noisy: raise the value's learning "
            "rate or the batch. Where all returns are alike, it has no value, and there is a gap.",
        ),
        "value/clip_fraction": Explanation(
            "value clip fraction",
            "Share of the tokens whose value moved beyond the value clip within a step.",
            "Small after the first steps. Large for long: the clip keeps the values from "
            "following the returns.",
        ),
        "rollout/logprob_gap": Explanation(
            "sampler gap",
            "How differently the weights that write the responses and those that are trained see "
            "the same token: the difference of its log-probabilities, regardless of its sign, mean "
            "over the step.",
            "Below 0.00001 in 32 bits; 0.005 to 0.03 where responses are written on a copy in 16 "
            "bits. Above 0.1 the responses are another policy's: decode with "
            "engine.rollout_weights: adapters.",
        ),
        "rollout/logprob_gap_max": Explanation(
            "largest sampler gap",
            "The same for the token on which they differ the most.",
            "Some tenths in 16 bits, on tokens that are unlikely to both.",
        ),
        "response/length": Explanation(
            "response length",
            "Tokens a response, mean over the step, its end included.",
            "Steady, unless the reward speaks of length. A drift to the longest or the shortest "
            "that is allowed often means that the reward pays for length.",
        ),
        "response/eos_rate": Explanation(
            "ended by itself",
            "Share of the responses that ended with an end token before they were cut off.",
            "Steady or rising. Near 0: responses are cut off in mid-sentence; allow more tokens, "
            "or set a penalty for a missing end.",
        ),
        "response/distinct_2": Explanation(
            "variety",
            "Different pairs of neighbouring words as a share of all pairs in the step.",
            "Falls a little. A steep fall means that responses repeat themselves or each other, "
            "the usual sign of a reward that is being fooled.",
        ),
        "optim/lr": Explanation(
            "learning rate",
            "Size of the optimiser's steps, as the schedule has it now.",
            "As the schedule says. An adaptive one moves it to hold the size of a step's KL.",
        ),
        "optim/grad_norm": Explanation(
            "gradient norm",
            "Length of the gradient before it is clipped, mean over the optimiser's steps.",
            "Of one order of magnitude. Spikes are what the clip is for; growth without end "
            "comes before a collapse.",
        ),
        "time/rollout": Explanation(
            "time: rollout",
            "Seconds of the step spent on writing responses.",
            "The largest part of a step, usually.",
        ),
        "time/score": Explanation(
            "time: log-probabilities",
            "Seconds of the step spent on log-probabilities and values of the responses.",
            "Less than the update.",
        ),
        "time/reward": Explanation(
            "time: reward",
            "Seconds that the step waited for the reward. A reward that reads nothing of the model "
            "is asked while the model scores; only what it takes longer counts.",
            "Near 0, unless a term is itself a model or a slow program.",
        ),
        "time/update": Explanation(
            "time: update",
            "Seconds of the step spent on learning.",
            "Grows with the epochs.",
        ),
        "throughput/tokens_per_s": Explanation(
            "tokens a second",
            "Response tokens of the step by the seconds of the whole step.",
            "Steady. A fall that stays means that something else uses the machine.",
        ),
        "throughput/episodes_per_s": Explanation(
            "responses a second",
            "Responses of the step by the seconds of the whole step.",
            "Falls as responses get longer.",
        ),
        "memory/peak_gib": Explanation(
            "memory",
            "Most memory that the training has held so far, in GiB: of the GPU, or of the "
            "process where there is none.",
            "Flat after the first step, which takes the longest batch first for this reason.",
        ),
        "memory/planned_gib": Explanation(
            "planned memory",
            "What the memory plan had foreseen, in GiB.",
            "Near the memory that is held.",
        ),
        "eval/score_base": Explanation(
            "base: score",
            "Mean score of the base model on the held-out prompts.",
            "What the tuned score has to beat.",
        ),
        "eval/score_tuned": Explanation(
            "tuned: score",
            "Mean score of the tuned model on the held-out prompts.",
            "Above the base's. Far below the score in training: it learnt its prompts by heart.",
        ),
        "eval/kl": Explanation(
            "evaluation: KL",
            "KL to the base on the held-out prompts, summed over a response, in nats.",
            "Near the KL in training.",
        ),
        "eval/share_of_optimum": Explanation(
            "share of the optimum",
            "How much of what can be gained at this KL weight was gained: 0 is the base model, "
            "100 % the best policy that there is.",
            "The higher the better; it cannot pass 100 % but by the noise of its estimate.",
        ),
        "eval/share_low": Explanation(
            "share: lower end",
            "Lower end of the interval that holds the share with 95 % confidence.",
            "Near the share: a wide interval asks for more samples.",
        ),
        "eval/share_high": Explanation(
            "share: upper end",
            "Upper end of the interval that holds the share with 95 % confidence.",
            "Near the share: a wide interval asks for more samples.",
        ),
        "eval/objective": Explanation(
            "tuned: objective",
            "Mean score of the tuned model less the KL penalty, on the held-out prompts.",
            "Above the base's, which is its score, for it is at no distance from itself.",
        ),
        "eval/objective_base": Explanation(
            "base: objective",
            "Mean score of the base model on the held-out prompts: where training starts.",
            "Below the optimum; where the two meet there is nothing to learn.",
        ),
        "eval/objective_optimum": Explanation(
            "optimum: objective",
            "The most that score less KL penalty can be, estimated from samples of the base.",
            "Estimated low from few samples, which flatters the share.",
        ),
        "eval/prompts": Explanation(
            "evaluation: prompts",
            "Held-out prompts that the evaluation used.",
            "The more, the narrower the interval.",
        ),
        "eval/samples": Explanation(
            "evaluation: samples",
            "Responses of the tuned model to each prompt.",
            "The more, the narrower the interval.",
        ),
        "eval/reference_samples": Explanation(
            "evaluation: base samples",
            "Responses of the base model to each prompt, from which the optimum is estimated.",
            "The more, the less the share flatters.",
        ),
    }
)
"""By the metric's name in the journal."""


def explain(name: str) -> Explanation | None:
    """The explanation of a metric; also of a reward term, whose name the configuration gives."""
    known = EXPLANATIONS.get(name)
    if known is None and not name.startswith("reward/"):
        # A human term that the configuration gives another name.
        known = EXPLANATIONS.get(f"human/{name.partition('/')[2]}")
    if known is not None or not name.startswith("reward/"):
        return known
    term = name.removeprefix("reward/")
    return Explanation(
        f"reward: {term}",
        f"Mean of the reward term {term} over the step's responses, before its weight.",
        "Shows which of the terms the reward comes from.",
    )
