"""A LoRA reward adapter learns what people say of texts, and says how well."""

import math

import numpy as np
import pytest
import torch
from models import EOS, batch_of, load, perturb, random_ids
from scipy.stats import spearmanr

from ppo_tui.config.schema import ModelConfig
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.runs.ratings import About, Pair, Rating, Ratings
from ppo_tui.training.judged_texts import encode_texts, judged_of
from ppo_tui.training.reward_adapter import (
    ADAPTER,
    Judged,
    Settings,
    _Training,
    folds,
    judgement_loss,
    train_reward_adapter,
)

NONE = np.zeros(0, dtype=np.int64)
GOOD, BAD = 50, 60
"""The tokens by which a person tells good responses from bad ones: they begin with one."""


def texts(count, seed=0):
    marks = np.random.default_rng(seed).choice([GOOD, BAD], count).tolist()
    return batch_of(
        [random_ids(3, seed + i) for i in range(count)],
        [[marks[i], *random_ids(1 + i % 4, seed + 1000 + i)] for i in range(count)],
    )


def rated(ratings, batch=None):
    batch = texts(len(ratings)) if batch is None else batch
    count = np.arange(len(ratings))
    return Judged(batch, count, np.array(ratings, dtype=float), NONE, NONE, NONE.astype(float))


def paired(pairs, count, ratings=()):
    first, second, choice = (np.array(column) for column in zip(*pairs, strict=True))
    rows = np.arange(len(ratings))
    return Judged(
        texts(count), rows, np.array(ratings, dtype=float), first, second, choice.astype(float)
    )


def roles_of(model_folder, architecture="llama", quantization="none", seed=0):
    return Roles(load(model_folder(architecture), quantization), ADAPTER, seed=seed)


def is_good(batch):
    """A hidden taste that a tiny model can learn."""
    return (batch.response_ids[:, 0] == GOOD).numpy()


def foretold(roles, head, batch):
    with torch.no_grad():
        return head(roles.policy_pooled(batch).numpy())


# ---- the loss


def test_the_loss_of_ratings_is_the_squared_distance_in_standard_deviations():
    judged = rated([5, 1])
    loss = judgement_loss(torch.tensor([0.0, -1.0]), judged, mean=3.0, scale=2.0)
    assert loss.item() == pytest.approx(1.0)  # (0 - 1)² + (-1 - -1)²


def test_the_loss_of_pairs_is_that_of_bradley_and_terry():
    judged = paired([(0, 1, 1.0), (0, 1, 0.5)], 2)
    loss = judgement_loss(torch.tensor([0.5, 0.0]), judged, mean=3.0, scale=1.0)
    better = math.log(1 + math.exp(-1.0))  # the difference is 0.5, and τ too
    worse = math.log(1 + math.exp(1.0))
    assert loss.item() == pytest.approx(better + 0.5 * (better + worse))


# ---- the folds


def test_every_judgement_is_held_out_once_and_no_text_stands_on_both_sides():
    pairs = [(0, 1, 1.0), (1, 2, 0.0), (4, 5, 1.0), (6, 7, 1.0), (8, 9, 0.0), (10, 11, 1.0)]
    judged = paired(pairs, 30, ratings=[1, 2, 3, 4, 5] * 6)
    parts = folds(judged, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(36))
    assert [len(part) for part in parts] == [8, 7, 7, 7, 7]
    for number, part in enumerate(parts):
        others = np.concatenate([p for i, p in enumerate(parts) if i != number])
        assert not set(judged.select(part).used) & set(judged.select(others).used)


def test_pairs_that_tie_all_texts_together_are_dealt_out_one_by_one():
    judged = paired([(i, i + 1, 1.0) for i in range(10)], 11)
    assert [len(part) for part in folds(judged, seed=0)] == [2, 2, 2, 2, 2]


# ---- the training


