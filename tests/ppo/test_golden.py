"""The golden vectors: computed from the formulas, agreed with by other implementations."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppo_tui.ppo import AdaptiveKL, gae, kl_estimate, policy_loss, token_rewards, value_loss, whiten

GOLDEN = json.loads(Path(__file__).with_name("golden_vectors.json").read_text())
INPUTS = GOLDEN["inputs"]
SCORED = GOLDEN["B_score_at_last_token"]


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected: object) -> None:
    torch.testing.assert_close(actual, tensor(expected), rtol=0, atol=1e-6)


MASK = tensor(INPUTS["mask"]).bool()
OLD, REF = tensor(INPUTS["old_logprobs"]), tensor(INPUTS["ref_logprobs"])


@pytest.fixture
def advantages() -> Tensor:
    return whiten(tensor(SCORED["advantages_raw"]), MASK)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_estimates(kind: str) -> None:
    close(kl_estimate(OLD, REF, kind), GOLDEN[kind])


def test_rewards_put_the_score_on_the_last_token() -> None:
    scores = tensor(INPUTS["scores"])
    close(token_rewards(scores, OLD, REF, MASK, INPUTS["beta"]), SCORED["rewards"])


def test_advantages_and_returns() -> None:
    advantages, returns = gae(
        tensor(SCORED["rewards"]), tensor(INPUTS["values"]), MASK, INPUTS["gamma"], INPUTS["lam"]
    )
    close(advantages, SCORED["advantages_raw"])
    close(returns, SCORED["returns"])


def test_whitening_is_unbiased(advantages: Tensor) -> None:
    close(advantages, SCORED["whiten_unbiased"])


def test_whitening_can_keep_the_mean() -> None:
    x = tensor([[1.2, 1.3, 1.4], [1.5, 1.6, 1.7], [1.8, 1.9, 2.0]])
    everything = torch.ones(3, 3, dtype=torch.bool)
    close(whiten(x, everything, shift_mean=False), GOLDEN["whiten_shift_mean_False_unbiased"])


def test_policy_loss_and_its_measurements(advantages: Tensor) -> None:
    new, expected = tensor(INPUTS["new_logprobs"]), GOLDEN["loss_B"]
    loss, stats = policy_loss(new, OLD, advantages, MASK, INPUTS["clip"])
    close(loss, expected["pg_loss"])
    close(stats["clip_fraction"], expected["pg_clipfrac"])
    close(stats["approx_kl"], expected["approx_kl_k3"])
    close(stats["approx_kl_half_sq"], expected["approx_kl_half_sq"])
    close(stats["ratio_mean"], expected["ratio_masked_mean"])


def test_dual_clip_that_does_not_bind_changes_nothing(advantages: Tensor) -> None:
    new = tensor(INPUTS["new_logprobs"])
    loss, _ = policy_loss(new, OLD, advantages, MASK, INPUTS["clip"], dual_clip=3.0)
    close(loss, GOLDEN["dual_clip_c3_pg_loss"])


def test_dual_clip_binds_where_a_bad_action_became_likely() -> None:
    case = GOLDEN["dual_clip_binding"]
    old, new, adv = (tensor(case[key]) for key in ("old", "new", "advantages"))
    everything = torch.ones(1, 4, dtype=torch.bool)
    plain, _ = policy_loss(new, old, adv, everything, 0.2)
    dual, _ = policy_loss(new, old, adv, everything, 0.2, dual_clip=case["c"])
    close(plain, case["pg_loss_plain"])
    close(dual, case["pg_loss_dual"])


def test_clip_higher_widens_the_upper_side_only() -> None:
    case = GOLDEN["dual_clip_binding"]
    old, new, adv = (tensor(case[key]) for key in ("old", "new", "advantages"))
    loss, _ = policy_loss(new, old, adv, torch.ones(1, 4, dtype=torch.bool), 0.2, clip_high=0.28)
    close(loss, GOLDEN["clip_higher_0.2_0.28_pg_loss"])


def test_value_loss() -> None:
    loss, _ = value_loss(
        tensor(INPUTS["vpred"]),
        tensor(INPUTS["values"]),
        tensor(SCORED["returns"]),
        MASK,
        INPUTS["vclip"],
    )
    close(loss, GOLDEN["loss_B"]["vf_loss"])


def test_losses_are_token_means_and_take_a_denominator() -> None:
    # With new = old and A = -1 the policy loss of every token is 1.
    zeros, ones = torch.zeros(2, 4), torch.ones(2, 4)
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    mean, _ = policy_loss(zeros, zeros, -ones, mask, 0.2)
    shared, _ = policy_loss(zeros, zeros, -ones, mask, 0.2, denominator=20)
    assert mean.item() == 1.0
    assert shared.item() == 0.25


def test_adaptive_kl_follows_its_target() -> None:
    controller = AdaptiveKL(0.15, 6, 1e4)
    expected = GOLDEN["adaptive_kl(init=.15,target=6,horizon=1e4,n_steps=512; current=0,3,6,7,12)"]
    measured = [controller.update(kl, 512) for kl in (0, 3, 6, 7, 12)]
    close(tensor(measured), expected)
