"""The memory plan: literal numbers on known models, and how it moves with the settings."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.resolve import validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.plan import architecture_from_config, plan_memory
from ppo_tui.plan.memory import MemoryPlan

KNOWN_MODELS = json.loads((Path(__file__).parent / "known_models.json").read_text())
GIB = 2**30


def shape_of(name: str):
    return architecture_from_config(KNOWN_MODELS[name]["config"], name)


LLAMA_1B = shape_of("meta-llama/Llama-3.2-1B")
LLAMA_8B = shape_of("meta-llama/Llama-3.1-8B")
GPT2 = shape_of("openai-community/gpt2")
SHAPES = [shape_of(name) for name in sorted(KNOWN_MODELS)]


def run(**groups) -> RunConfig:
    return validate(groups, "the test")


def parts(plan: MemoryPlan) -> dict[str, int]:
    return {part.name: part.bytes for part in plan.parts}


SMALL_RUN = run(
    model={"quantization": "nf4"},
    rollout={"batch_size": 16, "response_tokens": 128},
    ppo={"micro_batch_size": 2},
)


def test_the_parts_of_an_8b_run_in_4_bits():
    plan = plan_memory(LLAMA_8B, SMALL_RUN, 16 * GIB, "cuda", prompt_tokens=128)
    found = parts(plan)
    # 6,979,321,856 weights in the blocks at 4.127 bits, 1,050,939,392 others at 16 bits.
    assert found["weights"] == 1_050_939_392 * 2 + 3_600_416_768
    # Rank 16 on all seven layers of 32 blocks, and a value head of 4096 weights and a bias.
    assert found["adapters"] == 4 * (41_943_040 + 4097)
    assert found["optimiser"] == 3 * found["adapters"]
    # 16 x 256 tokens, 8 heads of 128, keys and values, 2 bytes, 32 layers.
    assert found["KV cache"] == 2 * 16 * 256 * 8 * 128 * 2 * 32
    assert "rollout copy" not in found
    assert plan.verdict == "fits"
    assert 5 * GIB < found["weights"] + found["adapters"] < 6 * GIB


@pytest.mark.parametrize(
    ("quantization", "dtype", "expected"),
    [
        ("none", "float32", 4 * 1_235_814_400),
        ("none", "bfloat16", 2 * 1_235_814_400),
        ("int8", "bfloat16", 973_078_528 + 4 * 376_832 + 2 * 262_735_872),
        ("nf4", "bfloat16", 501_981_184 + 2 * 262_735_872),
    ],
)
def test_the_weights_of_a_1b_model(quantization, dtype, expected):
    config = run(model={"quantization": quantization, "dtype": dtype})
    assert parts(plan_memory(LLAMA_1B, config, None, "cuda"))["weights"] == expected


def test_the_dtype_is_16_bits_but_on_the_cpu():
    weights = {
        device: parts(plan_memory(GPT2, run(), None, device))["weights"]
        for device in ("cuda", "mps", "cpu")
    }
    assert weights == {"cuda": 2 * 124_439_808, "mps": 2 * 124_439_808, "cpu": 4 * 124_439_808}


def test_cuda_itself_takes_about_a_gibibyte_and_the_cpu_nothing():
    assert 0.8 * GIB < parts(plan_memory(GPT2, run(), None, "cuda"))["device"] < 1.4 * GIB
    assert "device" not in parts(plan_memory(GPT2, run(), None, "cpu"))


def test_a_merged_rollout_holds_a_copy_of_the_adapted_layers_or_of_all_that_are_quantised():
    assert copy_of(run()) == 2 * 973_078_528
    assert copy_of(run(adapter={"targets": ["q_proj"]})) == 2 * 16 * 2048 * 2048
    assert copy_of(run(adapter={"targets": ["q_proj"]}, model={"quantization": "nf4"})) == (
        2 * 973_078_528
    )
    assert copy_of(run(engine={"rollout_weights": "adapters"})) == 0


def copy_of(config: RunConfig) -> int:
    return parts(plan_memory(LLAMA_1B, config, None, "cuda")).get("rollout copy", 0)


def test_what_the_rollout_keeps_is_there_in_every_phase():
    kept = plan_memory(LLAMA_1B, run(), None, "cuda")
    assert kept.choices.keep_rollout
    assert {part.name for part in kept.parts if part.phase == "always"} >= {
        "KV cache",
        "rollout copy",
        "CUDA graphs",
    }
    let_go = plan_memory(LLAMA_1B, run(engine={"rollout": "plain"}), None, "cuda")
    assert {part.name for part in let_go.parts if part.phase == "rollout"} == {
        "KV cache",
        "rollout copy",
        "rollout buffers",
    }


def test_a_plain_rollout_has_a_cache_that_grows():
    fixed = plan_memory(LLAMA_1B, run(), None, "cpu")
    plain = plan_memory(LLAMA_1B, run(engine={"rollout": "plain"}), None, "cpu")
    assert parts(fixed)["KV cache"] * 17 == parts(plain)["KV cache"] * 16


def test_responses_to_one_prompt_share_its_pass():
    alone = run(rollout={"batch_size": 64})
    shared = run(rollout={"batch_size": 64, "samples_per_prompt": 8})
    buffers = [
        parts(plan_memory(GPT2, config, None, "cpu", prompt_tokens=64))["rollout buffers"]
        for config in (alone, shared)
    ]
    assert buffers[1] < 0.5 * buffers[0]


def test_computing_again_keeps_a_blocks_input_alone():
    config = run(engine={"micro_batch_tokens": 1000, "checkpointing": "never"})
    again = run(engine={"micro_batch_tokens": 1000, "checkpointing": "always"})
    in_full = parts(plan_memory(LLAMA_8B, config, None, "cuda"))["activations"]
    inputs = parts(plan_memory(LLAMA_8B, again, None, "cuda"))["activations"]
    # 32 inputs of 4096 numbers, 2 bytes each, for 1000 tokens; and two blocks in full of 32.
    assert 1000 * 32 * 4096 * 2 < inputs < 1000 * 32 * 4096 * 2 + 0.07 * in_full


def test_the_pass_for_the_only_optimiser_step_is_kept_while_the_base_scores():
    single = {"ppo": {"epochs": 1, "minibatches": 1}}
    whole = parts(plan_memory(LLAMA_1B, run(**single), None, "cuda"))
    assert whole["kept activations"] == whole["activations"]
    in_parts = run(**single, engine={"micro_batch_tokens": 15 * 96})
    for config in (in_parts, run()):
        assert "kept activations" not in parts(plan_memory(LLAMA_1B, config, None, "cuda"))


def test_what_the_allocator_hands_out_is_all_but_cudas_own():
    plan = plan_memory(LLAMA_1B, run(), None, "cuda")
    found = parts(plan)
    assert plan.total - plan.allocated == found["device"] + found["CUDA graphs"]
    assert plan_memory(LLAMA_1B, run(), None, "cpu").allocated == (
        plan_memory(LLAMA_1B, run(), None, "cpu").total
    )


def test_a_stated_budget_counts_where_it_is_less_than_the_device_has():
    stated = run(engine={"memory_gib": 6})
    assert plan_memory(LLAMA_1B, stated, 16 * GIB, "cuda").budget == 6 * GIB
    assert plan_memory(LLAMA_1B, stated, 16 * GIB, "cuda").stated
    assert plan_memory(LLAMA_1B, stated, None, "cuda").budget == 6 * GIB
    assert plan_memory(LLAMA_1B, stated, 4 * GIB, "cuda").budget == 4 * GIB
    assert not plan_memory(LLAMA_1B, stated, 4 * GIB, "cuda").stated
    assert not plan_memory(LLAMA_1B, run(), 4 * GIB, "cuda").stated


def test_the_total_is_what_is_always_held_and_the_largest_phase():
    plan = plan_memory(LLAMA_8B, SMALL_RUN, 16 * GIB, "cuda")
    sums = {
        phase: sum(part.bytes for part in plan.parts if part.phase == phase)
        for phase in ("always", "rollout", "scoring", "update")
    }
    assert plan.peak_phase == "update"
    assert plan.total == sums["always"] + sums["update"]
    assert plan.total == sum(part.bytes for part in plan.peak_parts)
    assert sums["rollout"] < sums["update"] > sums["scoring"]


def test_a_long_rollout_of_many_can_be_the_peak():
    config = run(
        rollout={"batch_size": 256, "response_tokens": 512},
        ppo={"micro_batch_size": 1},
        engine={"rollout": "plain"},
    )
    plan = plan_memory(LLAMA_1B, config, None, "cuda")
    assert plan.peak_phase == "rollout"


AS_TOLD = {"micro_batch_tokens": 2048, "rollout_slots": 16, "rollout_weights": "merged"}


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.5, "fits"), (0.89, "fits"), (0.91, "tight"), (1.01, "too large")]
)
def test_the_verdict_follows_from_the_share_of_the_budget(share, verdict):
    config = run(
        rollout={"batch_size": 16, "response_tokens": 128},
        engine={**AS_TOLD, "rollout": "plain", "checkpointing": "never"},
    )
    total = plan_memory(LLAMA_1B, config, None, "cuda").total
    assert plan_memory(LLAMA_1B, config, int(total / share), "cuda").verdict == verdict


def test_without_a_budget_there_is_no_verdict():
    plan = plan_memory(LLAMA_1B, run(), None, "cuda")
    assert plan.verdict is None
    assert all(suggestion.verdict is None for suggestion in plan.suggestions)


def test_each_suggestion_saves_what_it_says():
    config = run(
        model={"dtype": "bfloat16"},
        rollout={"batch_size": 32, "response_tokens": 64},
        ppo={"value": "adapter"},
        engine={**AS_TOLD, "checkpointing": "never"},
    )
    plan = plan_memory(LLAMA_1B, config, 3 * GIB, "cuda")
    assert plan.verdict == "too large"
    assert {s.setting: s.value for s in plan.suggestions} == {
        "engine.micro_batch_tokens": 512,
        "engine.checkpointing": "auto",
        "model.quantization": "nf4",
        "rollout.response_tokens": 32,
        "rollout.batch_size": 16,
        "ppo.value": "head",
    }
    assert [s.saves for s in plan.suggestions] == sorted(
        (s.saves for s in plan.suggestions), reverse=True
    )
    for suggestion in plan.suggestions:
        group, field = suggestion.setting.split(".")
        values = config.model_dump()
        values[group][field] = suggestion.value
        again = plan_memory(LLAMA_1B, validate(values, "the test"), 3 * GIB, "cuda")
        assert plan.total - again.total == suggestion.saves > 0
        assert again.verdict == suggestion.verdict


def test_nothing_is_suggested_that_is_so_already_or_not_allowed():
    config = run(
        model={"quantization": "nf4"},
        rollout={"batch_size": 4, "response_tokens": 1},
        ppo={"minibatches": 4},
    )
    assert plan_memory(LLAMA_1B, config, None, "cuda").suggestions == ()


def test_the_micro_batch_is_the_minibatch_unless_it_is_set():
    assert plan_memory(GPT2, run(), None, "cpu").micro_batch == 16
    tokens = run(engine={"micro_batch_tokens": 300})
    assert plan_memory(GPT2, tokens, None, "cpu").micro_batch == 3  # of 64 + 32 tokens each
    assert plan_memory(GPT2, run(engine={"micro_batch_tokens": 1}), None, "cpu").micro_batch == 1
    assert plan_memory(GPT2, run(ppo={"micro_batch_size": 3}), None, "cpu").micro_batch == 3
    assert plan_memory(GPT2, run(ppo={"micro_batch_size": 99}), None, "cpu").micro_batch == 16


def test_the_prompts_length_comes_from_the_caller_then_the_config_then_is_assumed():
    config = run(data={"max_prompt_tokens": 100})
    assert plan_memory(GPT2, config, None, "cpu", prompt_tokens=10).prompt_tokens == 10
    assert plan_memory(GPT2, config, None, "cpu").prompt_tokens == 100
    assert plan_memory(GPT2, run(), None, "cpu").prompt_tokens == 64


def test_a_prompt_is_never_longer_than_the_context():
    longest = plan_memory(GPT2, run(), None, "cpu", prompt_tokens=1024 - 32)
    assert plan_memory(GPT2, run(), None, "cpu", prompt_tokens=10**6).total == longest.total


def test_adapters_on_some_layers_are_smaller():
    everywhere = parts(plan_memory(LLAMA_1B, run(), None, "cuda"))
    some = run(adapter={"targets": ["q_proj", "v_proj"]})
    found = parts(plan_memory(LLAMA_1B, some, None, "cuda"))
    assert found["adapters"] == 4 * (16 * 16 * (2048 + 2048 + 2048 + 512) + 2049)
    assert found["activations"] < everywhere["activations"]


def test_the_plan_is_plain_data():
    data = plan_memory(LLAMA_1B, SMALL_RUN, 8 * GIB, "cuda").to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["choices"]["rollout_slots"] == 16
    assert data["total_bytes"] == sum(p["bytes"] for p in data["parts"] if p["at_peak"])
    assert all(part["explanation"].endswith(".") for part in data["parts"])


@st.composite
def runs(draw) -> dict:
    minibatches = draw(st.sampled_from([1, 2, 4]))
    return {
        "model": {
            "quantization": draw(st.sampled_from(["none", "int8", "nf4"])),
            "dtype": draw(st.sampled_from(["auto", "float32", "bfloat16"])),
        },
        "adapter": {"rank": draw(st.integers(1, 128))},
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


@given(
    st.sampled_from(SHAPES),
    runs(),
    st.sampled_from(["cuda", "mps", "cpu"]),
    st.integers(1, 2000),
    st.sampled_from(["batch_size", "response_tokens", "rank", "micro_batch_size", "prompt"]),
    st.integers(1, 8),
)
def test_more_of_anything_never_takes_less(shape, values, device, prompt, what, more):
    if what == "batch_size":  # else a minibatch may become more than one pass, which keeps less
        values["ppo"]["micro_batch_size"] = None
    before = plan_memory(shape, run(**values), None, device, prompt)
    if what == "batch_size":
        values["rollout"]["batch_size"] += more * values["ppo"]["minibatches"]
    elif what == "response_tokens":
        # The prompt gives way to the response where the context is full.
        values["rollout"]["response_tokens"] += more
        prompt = prompt + more if shape.context is None else prompt
    elif what == "rank":
        values["adapter"]["rank"] += more
    elif what == "micro_batch_size":
        values["ppo"]["micro_batch_size"] = before.micro_batch + more
    else:
        prompt += more
    after = plan_memory(shape, run(**values), None, device, prompt)
    for name, size in parts(before).items():
        if what == "response_tokens" and name == "rollout buffers":
            continue
        assert parts(after)[name] >= size
    if what != "response_tokens":
        assert after.total >= before.total


@given(st.sampled_from(SHAPES), runs(), st.sampled_from(["cuda", "mps", "cpu"]))
def test_fewer_bits_never_take_more_for_the_weights(shape, values, device):
    sizes = []
    for quantization in ("none", "int8", "nf4"):
        values["model"] = {"quantization": quantization, "dtype": "bfloat16"}
        sizes.append(parts(plan_memory(shape, run(**values), None, device))["weights"])
    assert sizes == sorted(sizes, reverse=True)


@given(st.sampled_from(SHAPES), runs(), st.integers(1, 2**40))
def test_any_valid_run_has_a_plan_of_whole_positive_bytes(shape, values, budget):
    plan = plan_memory(shape, run(**values), budget, "cuda")
    assert all(type(part.bytes) is int and part.bytes > 0 for part in plan.parts)
    assert plan.verdict == (
        "too large" if plan.total > budget else "tight" if plan.total > 0.9 * budget else "fits"
    )
    assert all(suggestion.saves > 0 for suggestion in plan.suggestions)
