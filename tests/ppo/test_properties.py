"""What must hold for any batch, not only for the golden one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ppo_tui.ppo import (
    explained_variance,
    gae,
    kl_estimate,
    masked_mean,
    masked_var,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(0, 10_000))


def batch(shape: tuple[int, int, int], count: int) -> tuple[Tensor, list[Tensor]]:
    """A right-padded mask with no empty row, and `count` random tensors."""
    rows, width, seed = shape
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows, 1), generator=generator)
    mask = torch.arange(width) < lengths
    return mask, [
        torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(count)
    ]


@settings(deadline=None)
@given(SHAPES, st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_of_its_deltas(
    shape: tuple[int, int, int], gamma: float, lam: float
) -> None:
    mask, (rewards, values) = batch(shape, 2)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for row in range(mask.shape[0]):
        n = int(mask[row].sum())
        v = [*values[row, :n].tolist(), 0.0]
        deltas = [rewards[row, t].item() + gamma * v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            closed = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n))
            assert advantages[row, t].item() == pytest.approx(closed, abs=1e-9)
            assert returns[row, t].item() == pytest.approx(closed + v[t], abs=1e-9)


@settings(deadline=None)
@given(SHAPES)
def test_with_lambda_1_the_advantage_is_the_monte_carlo_return_less_the_value(
    shape: tuple[int, int, int],
) -> None:
    mask, (rewards, values) = batch(shape, 2)
    advantages, _ = gae(rewards, values, mask, 1.0, 1.0)
    to_go = (rewards * mask).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(advantages, (to_go - values) * mask)


@settings(deadline=None)
@given(SHAPES)
def test_what_stands_outside_the_mask_never_matters(shape: tuple[int, int, int]) -> None:
    mask, (rewards, values, old, new) = batch(shape, 4)
    adv, returns = gae(rewards, values, mask, 1.0, 0.95)
    spoilt = [
        torch.where(mask, x, torch.full_like(x, torch.nan)) for x in (rewards, values, old, new)
    ]
    bad_rewards, bad_values, bad_old, bad_new = spoilt
    torch.testing.assert_close(gae(bad_rewards, bad_values, mask, 1.0, 0.95)[0], adv)
    torch.testing.assert_close(whiten(bad_rewards, mask), whiten(rewards, mask))
    bad_new.requires_grad_()
    for loss, clean in (
        (policy_loss(bad_new, bad_old, adv, mask, 0.2), policy_loss(new, old, adv, mask, 0.2)),
        (
            value_loss(bad_new, bad_old, returns, mask, 0.2),
            value_loss(new, old, returns, mask, 0.2),
        ),
    ):
        torch.testing.assert_close(loss[0], clean[0])
        (gradient,) = torch.autograd.grad(loss[0], bad_new)
        assert torch.isfinite(gradient).all()
        assert (gradient[~mask] == 0).all()


@settings(deadline=None)
@given(SHAPES)
def test_whitened_numbers_have_mean_0_and_variance_1(shape: tuple[int, int, int]) -> None:
    mask, (x,) = batch(shape, 1)
    if mask.sum() < 2:
        return
    white = whiten(x, mask)
    assert masked_mean(white, mask).item() == pytest.approx(0, abs=1e-6)
    # The 1e-8 inside the root shows where the numbers hardly differ.
    variance = masked_var(x, mask).item()
    assert masked_var(white, mask).item() == pytest.approx(variance / (variance + 1e-8), rel=1e-6)
    assert (white[~mask] == 0).all()
    assert masked_mean(whiten(x, mask, shift_mean=False), mask).item() == pytest.approx(
        masked_mean(x, mask).item(), abs=1e-6
    )


@settings(deadline=None)
@given(SHAPES)
def test_k3_is_never_negative(shape: tuple[int, int, int]) -> None:
    _, (one, other) = batch(shape, 2)
    assert (kl_estimate(one, other, "k3") >= 0).all()
    assert (kl_estimate(one, one + 1e-9, "k3") >= 0).all()


@settings(deadline=None)
@given(SHAPES)
def test_rewards_sum_to_the_score_less_the_penalty(shape: tuple[int, int, int]) -> None:
    mask, (old, ref) = batch(shape, 2)
    scores = torch.arange(mask.shape[0], dtype=torch.float64)
    rewards = token_rewards(scores, old, ref, mask, 0.3)
    penalty = 0.3 * ((old - ref) * mask).sum(1)
    torch.testing.assert_close(rewards.sum(1), scores - penalty)
    lengths = mask.sum(1)
    bare = token_rewards(scores, old, ref, mask, 0.0)
    assert bare.nonzero()[:, 1].tolist() == (lengths - 1)[scores != 0].tolist()


@settings(deadline=None)
@given(SHAPES, st.integers(1, 5))
def test_losses_of_micro_batches_add_up(shape: tuple[int, int, int], size: int) -> None:
    mask, (new, old, adv) = batch(shape, 3)
    tokens = mask.sum()
    for loss in (
        lambda rows: policy_loss(
            new[rows], old[rows], adv[rows], mask[rows], 0.2, denominator=tokens
        ),
        lambda rows: value_loss(
            new[rows], old[rows], adv[rows], mask[rows], 0.2, denominator=tokens
        ),
    ):
        whole, whole_stats = loss(slice(None))
        parts = [loss(slice(i, i + size)) for i in range(0, mask.shape[0], size)]
        torch.testing.assert_close(sum(part for part, _ in parts), whole)
        torch.testing.assert_close(
            sum(stats["clip_fraction"] for _, stats in parts), whole_stats["clip_fraction"]
        )


def test_the_gradient_at_ratio_1_is_the_plain_policy_gradient() -> None:
    old = torch.tensor([[-1.0, -2.0]])
    new = old.clone().requires_grad_()
    loss, _ = policy_loss(
        new, old, torch.tensor([[1.0, -3.0]]), torch.ones(1, 2, dtype=torch.bool), 0.2
    )
    (gradient,) = torch.autograd.grad(loss, new)
    assert gradient.tolist() == [[-0.5, 1.5]]


def test_beyond_the_clip_range_a_good_action_gets_no_gradient() -> None:
    new = torch.tensor([[0.5]]).requires_grad_()
    loss, stats = policy_loss(
        new, torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), 0.2
    )
    (gradient,) = torch.autograd.grad(loss, new)
    assert gradient.item() == 0
    assert stats["clip_fraction"].item() == 1


def test_a_ratio_beyond_any_float_stays_finite() -> None:
    new = torch.tensor([[1e4]]).requires_grad_()
    loss, _ = policy_loss(
        new, torch.zeros(1, 1), -torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), 0.2
    )
    assert torch.isfinite(loss)


def test_value_loss_without_clip_is_half_the_squared_error() -> None:
    values, returns = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    loss, stats = value_loss(values, values, returns, torch.ones(1, 1, dtype=torch.bool), None)
    assert loss.item() == 2.0
    assert stats["error"].item() == 4.0


def test_explained_variance_is_1_for_a_perfect_critic_and_nan_without_variance() -> None:
    mask = torch.ones(1, 3, dtype=torch.bool)
    returns = torch.tensor([[1.0, 2.0, 4.0]])
    assert explained_variance(returns, returns, mask).item() == 1
    assert explained_variance(returns.mean().expand(1, 3), returns, mask).item() == pytest.approx(0)
    assert explained_variance(returns, torch.ones(1, 3), mask).isnan()


def test_an_unknown_estimator_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'k4'"):
        kl_estimate(torch.zeros(1), torch.zeros(1), "k4")  # type: ignore[arg-type]


def test_the_measurements_are_a_mapping_and_attributes_and_carry_no_gradient() -> None:
    new = torch.zeros(1, 1, requires_grad=True)
    _, stats = policy_loss(
        new, torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), 0.2
    )
    assert stats["ratio_mean"] is stats.ratio_mean
    assert not any(value.requires_grad for value in stats.values())
    with pytest.raises(AttributeError):
        _ = stats.nothing
