"""How a run is carried out is chosen so that it fits, and given up in order."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.resolve import validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.plan import Choices, MemoryPlan, architecture_from_config, plan_memory

KNOWN_MODELS = json.loads((Path(__file__).parent / "known_models.json").read_text())
GIB = 2**30


def shape_of(name: str):
    return architecture_from_config(KNOWN_MODELS[name]["config"], name)


LLAMA_1B = shape_of("meta-llama/Llama-3.2-1B")
LLAMA_8B = shape_of("meta-llama/Llama-3.1-8B")
GPT2 = shape_of("openai-community/gpt2")
SHAPES = [
    shape_of(name)
    for name in (
        "EleutherAI/pythia-1b",
        "Qwen/Qwen3-4B-Instruct-2507",
        "google/gemma-2-2b",
        "meta-llama/Llama-3.1-8B",
        "microsoft/Phi-3.5-mini-instruct",
        "openai-community/gpt2",
    )
]


def run(**groups) -> RunConfig:
    return validate(groups, "the test")


CHAT = run(rollout={"batch_size": 64, "response_tokens": 128})
LONG = run(
    model={"quantization": "nf4"},
    data={"max_prompt_tokens": 512},
    rollout={"batch_size": 64, "response_tokens": 256},
)


def sums(plan: MemoryPlan) -> dict[str, int]:
    return {
        phase: sum(part.bytes for part in plan.parts if part.phase == phase)
        for phase in ("always", "rollout", "scoring", "update")
    }


def test_without_a_budget_nothing_is_given_up():
    assert plan_memory(LLAMA_1B, CHAT, None, "cuda").choices == Choices(
        micro_batch_tokens=None,
        rollout_weights="merged",
        keep_rollout=True,
        rollout_slots=64,
        checkpointing=False,
    )


def test_with_plenty_of_memory_nothing_is_given_up():
    plenty = plan_memory(LLAMA_1B, CHAT, 80 * GIB, "cuda").choices
    assert plenty == plan_memory(LLAMA_1B, CHAT, None, "cuda").choices


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_only_cuda_holds_the_rollout_from_step_to_step(device):
    assert not plan_memory(LLAMA_1B, CHAT, None, device).choices.keep_rollout
    assert not plan_memory(LLAMA_1B, CHAT, 500 * GIB, device).choices.keep_rollout


def test_a_plain_rollout_has_nothing_to_hold():
    plain = run(engine={"rollout": "plain"})
    assert not plan_memory(LLAMA_1B, plain, None, "cuda").choices.keep_rollout


def test_less_and_less_memory_gives_up_what_costs_least_time_first():
    given_up = []
    for gib in (80, 16, 9, 6, 5):
        plan = plan_memory(LLAMA_1B, CHAT, gib * GIB, "cuda")
        assert plan.verdict == "fits"
        given_up.append(plan.choices)
    assert given_up == [
        Choices(None, "merged", True, 64, False),
        Choices(None, "merged", True, 64, False),
        Choices(8 * 192, "merged", False, 64, False),
        Choices(3 * 192, "adapters", False, 64, False),
        Choices(None, "adapters", False, 32, True),
    ]


def test_an_8b_model_in_4_bits_trains_on_512_and_256_tokens_in_12_gb():
    plan = plan_memory(LLAMA_8B, LONG, 12 * 10**9, "cuda")
    assert plan.verdict == "fits"
    assert plan.choices.checkpointing
    assert plan.choices.rollout_weights == "adapters"
    assert plan.choices.rollout_slots >= 16
    assert plan.micro_batch >= 2


def test_a_run_that_cannot_fit_has_the_lowest_peak_and_is_too_large():
    plan = plan_memory(LLAMA_1B, CHAT, 3 * GIB, "cuda")
    assert plan.verdict == "too large"
    assert plan.choices.micro_batch_tokens == 64 + 128
    assert plan.choices.checkpointing
    # A few slots take no more than the update of a single sequence.
    held = sums(plan)
    assert 1 < plan.choices.rollout_slots < 64
    assert held["rollout"] <= held["update"]


def test_rollout_and_update_are_fitted_apart():
    # The cache of 256 long responses does not fit; a micro-batch of one sequence does.
    config = run(rollout={"batch_size": 256, "response_tokens": 512}, ppo={"micro_batch_size": 1})
    choices = plan_memory(LLAMA_1B, config, 10 * GIB, "cuda").choices
    assert choices.rollout_slots < 256
    assert choices.micro_batch_tokens is None
    assert not choices.checkpointing


def test_on_the_cpu_two_sequences_at_a_time_are_enough_to_keep_what_they_need():
    config = run(rollout={"batch_size": 64, "response_tokens": 448})
    sizes = {
        (choices.micro_batch_tokens, choices.checkpointing)
        for mib in range(600, 10_000, 100)
        for choices in [plan_memory(GPT2, config, mib * 2**20, "cpu").choices]
    }
    assert (2 * 512, False) in sizes
    assert (512, False) not in sizes
    assert (512, True) in sizes


@pytest.mark.parametrize("budget", [None, 4 * GIB, 8 * GIB, 80 * GIB])
def test_what_the_user_sets_is_obeyed(budget):
    told = run(
        rollout={"batch_size": 64},
        engine={
            "micro_batch_tokens": 333,
            "rollout_weights": "adapters",
            "rollout_slots": 5,
            "checkpointing": "always",
        },
    )
    choices = plan_memory(LLAMA_1B, told, budget, "cuda").choices
    assert choices.micro_batch_tokens == 333
    assert choices.rollout_weights == "adapters"
    assert choices.rollout_slots == 5
    assert choices.checkpointing


@pytest.mark.parametrize(
    ("engine", "name", "value"),
    [
        ({"micro_batch_tokens": 4000}, "micro_batch_tokens", 4000),
        ({"rollout_weights": "merged"}, "rollout_weights", "merged"),
        ({"rollout_slots": 64}, "rollout_slots", 64),
        ({"checkpointing": "never"}, "checkpointing", False),
    ],
)
def test_one_thing_that_is_set_leaves_the_others_to_be_chosen(engine, name, value):
    config = CHAT.model_copy(update={"engine": run(engine=engine).engine})
    choices = plan_memory(LLAMA_1B, config, 4 * GIB, "cuda").choices
    free = plan_memory(LLAMA_1B, CHAT, 80 * GIB, "cuda").choices
    assert getattr(choices, name) == value
    assert choices != free


def test_the_cap_of_sequences_bounds_every_micro_batch():
    config = run(rollout={"batch_size": 64}, ppo={"micro_batch_size": 3})
    plan = plan_memory(LLAMA_1B, config, None, "cuda")
    assert plan.choices.micro_batch_tokens is None
    assert plan.micro_batch == 3
    for gib in (3, 4, 5, 6, 8):
        assert plan_memory(LLAMA_1B, config, gib * GIB, "cuda").micro_batch <= 3


def test_a_micro_batch_is_never_less_than_the_longest_sequence():
    for gib in range(1, 12):
        choices = plan_memory(LLAMA_8B, LONG, gib * GIB, "cuda").choices
        assert choices.micro_batch_tokens is not None
        assert choices.micro_batch_tokens >= 512 + 256


@st.composite
def runs(draw) -> dict:
    minibatches = draw(st.sampled_from([1, 2, 4]))
    return {
        "model": {"quantization": draw(st.sampled_from(["none", "int8", "nf4"]))},
        "rollout": {
            "batch_size": minibatches * draw(st.integers(1, 64)),
            "response_tokens": draw(st.integers(1, 512)),
        },
        "ppo": {
            "minibatches": minibatches,
            "value": draw(st.sampled_from(["head", "adapter"])),
            "micro_batch_size": draw(st.none() | st.integers(1, 64)),
        },
    }


budgets = st.integers(0, 60 * GIB)
devices = st.sampled_from(["cuda", "mps", "cpu"])


@given(st.sampled_from(SHAPES), runs(), devices, budgets, budgets, st.integers(1, 800))
def test_less_memory_never_takes_back_what_more_memory_gave_up(
    shape, values, device, one, other, prompt
):
    # A plain rollout is never kept, so that rollout and update are always fitted apart.
    config = run(**values, engine={"rollout": "plain"})
    less, more = (
        plan_memory(shape, config, budget, device, prompt).choices
        for budget in sorted((one, other))
    )
    assert (less.checkpointing, -tokens(less)) >= (more.checkpointing, -tokens(more))
    order = ("merged", "adapters")
    assert (order.index(less.rollout_weights), -less.rollout_slots) >= (
        order.index(more.rollout_weights),
        -more.rollout_slots,
    )


def tokens(choices: Choices) -> float:
    unbounded = choices.micro_batch_tokens is None
    return float("inf") if unbounded else float(choices.micro_batch_tokens or 0)


@given(st.sampled_from(SHAPES), runs(), devices, budgets)
def test_it_fits_wherever_the_smallest_choices_do(shape, values, device, budget):
    config = run(**values)
    plan = plan_memory(shape, config, budget, device)
    smallest = plan_memory(
        shape,
        run(
            **values,
            engine={
                "micro_batch_tokens": 1,
                "rollout_weights": "adapters",
                "rollout_slots": 1,
                "checkpointing": "always",
            },
        ),
        0,
        device,
    )
    assert not smallest.choices.keep_rollout
    if smallest.total <= 0.9 * budget:
        assert plan.verdict == "fits"
    held = sums(plan)
    assert plan.total == held["always"] + max(held["rollout"], held["scoring"], held["update"])


@given(st.sampled_from(SHAPES), runs(), budgets)
def test_memory_that_is_kept_is_memory_that_is_there(shape, values, budget):
    plan = plan_memory(shape, run(**values), budget, "cuda")
    if plan.choices.keep_rollout:
        assert plan.verdict == "fits"
