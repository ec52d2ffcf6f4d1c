"""Train a reward adapter: a LoRA on the base and a linear head that say what people would rate.

The score of a response is ``w·x + b``, where x is the last hidden state at its last token
(`Roles.policy_pooled`), standardised. On the bundled model, with 200 noisy ratings and two hidden
tastes, that foretells fresh texts better than the mean over the tokens (rank correlation 0.76 and
0.87 against 0.72 and 0.72). The loss is the sum over the judgements of

    (score - z)²                       a rating, z = (rating - mean) / scale
    -c log σ(Δ/τ) - (1-c) log σ(-Δ/τ)  a pair, Δ = score difference, c = 1, ½ or 0

plus a ridge on w: the negative logarithms of a Gaussian, of Bradley and Terry's model (1952) and of
a prior. The head is fitted first, on the base as it is, which is a convex problem; then LoRA and
head are trained together. How many epochs do good is found on held-out judgements, and may be none:
then the adapter changes nothing and the head alone is the reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences

Array = NDArray[Any]

PAIR_TEMPERATURE = 0.5
"""τ: how far two scores, in standard deviations of the ratings, must be apart to be told apart."""

RIDGE = 2.0
"""Weight of the prior on w; tried from 0.1 to 2 on the bundled model, where it matters little."""

ADAPTER = AdapterConfig(rank=8, alpha=16.0)
"""As small as it may be: some hundred ratings are to fill it."""

FOLDS = 5
FEW = 400
"""Up to so many judgements all folds are trained; with more, one held-out fold says enough."""

_LEAST_STD = 1e-4


@dataclass(frozen=True)
class Settings:
    """How an adapter is trained.

    Attributes:
        epochs: Most passes over the judgements.
        lr: Learning rate of the LoRA.
        head_lr: Learning rate of the head.
        batch: Judgements of an optimiser step.
        rows: Texts that are computed at once; fewer take less memory and give the same numbers.
        seed: Of the LoRA's first weights, of the folds and of the order.
    """

    epochs: int = 6
    lr: float = 1e-3
    head_lr: float = 1e-3
    batch: int = 16
    rows: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """Texts and what people thought of them.

    Attributes:
        texts: N texts as token ids.
        rated: ``[n]`` which text was rated; the values are in `rating`, 1 to 5.
        first: ``[m]`` one text of each pair; `second` is the other.
        choice: ``[m]`` 1 if the first is better, 0 if the second is, ½ for a tie.
    """

    texts: Sequences
    rated: Array
    rating: Array
    first: Array
    second: Array
    choice: Array

    def __len__(self) -> int:
        return len(self.rated) + len(self.first)

    def select(self, judgements: Array) -> Judged:
        """Some of the judgements, about the same texts; ratings are counted first, then pairs."""
        count = len(self.rated)
        ratings = judgements[judgements < count]
        pairs = judgements[judgements >= count] - count
        return Judged(
            self.texts,
            self.rated[ratings],
            self.rating[ratings],
            self.first[pairs],
            self.second[pairs],
            self.choice[pairs],
        )

    @property
    def used(self) -> Array:
        """The texts that a judgement is about, in order."""
        return np.unique(np.concatenate([self.rated, self.first, self.second]).astype(np.int64))


@dataclass(frozen=True)
class RewardHead:
    """The linear head, with all that comes before and after it folded in.

    Attributes:
        weight: ``[H]`` float32.
        bias: With it ``weight·x + bias`` is a rating.
    """

    weight: Array
    bias: float

    def __call__(self, pooled: Array) -> Array:
        """Ratings of pooled states, ``[B, H]`` to ``[B]``; may lie outside of 1 to 5."""
        result: Array = pooled @ self.weight + self.bias
        return result


@dataclass(frozen=True)
class HeldOut:
    """What an adapter says of judgements that it was not trained on.

    Attributes:
        judgements: Which they are, as `Judged.select` counts them.
        rating: Of each rating among them; in their order.
        difference: Of each pair among them, first less second.
        epochs: How many epochs that adapter was trained, chosen on other judgements.
    """

    judgements: Array
    rating: Array
    difference: Array
    epochs: int


@dataclass(frozen=True)
class Progress:
    """How far the training is."""

    fold: int
    folds: int
    epoch: int
    epochs: int
    loss: float
    held_out: float


@dataclass(frozen=True)
class Trained:
    """A trained adapter; its LoRA is the policy's of the roles that were given.

    Attributes:
        head: Reads its pooled states.
        epochs: How many epochs did good; 0 leaves the base as it is.
        held_out: What adapters that were trained alike say of held-out judgements.
    """

    head: RewardHead
    epochs: int
    held_out: tuple[HeldOut, ...]


Told = Callable[[Progress], None]


def train_reward_adapter(
    roles: Roles, judged: Judged, settings: Settings, told: Told = lambda _: None
) -> Trained:
    """Train a reward adapter in the place of the policy's.

    Deterministic for a seed on one device.

    Args:
        roles: With `ADAPTER`, fresh, and without a critic of its own.
        judged: At least five judgements that are not all equal.
        settings: How.
        told: Hears of every epoch.
    """
    training = _Training(roles, judged, settings)
    parts = folds(judged, settings.seed)
    tried = parts if len(judged) <= FEW else parts[:1]
    everything = np.arange(len(judged))
    curves: list[list[_Seen]] = []
    for number, held in enumerate(tried):
        rest = np.setdiff1d(everything, held)
        seen = []
        for epoch, loss in training.run(rest, settings.epochs):
            seen.append(training.look(held))
            left_out = seen[-1].loss / len(held)
            told(Progress(number + 1, len(tried), epoch, settings.epochs, loss, left_out))
        curves.append(seen)
    losses = np.array([[each.loss for each in seen] for seen in curves])  # [fold, epoch]
    held_out = []
    for number, seen in enumerate(curves):
        # Chosen on the other folds, so that what is reported is not what was chosen by.
        others = np.delete(losses, number, axis=0) if len(curves) > 1 else losses
        epoch = int(others.sum(0).argmin())
        held_out.append(HeldOut(tried[number], seen[epoch].rating, seen[epoch].difference, epoch))
    best = int(losses.sum(0).argmin())
    for epoch, loss in training.run(everything, best):
        told(Progress(0, len(tried), epoch, best, loss, math.nan))
    return Trained(training.head(), best, tuple(held_out))


def folds(judged: Judged, seed: int, count: int = FOLDS) -> list[Array]:
    """The judgements in `count` parts of about the same size, no text in two of them.

    Where pairs tie nearly all texts together, the judgements are dealt out one by one.
    """
    total = len(judged)
    group = np.arange(len(judged.texts))  # the smallest text that each is tied to

    def root(text: int) -> int:
        while group[text] != text:
            text = int(group[text])
        return text

    for one, other in zip(judged.first.tolist(), judged.second.tolist(), strict=True):
        low, high = sorted((root(one), root(other)))
        group[high] = low
    owners = np.array([root(int(text)) for text in (*judged.rated, *judged.first)])
    names, sizes = np.unique(owners, return_counts=True)
    if sizes.max() > total / count:
        owners, names, sizes = np.arange(total), np.arange(total), np.ones(total, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    part_of = np.zeros(len(names), dtype=np.int64)
    filled = np.zeros(min(count, len(names)), dtype=np.int64)
    for name in order:
        part_of[name] = filled.argmin()
        filled[part_of[name]] += sizes[name]
    part = part_of[np.searchsorted(names, owners)]
    return [np.flatnonzero(part == number) for number in range(len(filled))]


def judgement_loss(score: Tensor, judged: Judged, mean: float, scale: float) -> Tensor:
    """The sum over the judgements of the losses in the module's docstring.

    Args:
        score: ``[N]``, of each text.
        judged: With indices into the scores.
        mean: Of the ratings.
        scale: Their standard deviation.
    """
    device = score.device

    def tensor(values: Array) -> Tensor:
        return torch.as_tensor(values, dtype=score.dtype, device=device)

    def of(texts: Array) -> Tensor:
        return score[torch.as_tensor(texts, dtype=torch.long, device=device)]

    wrong = of(judged.rated) - (tensor(judged.rating) - mean) / scale
    logit = (of(judged.first) - of(judged.second)) / PAIR_TEMPERATURE
    pairs = functional.binary_cross_entropy_with_logits(
        logit, tensor(judged.choice), reduction="sum"
    )
    return wrong.square().sum() + pairs


@dataclass(frozen=True)
class _Seen:
    loss: float
    rating: Array
    difference: Array


class _Training:
    """One LoRA and head, trained from their beginning again and again."""

    def __init__(self, roles: Roles, judged: Judged, settings: Settings) -> None:
        self._roles, self._judged, self._settings = roles, judged, settings
        self._texts = judged.texts.to(roles.base.device)
        self._parameters = roles.policy_parameters()
        self._fresh = [parameter.detach().clone() for parameter in self._parameters]
        rating = judged.rating
        spread = float(rating.std()) if len(rating) else 0.0
        # Pairs alone do not say where the middle of the scale is, nor how wide it is.
        self._mean = float(rating.mean()) if len(rating) else 3.0
        self._scale = spread if spread > 0 else 1.0
        with torch.no_grad():
            self._base = self._pooled(np.arange(len(judged.texts)))  # LoRA begins as nothing
        self._shift, self._width = self._base.mean(0), self._base.std(0).clamp(min=_LEAST_STD)
        size = self._base.shape[1]
        self._weight = torch.zeros(size, device=self._base.device, requires_grad=True)
        self._bias = torch.zeros((), device=self._base.device, requires_grad=True)

    def run(self, judgements: Array, epochs: int) -> Any:
        """Train from the beginning; yields the epoch and its loss a judgement, 0 for the head."""
        with torch.no_grad():
            for parameter, fresh in zip(self._parameters, self._fresh, strict=True):
                parameter.copy_(fresh)
        count = len(judgements)
        yield 0, self._fit_head(self._judged.select(judgements)) / count
        optimizer = torch.optim.AdamW(
            [
                {"params": self._parameters, "lr": self._settings.lr},
                {"params": [self._weight, self._bias], "lr": self._settings.head_lr},
            ],
            weight_decay=0.0,
        )
        order = np.random.default_rng(self._settings.seed + 1)
        steps = max(1, math.ceil(count / self._settings.batch))
        for epoch in range(1, epochs + 1):
            total = 0.0
            for part in np.array_split(order.permutation(judgements), steps):
                optimizer.zero_grad(set_to_none=True)
                total += self._backward(self._judged.select(part), len(part) / count)
                torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
                optimizer.step()
            yield epoch, total / count

    @torch.no_grad()
    def look(self, judgements: Array) -> _Seen:
        """What is said of held-out judgements."""
        held = self._judged.select(judgements)
        score = torch.zeros(len(self._texts), device=self._base.device)
        used = held.used
        score[self._index(used)] = self._score(self._pooled(used))
        loss = float(judgement_loss(score, held, self._mean, self._scale))
        values: Array = score.cpu().numpy().astype(np.float64) * self._scale + self._mean
        return _Seen(loss, values[held.rated], values[held.first] - values[held.second])

    def head(self) -> RewardHead:
        """The head as it is now, on the scale of the ratings."""
        weight = self._weight.detach() / self._width
        bias = float(self._bias.detach() - weight @ self._shift)
        scaled: Array = (weight * self._scale).cpu().numpy().astype(np.float32)
        return RewardHead(scaled, bias * self._scale + self._mean)

    def _fit_head(self, judged: Judged) -> float:
        """Fit the head to the base's own states: convex, so the optimum does not depend on luck."""
        with torch.no_grad():
            self._weight.zero_()
            self._bias.zero_()
        optimizer = torch.optim.LBFGS(
            [self._weight, self._bias], max_iter=100, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = self._loss(self._score(self._base), judged) + self._prior()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return float(self._loss(self._score(self._base), judged))

    def _backward(self, judged: Judged, share: float) -> float:
        """Gradients of a batch, in as many passes as its texts need; its loss."""
        used = judged.used
        parts = np.array_split(used, math.ceil(len(used) / self._settings.rows))
        score = torch.zeros(len(self._texts), device=self._base.device)
        if len(parts) == 1:
            score = score.index_put((self._index(used),), self._score(self._pooled(used)))
            loss = self._loss(score, judged)
            (loss + share * self._prior()).backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        # The two texts of a pair may fall into two passes: first what the loss wants of each
        # score, then that through the model, some texts at a time.
        with torch.no_grad():
            for part in parts:
                score[self._index(part)] = self._score(self._pooled(part))
        score.requires_grad_(True)
        loss = self._loss(score, judged)
        (wanted,) = torch.autograd.grad(loss, score)
        for part in parts:
            share_of_loss = self._score(self._pooled(part)) @ wanted[self._index(part)]
            share_of_loss.backward()  # type: ignore[no-untyped-call]
        (share * self._prior()).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _loss(self, score: Tensor, judged: Judged) -> Tensor:
        return judgement_loss(score, judged, self._mean, self._scale)

    def _prior(self) -> Tensor:
        return RIDGE * self._weight.numel() * self._weight.square().sum()

    def _score(self, pooled: Tensor) -> Tensor:
        return (pooled - self._shift) / self._width @ self._weight + self._bias

    def _pooled(self, texts: Array) -> Tensor:
        if torch.is_grad_enabled():
            return self._roles.policy_pooled(self._texts.select(self._index(texts)))
        parts: Sequence[Array] = np.array_split(texts, math.ceil(len(texts) / self._settings.rows))
        return torch.cat(
            [self._roles.policy_pooled(self._texts.select(self._index(part))) for part in parts]
        )

    def _index(self, texts: Array) -> Tensor:
        return torch.as_tensor(texts, dtype=torch.long, device=self._roles.base.device)
