"""Log-probabilities in chunks are those of the whole, forwards and backwards."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ppo_tui.policy import head
from ppo_tui.policy.head import Bend, OutputHead, head_of, token_logprobs

BENDS = [Bend(), Bend("softcap", 3.0), Bend("scale", 0.4), Bend("divisor", 1.7)]


def as_function(weight, bias=None, bend=head.IDENTITY):
    """The same head, of which nothing is known."""
    known = OutputHead(weight, bias, bend)
    return lambda hidden: known(hidden)


FORMS = [as_function, OutputHead]


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 16, generator=generator, dtype=torch.float32)
    weight = 0.3 * torch.randn(300, 16, generator=generator)
    targets = torch.randint(300, (23,), generator=generator)
    return hidden, weight, targets


@pytest.fixture
def bias():
    return torch.randn(300, generator=torch.Generator().manual_seed(1))


def run(case, with_entropy, *, form=OutputHead, requires_grad=True, bias=None, bend=head.IDENTITY):
    hidden, weight, targets = case
    hidden = hidden.clone().requires_grad_(requires_grad)
    logprobs, entropies = token_logprobs(
        hidden, targets, form(weight, bias, bend), 300, 0.7, with_entropy, with_entropy
    )
    if requires_grad:
        loss = (logprobs * torch.arange(23)).sum()
        if entropies is not None:
            loss = loss + (entropies * torch.arange(23).flip(0)).sum()
        loss.backward()
    return logprobs.detach(), None if entropies is None else entropies.detach(), hidden.grad


@pytest.mark.parametrize("form", FORMS)
def test_a_log_probability_is_that_of_the_softmax_at_the_temperature(case, form):
    hidden, weight, targets = case
    expected = ((hidden @ weight.T) / 0.7).log_softmax(-1)[range(23), targets]
    assert (run(case, False, form=form)[0] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_an_entropy_is_that_of_the_distribution(case, form):
    hidden, weight, _ = case
    distribution = torch.distributions.Categorical(logits=(hidden @ weight.T) / 0.7)
    assert (run(case, True, form=form)[1] - distribution.entropy()).abs().max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_the_entropy_of_equal_logits_is_the_logarithm_of_their_number(form):
    _, entropy = token_logprobs(
        torch.zeros(1, 4), torch.tensor([0]), form(torch.ones(8, 4)), 8, 1.0, True
    )
    assert entropy.item() == pytest.approx(2.0794415)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 4, 22])
@pytest.mark.parametrize("with_entropy", [True, False])
def test_chunks_change_neither_values_nor_gradients(case, monkeypatch, rows, with_entropy, form):
    whole = run(case, with_entropy, form=form)
    monkeypatch.setattr(head, "CHUNK_BYTES", rows * 4 * 300)
    chunked = run(case, with_entropy, form=form)
    for one, other in zip(whole, chunked, strict=True):
        if one is None:
            assert other is None
        else:
            assert (one - other).norm() / one.norm() < 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.kind)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_without_gradients_are_the_same_to_the_last_bit_as_with(
    case, monkeypatch, form, bend, dtype
):
    monkeypatch.setattr(head, "CHUNK_BYTES", 5 * 4 * 300)
    case = tuple(t.to(dtype) if t.is_floating_point() else t for t in case)
    with torch.no_grad():
        quiet = run(case, True, form=form, bend=bend, requires_grad=False)
    loud = run(case, True, form=form, bend=bend)
    without_entropy = run(case, False, form=form, bend=bend)
    assert torch.equal(quiet[0], loud[0])
    assert torch.equal(quiet[1], loud[1])
    assert torch.equal(quiet[0], without_entropy[0])


def test_a_chunk_never_holds_more_logits_than_its_size(case, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", 5 * 4 * 300)
    hidden, weight, targets = case
    seen = []

    def counting(h):
        seen.append(len(h))
        return h @ weight.T

    token_logprobs(hidden, targets, counting, 300, 1.0)
    assert seen == [5, 5, 5, 5, 3]


class Watched(TorchDispatchMode):
    """Remembers the sizes of the matrix products and of the largest tensor made."""

    def __init__(self):
        super().__init__()
        self.products, self.largest = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul"):
            self.products.append(tuple(result.shape))
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.numel())
        return result


@pytest.mark.parametrize("entropy_gradient", [False, True])
def test_two_products_a_chunk_go_forwards_and_none_backwards(case, monkeypatch, entropy_gradient):
    monkeypatch.setattr(head, "CHUNK_BYTES", 8 * 4 * 300)
    hidden, weight, targets = case
    hidden = hidden.clone().requires_grad_()
    with Watched() as forwards:
        logprobs, entropies = token_logprobs(
            hidden, targets, OutputHead(weight), 300, 1.0, True, entropy_gradient
        )
    with Watched() as backwards:
        (logprobs + entropies).sum().backward()
    once = [(rows, 16) for rows in (8, 8, 7)]
    there = [(rows, 300) for rows in (8, 8, 7)]
    assert sorted(forwards.products) == sorted(there + once * (2 if entropy_gradient else 1))
    assert forwards.largest == 300 * 16  # The weight, seen transposed; a chunk has 8 * 300.
    assert backwards.products == []
    assert backwards.largest == 23 * 16


def test_without_a_gradient_wanted_there_is_one_product_a_chunk(case, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", 8 * 4 * 300)
    hidden, weight, targets = case
    with Watched() as still:
        token_logprobs(hidden, targets, OutputHead(weight), 300, 1.0, True, True)
    with torch.no_grad(), Watched() as off:
        token_logprobs(hidden.clone().requires_grad_(), targets, OutputHead(weight), 300, 1.0)
    assert still.products == off.products == [(8, 300), (8, 300), (7, 300)]


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.kind)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("entropy_gradient", [False, True])
def test_gradients_are_those_of_finite_differences(
    case, bias, bend, with_bias, entropy_gradient, monkeypatch
):
    monkeypatch.setattr(head, "CHUNK_BYTES", 3 * 4 * 300)
    hidden, weight, targets = (t.double() if t.is_floating_point() else t for t in case)
    known = OutputHead(weight, bias.double() if with_bias else None, bend)

    def outputs(h):
        result = token_logprobs(h, targets[:4], known, 300, 0.7, True, entropy_gradient)
        return result if entropy_gradient else result[0]

    assert torch.autograd.gradcheck(outputs, hidden[:4].clone().requires_grad_())


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.kind)
@pytest.mark.parametrize("with_entropy", [False, True])
def test_both_forms_say_the_same_of_the_same_head(case, bias, bend, with_entropy):
    plain, known = (run(case, with_entropy, form=form, bias=bias, bend=bend) for form in FORMS)
    for one, other in zip(plain, known, strict=True):
        if one is None:
            assert other is None
        else:
            assert (one - other).norm() / one.norm() < 1e-5


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.kind)
def test_in_16_bits_gradients_are_close_to_those_in_float32(case, bias, bend):
    short = tuple(t.bfloat16() if t.is_floating_point() else t for t in case)
    # The same numbers, so that only the computing differs.
    long = tuple(t.float() if t.is_floating_point() else t for t in short)
    close = run(short, True, bias=bias.bfloat16(), bend=bend)
    exact = run(long, True, bias=bias.bfloat16().float(), bend=bend)
    assert close[0].dtype == close[1].dtype == torch.float32
    assert close[2].dtype == torch.bfloat16
    for one, other in zip(close, exact, strict=True):
        assert (one.float() - other).norm() / other.norm() < 0.01


@pytest.mark.parametrize("form", FORMS)
def test_an_entropy_carries_a_gradient_only_where_it_is_asked_for(case, form, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_BYTES", 8 * 4 * 300)
    hidden, weight, targets = case
    hidden = hidden.clone().requires_grad_()
    logprobs, entropies = token_logprobs(hidden, targets, form(weight), 300, 0.7, True)
    assert not entropies.requires_grad
    logprobs.sum().backward()
    _, entropies = token_logprobs(hidden, targets, form(weight), 300, 0.7, True, True)
    assert entropies.requires_grad
    before = hidden.grad.clone()
    entropies.sum().backward()
    assert not torch.equal(hidden.grad, before)


def test_a_gradient_has_no_gradient_of_its_own(case):
    hidden, weight, targets = case
    hidden = hidden.clone().requires_grad_()
    logprobs, _ = token_logprobs(hidden, targets, OutputHead(weight), 300, 1.0)
    (gradient,) = torch.autograd.grad(logprobs.square().sum(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_head_in_training_gets_its_gradient(case):
    hidden, weight, targets = case
    weight = weight.clone().requires_grad_()
    logprobs, _ = token_logprobs(hidden, targets, OutputHead(weight), 300, 1.0)
    logprobs.sum().backward()
    expected = torch.autograd.grad(
        (hidden @ weight.T).log_softmax(-1)[range(23), targets].sum(), weight
    )[0]
    assert (weight.grad - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_no_positions_are_no_log_probabilities(case, form):
    hidden, weight, targets = case
    hidden = hidden[:0].clone().requires_grad_()
    logprobs, entropies = token_logprobs(hidden, targets[:0], form(weight), 300, 1.0, True)
    logprobs.sum().backward()
    assert logprobs.shape == entropies.shape == (0,)
    assert hidden.grad.shape == (0, 16)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", [0, 2])
def test_a_token_that_cannot_be_adds_nothing_to_the_entropy(form, target):
    bias = torch.tensor([0.0, 0.0, -torch.inf])
    hidden = torch.zeros(1, 3, requires_grad=True)
    logprob, entropy = token_logprobs(
        hidden, torch.tensor([target]), form(torch.eye(3), bias), 3, 1.0, True, True
    )
    (logprob + entropy).sum().backward()
    assert logprob.item() == pytest.approx([-0.6931472, 0, -torch.inf][target])
    assert entropy.item() == pytest.approx(0.6931472)
    assert hidden.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_16_bit_logits_are_normalised_in_float32(case, form):
    hidden, weight, targets = (t.bfloat16() if t.is_floating_point() else t for t in case)
    logprobs, _ = token_logprobs(hidden, targets, form(weight), 300, 1.0)
    expected = (hidden @ weight.T).float().log_softmax(-1)[range(23), targets]
    assert logprobs.dtype == torch.float32
    assert (logprobs - expected).abs().max() < 1e-5


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.kind)
def test_a_slope_is_the_derivative_of_the_bend(bend):
    raw = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    bent = bend(raw)
    (expected,) = torch.autograd.grad(bent.sum(), raw)
    kept = bent.detach().clone()
    assert (bend.slope(kept) - expected).abs().max() < 1e-12
    assert torch.equal(kept, bent)
    bend.slope(kept, out=kept)
    assert (kept - expected).abs().max() < 1e-12


def test_the_bends_are_those_of_the_models():
    raw = torch.tensor([-4.0, 0.0, 2.0])
    bent = {bend.kind: bend(raw).tolist() for bend in BENDS}
    assert bent["identity"] == [-4.0, 0.0, 2.0]
    assert bent["softcap"] == pytest.approx([-2.6101851, 0.0, 1.7483490])
    assert bent["scale"] == pytest.approx([-1.6, 0.0, 0.8])
    assert bent["divisor"] == pytest.approx([-2.3529412, 0.0, 1.1764706])


@pytest.mark.parametrize("with_bias", [False, True])
def test_a_linear_layer_is_a_head_that_says_what_the_layer_says(case, with_bias):
    layer = nn.Linear(16, 300, bias=with_bias)
    known = head_of(layer, Bend("softcap", 3.0))
    assert known.weight is layer.weight
    assert known.bias is layer.bias
    assert torch.equal(known(case[0]), torch.tanh(layer(case[0]) / 3.0) * 3.0)


class Doubling(nn.Linear):
    """A linear layer that says something else than its weight alone."""

    def forward(self, hidden):
        return 2 * super().forward(hidden)


class Wrapped(nn.Parameter):
    """A weight that is not a plain one, as quantised ones are."""


def test_what_is_more_than_a_product_with_a_plain_weight_is_no_such_head():
    layer = nn.Linear(4, 8)
    hooked, replaced, quantised, whole = (copy.deepcopy(layer) for _ in range(4))
    hooked.register_forward_hook(lambda module, arguments, output: output + 1)
    replaced.forward = lambda hidden: hidden
    quantised.weight = Wrapped(quantised.weight.data)
    whole.weight = nn.Parameter(torch.ones(8, 4, dtype=torch.int8), requires_grad=False)
    refused = [None, nn.Identity(), Doubling(4, 8), hooked, replaced, quantised, whole]
    assert [head_of(module) for module in refused] == [None] * 7
    assert head_of(layer) is not None
