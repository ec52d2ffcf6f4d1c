"""The plan of an update against the most bytes that were alive in one, counted on a small model."""

import gc
import json
import weakref

import pytest

from ppo_tui.config.resolve import validate
from ppo_tui.plan import architecture_from_config, plan_memory

ROWS, PROMPT, RESPONSE, RANK = 4, 64, 64, 8
SIZES = {
    "hidden_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "vocab_size": 2048,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "attention_dropout": 0.0,
}


def most_alive(work, own) -> int:
    """The most bytes of tensors that are alive at a time while `work` runs, `own` not counted."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Alive(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: dict[int, int] = {}
            self.known = {tensor.untyped_storage()._cdata for tensor in own}
            self.peak = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(out):
                if not isinstance(tensor, torch.Tensor):
                    continue
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.known and key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    self.peak = max(self.peak, sum(self.sizes.values()))
                    weakref.finalize(storage, self.sizes.pop, key, None)
            return out

    gc.collect()
    with Alive() as alive:
        work()
    return alive.peak


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "dtype", "value", "checkpointing"),
    [
        ("llama", "bfloat16", "head", "never"),
        ("llama", "bfloat16", "head", "always"),
        ("llama", "float32", "adapter", "never"),
        ("phi3", "bfloat16", "head", "always"),
    ],
)
def test_the_plan_of_an_update_is_its_peak(kind, dtype, value, checkpointing):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ppo_tui.policy.loading import BaseModel
    from ppo_tui.policy.roles import Roles
    from ppo_tui.policy.sequences import Sequences
    from ppo_tui.policy.vocabulary import Vocabulary

    sizes = AutoConfig.for_model(kind, **SIZES)
    model = AutoModelForCausalLM.from_config(sizes, dtype=getattr(torch, dtype))
    base = BaseModel(
        model=model.requires_grad_(False).eval(),
        tokenizer=None,
        vocabulary=Vocabulary(eos_ids=(1,), pad_id=0, pad_is_own=True),
        device=torch.device("cpu"),
        dtype=getattr(torch, dtype),
        quantization="none",
        context_length=256,
        source="the test",
    )
    run = validate(
        {
            "model": {"dtype": dtype},
            "adapter": {"rank": RANK},
            "rollout": {"batch_size": ROWS, "response_tokens": RESPONSE},
            "data": {"max_prompt_tokens": PROMPT},
            "ppo": {"minibatches": 1, "value": value},
            "engine": {"checkpointing": checkpointing},
        },
        "the test",
    )
    roles = Roles(base, run.adapter, value)
    if checkpointing == "always":
        assert roles.checkpoint_activations()
    batch = Sequences(
        torch.arange(ROWS * PROMPT).reshape(ROWS, PROMPT) % 2000 + 2,
        torch.full((ROWS,), PROMPT),
        torch.arange(ROWS * RESPONSE).reshape(ROWS, RESPONSE) % 1999 + 2,
        torch.full((ROWS,), RESPONSE),
    )
    trained = [*roles.policy_parameters(), *roles.value_parameters()]

    def update() -> None:
        output = roles.policy_pass(batch)
        (output.logprobs.sum() + output.values.sum()).backward()

    update()  # the gradients are of the optimiser's part
    own = [*model.parameters(), *model.buffers(), *trained]
    own += [weight.grad for weight in trained if weight.grad is not None]
    measured = most_alive(update, own)

    shape = architecture_from_config(json.loads(sizes.to_json_string(use_diff=False)))
    plan = plan_memory(shape, run, None, "cpu")
    planned = sum(part.bytes for part in plan.parts if part.phase == "update")
    assert planned == pytest.approx(measured, rel=0.12)