@pytest.mark.parametrize(
    ("architecture", "quantization"), [("llama", "none"), ("gpt2", "none"), ("llama", "nf4")]
)
def test_it_learns_more_than_the_base_alone_says(model_folder, architecture, quantization):
    roles = roles_of(model_folder, architecture, quantization)
    batch = texts(60)
    judged = rated(np.where(is_good(batch), 5, 1), batch)
    trained = train_reward_adapter(roles, judged, Settings(epochs=6, lr=5e-3))
    assert trained.epochs > 0
    scores = foretold(roles, trained.head, batch)
    assert scores[is_good(batch)].mean() > 4.5
    assert scores[~is_good(batch)].mean() < 1.5


def test_pairs_alone_teach_too_and_the_scale_lies_around_its_middle(model_folder):
    roles, batch = roles_of(model_folder), texts(60)
    good = is_good(batch)
    rng = np.random.default_rng(0)
    pairs = [
        (a, b, 0.5 + 0.5 * (int(good[a]) - int(good[b]))) for a, b in rng.integers(0, 60, (80, 2))
    ]
    judged = Judged(batch, NONE, NONE.astype(float), *map(np.array, zip(*pairs, strict=True)))
    trained = train_reward_adapter(roles, judged, Settings(epochs=5, lr=5e-3))
    scores = foretold(roles, trained.head, batch)
    assert scores[good].min() > scores[~good].mean()
    assert 2 < scores.mean() < 4


