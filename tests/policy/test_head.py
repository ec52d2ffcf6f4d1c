"""Log-probabilities in chunks are those of the whole, forwards and backwards."""

import pytest
import torch

from ppo_tui.policy import head
from ppo_tui.policy.head import token_logprobs


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 16, generator=generator, dtype=torch.float32)
    weight = 0.3 * torch.randn(300, 16, generator=generator)
    targets = torch.randint(300, (23,), generator=generator)
    return hidden, weight, targets


def run(case, with_entropy, *, requires_grad=True):
    hidden, weight, targets = case
    hidden = hidden.clone().requires_grad_(requires_grad)
    logprobs, entropies = token_logprobs(
        hidden, targets, lambda h: h @ weight.T, 300, 0.7, with_entropy
    )
    if requires_grad:
        loss = (logprobs * torch.arange(23)).sum()
        if entropies is not None:
            loss = loss + (entropies * torch.arange(23).flip(0)).sum()
        loss.backward()
    return logprobs.detach(), None if entropies is None else entropies.detach(), hidden.grad


def test_a_log_probability_is_that_of_the_softmax_at_the_temperature(case):
    hidden, weight, targets = case
    expected = ((hidden @ weight.T) / 0.7).log_softmax(-1)[range(23), targets]
    assert (run(case, False)[0] - expected).abs().max() < 1e-5


def test_an_entropy_is_that_of_the_distribution(case):
    hidden, weight, _ = case
    distribution = torch.distributions.Categorical(logits=(hidden @ weight.T) / 0.7)
    assert (run(case, True)[1] - distribution.entropy()).abs().max() < 1e-5


def test_the_entropy_of_equal_logits_is_the_logarithm_of_their_number():
    _, entropy = token_logprobs(
        torch.zeros(1, 4), torch.tensor([0]), lambda h: h.new_zeros(1, 8), 8, 1.0, True
    )
    assert entropy.item() == pytest.approx(2.0794415)


@pytest.mark.parametrize("rows", [1, 4, 22])
@pytest.mark.parametrize("with_entropy", [True, False])
def test_chunks_change_neither_values_nor_gradients(case, monkeypatch, rows, with_entropy):
    whole = run(case, with_entropy)
    monkeypatch.setattr(head, "CHUNK_BYTES", rows * 4 * 300)
    chunked = run(case, with_entropy)
    for one, other in zip(whole, chunked, strict=True):
        if one is None:
            assert other is None
        else:
            assert (one - other).norm() / one.norm() < 1e-5


def test_chunks_without_gradients_are_the_same_to_the_last_bit_as_with(case, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", 5 * 4 * 300)
    with torch.no_grad():
        quiet = run(case, True, requires_grad=False)
    loud = run(case, True)
    assert torch.equal(quiet[0], loud[0])
    assert torch.equal(quiet[1], loud[1])


def test_a_chunk_never_holds_more_logits_than_its_size(case, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", 5 * 4 * 300)
    hidden, weight, targets = case
    seen = []

    def counting(h):
        seen.append(len(h))
        return h @ weight.T

    token_logprobs(hidden, targets, counting, 300, 1.0)
    assert seen == [5, 5, 5, 5, 3]


def test_a_token_that_cannot_be_adds_nothing_to_the_entropy():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    hidden = torch.zeros(1, 3, requires_grad=True)
    logprob, entropy = token_logprobs(hidden, torch.tensor([0]), lambda h: h + logits, 3, 1.0, True)
    (logprob + entropy).sum().backward()
    assert entropy.item() == pytest.approx(0.6931472)
    assert hidden.grad.isfinite().all()


def test_16_bit_logits_are_normalised_in_float32(case):
    hidden, weight, targets = (t.bfloat16() if t.is_floating_point() else t for t in case)
    logprobs, _ = token_logprobs(hidden, targets, lambda h: h @ weight.T, 300, 1.0)
    expected = (hidden @ weight.T).float().log_softmax(-1)[range(23), targets]
    assert logprobs.dtype == torch.float32
    assert (logprobs - expected).abs().max() < 1e-5
