"""The faster LoRA layer gives peft's numbers."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from ppo_tui.policy.lora import _LoraLinear, merged_weight, speed_up, sums_weights


class Net(nn.Module):
    def __init__(self, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.one = nn.Linear(6, 5, bias=bias, dtype=dtype)
        self.two = nn.Linear(5, 4, bias=bias, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.tanh(self.one(x)))


def wrapped(net: nn.Module, method: bool = False) -> nn.Module:
    torch.manual_seed(0)
    config = LoraConfig(
        r=3, lora_alpha=4, target_modules=["one", "two"], use_rslora=method, lora_dropout=0.0
    )
    model = get_peft_model(net, config, adapter_name="policy")
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    return model.eval()


def layers(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if hasattr(m, "lora_A")]


def output_and_gradients(
    model: nn.Module, x: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    x = x.clone().requires_grad_()
    y = model(x)
    y.square().sum().backward()
    trained = [p.grad for p in model.parameters() if p.requires_grad]
    return y.detach(), [x.grad, *trained]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rslora", [True, False])
@pytest.mark.parametrize("tokens", [1, 7])
def test_output_and_gradients_are_those_of_peft(bias: bool, rslora: bool, tokens: int) -> None:
    torch.manual_seed(1)
    model, x = wrapped(Net(bias=bias), rslora), torch.randn(2, tokens, 6)
    # Few tokens go beside the weights, many through their sum.
    assert sums_weights(2 * tokens, layers(model)[0].get_base_layer().weight) == (tokens == 7)
    expected, expected_gradients = output_and_gradients(model, x)
    assert speed_up(layers(model)) == 2
    actual, gradients = output_and_gradients(model, x)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert len(gradients) == 5
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 3])
def test_the_gradients_are_right_by_finite_differences(tokens: int) -> None:
    torch.manual_seed(2)
    x, a, b = (
        torch.randn(*s, dtype=torch.float64, requires_grad=True)
        for s in ((2, tokens, 4), (2, 4), (5, 2))
    )
    weight = torch.randn(5, 4, dtype=torch.float64)
    assert sums_weights(2 * tokens, weight) == (tokens == 3)
    assert torch.autograd.gradcheck(
        lambda x, a, b: _LoraLinear.apply(x, weight, None, a, b, 0.7), (x, a, b)
    )


def test_with_adapters_off_it_is_the_base_layer_to_the_last_bit() -> None:
    net = Net()
    x = torch.randn(3, 6)
    expected = net(x)
    model = wrapped(net)
    speed_up(layers(model))
    with model.disable_adapter():
        assert torch.equal(model(x), expected)


def test_an_adapter_that_is_zero_changes_nothing_to_the_last_bit() -> None:
    net = Net()
    x = torch.randn(3, 6)
    expected = net(x)
    model = get_peft_model(net, LoraConfig(r=3, target_modules=["one", "two"]))
    speed_up(layers(model))
    assert torch.equal(model(x), expected)


def test_in_16_bits_pefts_own_path_stays() -> None:
    assert speed_up(layers(wrapped(Net(dtype=torch.bfloat16)))) == 0


def test_a_merged_weight_is_the_sum() -> None:
    merged = merged_weight(
        torch.eye(2), torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), 2
    )
    assert merged.tolist() == [[7.0, 12.0], [8.0, 17.0]]