def test_the_base_is_untouched_and_the_same_seed_gives_the_same_adapter(model_folder):
    judged = rated([1, 2, 3, 4, 5] * 6)
    made = []
    for _ in range(2):
        roles = roles_of(model_folder, seed=5)
        before = {
            n: p.detach().clone() for n, p in roles.peft.named_parameters() if "lora" not in n
        }
        trained = train_reward_adapter(roles, judged, Settings(epochs=2, seed=5))
        assert all(
            torch.equal(p, before[n]) for n, p in roles.peft.named_parameters() if n in before
        )
        made.append((trained, [p.detach().clone() for p in roles.policy_parameters()]))
    (one, weights), (other, others) = made
    assert np.array_equal(one.head.weight, other.head.weight)
    assert one.epochs == other.epochs
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def test_texts_computed_a_few_at_a_time_give_the_same_gradients(model_folder):
    judged = paired([(0, 7, 1.0), (3, 4, 0.0), (5, 1, 0.5)], 8, ratings=[1, 5, 2, 4])
    gradients, head = [], None
    for rows in (64, 2):
        roles = perturb(roles_of(model_folder))
        training = _Training(roles, judged, Settings(rows=rows))
        training._fit_head(judged)
        # Rounding of the texts' states decides where the search for the head ends: the same for
        # both, as the gradients are what is compared.
        head = head or (training._weight.detach().clone(), training._bias.detach().clone())
        with torch.no_grad():
            training._weight.copy_(head[0])
            training._bias.copy_(head[1])
        training._weight.grad = training._bias.grad = None  # the search's last
        training._backward(judged, 1.0)
        gradients.append([p.grad for p in (*roles.policy_parameters(), training._weight)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_noise_is_not_learnt_and_the_lora_stays_out_of_it(model_folder):
    rng = np.random.default_rng(1)
    judged = rated(rng.integers(1, 6, 40))
    trained = train_reward_adapter(roles_of(model_folder), judged, Settings(epochs=4))
    told = np.concatenate([part.rating for part in trained.held_out])
    truth = judged.select(np.concatenate([part.judgements for part in trained.held_out])).rating
    assert spearmanr(told, truth).statistic < 0.3
    assert trained.epochs == 0


def test_every_epoch_is_told(model_folder):
    heard = []
    judged = rated([1, 2, 3, 4, 5] * 4)
    train_reward_adapter(roles_of(model_folder), judged, Settings(epochs=2), heard.append)
    held = [(p.fold, p.epoch) for p in heard if p.fold]
    assert held == [(fold, epoch) for fold in range(1, 6) for epoch in (0, 1, 2)]
    assert all(math.isfinite(p.loss) and math.isfinite(p.held_out) for p in heard if p.fold)


# ---- the texts


def about(response, prompt="the cat"):
    return About(prompt, response, "1-0", 1)


def test_a_text_that_was_judged_twice_stands_once(model_folder):
    head = ("x", 0.0, "ann", "m", "b", "run")
    ratings = Ratings(
        ratings=(Rating(*head, about("sat"), 4), Rating(*head, about("ran"), 2)),
        pairs=(Pair(*head, about("sat"), about("and the dog"), 1.0),),
    )
    judged = judged_of(load(model_folder("llama")), ratings, chat=False)
    assert len(judged.texts) == 3
    assert judged.rated.tolist() == [0, 1]
    assert judged.rating.tolist() == [4, 2]
    assert (judged.first.tolist(), judged.second.tolist()) == ([0], [2])


def test_texts_are_read_as_they_were_asked(model_folder):
    base = load(model_folder("llama"))
    batch = encode_texts(base, [("the cat", " sat"), ("a</s>", "")], chat=False)
    tokenizer = base.tokenizer
    assert tokenizer.decode(batch.prompt_ids[0, -int(batch.prompt_lengths[0]) :]) == "the cat"
    assert tokenizer.decode(batch.response_ids[0, : int(batch.response_lengths[0])]) == " sat"
    assert tokenizer.decode(batch.prompt_ids[1, -int(batch.prompt_lengths[1]) :]) == "a"
    assert batch.response_ids[1, 0] == EOS


def test_a_text_longer_than_the_context_loses_the_beginning_of_its_prompt(model_folder):
    base = load(model_folder("llama"))
    batch = encode_texts(base, [("a " * 200 + "dog", " ran"), ("a", " b" * 300)], chat=False)
    lengths = batch.prompt_lengths + batch.response_lengths
    assert lengths.tolist() == [128, 128]
    assert base.tokenizer.decode(batch.prompt_ids[0]).endswith("dog")


# ---- a person


@pytest.mark.slow
def test_a_persons_taste_is_foretold_on_fresh_texts_of_the_bundled_model():
    """200 ratings by a simulated person: glad texts, on a scale of 1 to 5, with noise."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    from ppo_tui.config.resolve import resolve
    from ppo_tui.data.dataset import PromptDataset
    from ppo_tui.evaluation.compare import decode
    from ppo_tui.policy.generation import generate

    config = resolve("demo").config
    base = load_base(ModelConfig(), torch.device("cpu"))
    roles = Roles(base, ADAPTER, temperature=0.7)
    data = PromptDataset.load(
        config.data,
        base.tokenizer,
        response_tokens=32,
        context_length=base.context_length,
        eos_token_ids=base.vocabulary.eos_ids,
    )
    prompts = [p for p in data.train for _ in range(6)][:500]
    generator = torch.Generator().manual_seed(0)
    batch = generate(roles, [p.ids for p in prompts], 32, generator, reference=True)
    analyzer = SentimentIntensityAnalyzer()
    hidden = np.array([analyzer.polarity_scores(t)["compound"] for t in decode(roles, batch)])
    rng = np.random.default_rng(0)
    order = rng.permutation(len(hidden))
    asked, fresh = order[:200], order[200:]
    low, high = np.quantile(hidden, [0.05, 0.95])
    noisy = 1 + 4 * (hidden - low) / (high - low) + rng.normal(0, 0.5, len(hidden))
    ratings = np.clip(np.round(noisy), 1, 5)[asked]
    judged = rated(ratings, batch.select(torch.as_tensor(asked)))
    trained = train_reward_adapter(roles, judged, Settings())
    told = foretold(roles, trained.head, batch.select(torch.as_tensor(fresh)))
    assert spearmanr(told, hidden[fresh]).statistic > 0.65
