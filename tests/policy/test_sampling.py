"""A draw inverts the cumulative distribution, in blocks as in one piece."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from ppo_tui.policy.sampling import draw, sample

# One token, one block, one past it, and several blocks the last of which is not full.
VOCABULARIES = [1, 5, 256, 257, 1000, 5003]
LAST_UNIFORM = 1 - 2**-53


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform_numbers(count, seed=0):
    return torch.rand(count, generator=seeded(seed), dtype=torch.float64)


def frequencies(logits, count, temperature, **cut):
    tokens = sample(logits.expand(count, -1), uniform_numbers(count), temperature, **cut)
    return tokens.bincount(minlength=logits.shape[-1]).double()


def plain_inversion(logits, uniforms, temperature):
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    tokens = torch.searchsorted(cumulative, uniforms.unsqueeze(-1), right=True).squeeze(-1)
    return tokens, cumulative


@settings(max_examples=60, deadline=None)
@given(
    vocab=st.sampled_from(VOCABULARIES),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 0.1, 1.0, 5.0, 30.0]),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_draw_is_the_plain_inversion_but_for_rounding(vocab, seed, scale, temperature, dtype):
    logits = (scale * torch.randn(32, vocab, generator=seeded(seed))).to(dtype)
    uniforms = uniform_numbers(32, seed)
    tokens = sample(logits, uniforms, temperature)
    expected, cumulative = plain_inversion(logits, uniforms, temperature)
    above = cumulative.gather(1, tokens.unsqueeze(1)).squeeze(1)
    below = above - (logits.double() / temperature).softmax(-1)[torch.arange(32), tokens]
    assert (below <= uniforms + 1e-6).all()
    assert (uniforms <= above + 1e-6).all()
    assert (tokens == expected).sum() >= 31


@pytest.mark.parametrize("vocab", VOCABULARIES[1:-1])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_sampled_distribution_is_the_softmax_of_the_logits_at_the_temperature(
    vocab, temperature
):
    logits = torch.randn(vocab, generator=seeded(vocab))
    # Five groups of tokens that lie across the blocks.
    group = torch.arange(vocab) % 5
    counts = torch.zeros(5).double().index_add(0, group, frequencies(logits, 20_000, temperature))
    probabilities = (logits.double() / temperature).softmax(-1)
    expected = 20_000 * torch.zeros(5).double().index_add(0, group, probabilities)
    # The 99.9 % quantile of chi-square with 4 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() < 18.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("vocab", VOCABULARIES[1:])
@pytest.mark.parametrize("some", [0.5, 0.01])
def test_a_token_without_probability_is_never_drawn(vocab, some, dtype):
    # With one token in a hundred most blocks are empty, often the first and the last.
    logits = torch.randn(64, vocab, generator=seeded())
    logits[torch.rand(64, vocab, generator=seeded(1)) >= some] = -torch.inf
    logits[torch.arange(64), torch.randint(vocab, (64,), generator=seeded(2))] = 0.0
    largest = 1 - torch.finfo(dtype).eps / 2
    for uniform in (0.0, 0.3, 0.5, 0.9, largest):
        tokens = sample(logits, torch.full((64,), uniform, dtype=dtype), 1.0)
        assert logits[torch.arange(64), tokens].isfinite().all()


@pytest.mark.parametrize("vocab", VOCABULARIES)
@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
def test_the_only_possible_token_is_drawn_wherever_it_stands(vocab, place):
    logits = torch.full((3, vocab), -torch.inf)
    token = int(place * (vocab - 1))
    logits[:, token] = -3.0
    uniforms = torch.tensor([0.0, 0.5, LAST_UNIFORM], dtype=torch.float64)
    drawn = draw(logits, uniforms, 1.0)
    assert drawn.tokens.tolist() == [token] * 3
    assert drawn.logprobs.tolist() == [0.0] * 3


@pytest.mark.parametrize("vocab", VOCABULARIES[1:])
def test_the_ends_of_the_uniform_numbers_are_the_first_and_the_last_possible_token(vocab):
    logits = torch.zeros(2, vocab)
    logits[:, 0] = logits[:, -1] = -torch.inf
    uniforms = torch.tensor([0.0, LAST_UNIFORM], dtype=torch.float64)
    assert sample(logits, uniforms, 1.0).tolist() == [1, vocab - 2]


def test_a_token_too_unlikely_for_float32_is_not_drawn():
    logits = torch.zeros(1, 1000)
    logits[:, ::2] = -1e4
    for uniform in (0.0, 0.25, LAST_UNIFORM):
        token = sample(logits, torch.tensor([uniform], dtype=torch.float64), 1.0)
        assert token.item() % 2 == 1


@pytest.mark.parametrize("vocab", VOCABULARIES)
@pytest.mark.parametrize("cut", [{}, {"top_k": 3}, {"top_p": 0.6}])
def test_a_log_probability_is_that_of_the_uncut_softmax_at_the_temperature(vocab, cut):
    logits = 3 * torch.randn(32, vocab, generator=seeded())
    tokens, logprobs = draw(logits, uniform_numbers(32), 0.7, **cut)
    expected = (logits / 0.7).log_softmax(-1)[torch.arange(32), tokens]
    assert logprobs.dtype == torch.float32
    assert (logprobs - expected).abs().max() < 2e-6


def test_16_bit_logits_are_divided_and_normalised_in_float32():
    logits = (5 * torch.randn(32, 1000, generator=seeded())).bfloat16()
    tokens, logprobs = draw(logits, uniform_numbers(32), 0.7)
    expected = (logits.float() / 0.7).log_softmax(-1)[torch.arange(32), tokens]
    assert (logprobs - expected).abs().max() < 2e-6


@pytest.mark.parametrize("vocab", [5, 5003])
def test_what_a_row_draws_does_not_depend_on_the_others(vocab):
    logits = torch.randn(16, vocab, generator=seeded())
    uniforms = uniform_numbers(16)
    together = draw(logits, uniforms, 0.9)
    for row in range(16):
        alone = draw(logits[row : row + 1], uniforms[row : row + 1], 0.9)
        assert alone.tokens.item() == together.tokens[row].item()
        assert alone.logprobs.item() == together.logprobs[row].item()


@pytest.mark.parametrize("vocab", [6, 1000])
def test_top_k_keeps_the_likeliest_and_their_proportions(vocab):
    logits = torch.full((vocab,), -5.0)
    logits[:6] = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0, -3.0])
    counts = frequencies(logits, 20_000, 1.0, top_k=3)
    assert counts.nonzero().flatten().tolist() == [0, 2, 4]
    kept = logits[[0, 2, 4]].double().softmax(-1) * 20_000
    # The 99.9 % quantile of chi-square with 2 degrees of freedom.
    assert ((counts[[0, 2, 4]] - kept) ** 2 / kept).sum() < 13.8


@pytest.mark.parametrize("vocab", [4, 1000])
def test_top_p_keeps_the_fewest_that_hold_the_probability(vocab):
    # Probabilities 0.5, 0.3, 0.15, 0.05: two of them hold 0.8, three are needed for 0.81.
    logits = torch.full((vocab,), -torch.inf)
    logits[-4:] = torch.tensor([0.3, 0.05, 0.5, 0.15]).log()
    start = vocab - 4

    def drawn(**cut):
        counts = frequencies(logits, 5_000, 1.0, **cut)
        return [token - start for token in counts.nonzero().flatten().tolist()]

    assert drawn(top_p=0.79) == [0, 2]
    assert drawn(top_p=0.81) == [0, 2, 3]
    assert drawn(top_p=0.01) == [2]
    # Of the three that top_k keeps, the first two hold 0.8 / 0.95 = 0.84.
    assert drawn(top_k=3, top_p=0.84) == [0, 2]
    assert drawn(top_k=3, top_p=0.85) == [0, 2, 3]


def test_a_top_k_of_the_whole_vocabulary_cuts_nothing():
    logits = torch.randn(32, 5, generator=seeded())
    uniforms = uniform_numbers(32)
    assert torch.equal(sample(logits, uniforms, 1.0, top_k=5), sample(logits, uniforms, 1.0))


class Watched(TorchDispatchMode):
    """Remembers which operations ran and the largest float64 tensor that was made."""

    def __init__(self):
        super().__init__()
        self.names, self.widest = set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.add(func.overloadpacket.__name__)
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.widest = max(self.widest, result.numel())
        return result


@pytest.mark.parametrize("cut", [{}, {"top_k": 3}, {"top_p": 0.6}])
def test_a_draw_reads_nothing_back_and_copies_nothing_onto_the_device(cut):
    logits, uniforms = torch.randn(4, 5003, generator=seeded()), uniform_numbers(4)
    with Watched() as watched:
        draw(logits, uniforms, 0.9, **cut)
    # A number read by Python, a shape that depends on data, a tensor made from Python's numbers.
    refused = {"_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "lift_fresh"}
    assert not watched.names & refused
    assert "softmax" in " ".join(watched.names)


def test_an_uncut_draw_widens_no_more_than_two_levels_of_a_row():
    logits, uniforms = torch.randn(4, 5003, generator=seeded()), uniform_numbers(4)
    with Watched() as watched:
        draw(logits, uniforms, 0.9)
    # 40 blocks of 128.
    assert watched.widest == 4 * 128
