"""The engine on a CUDA device: graphs, 16 and 4 bits, and memory that really runs out."""

import gc
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from models import (
    edit_json,
    load_roles,
    long_batch,
    perturb,
    random_ids,
    save_model,
)
from training.toys import make_config, trained_weights

from ppo_tui.policy import cuda_graphs
from ppo_tui.policy.decoder import Decoding
from ppo_tui.training.setup import build_trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")
PROMPTS = [random_ids(1 + (7 * row) % 30, seed=row) for row in range(24)]
TOKENS = 20


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(roles, how, seed=0, prompts=PROMPTS, **cut):
    roles.decoder.decoding = how
    return roles.decoder.sample(prompts, TOKENS, seeded(seed), **cut)


def same_texts(one, other):
    one, other = one.sequences, other.sequences
    return torch.equal(one.response_ids, other.response_ids) and torch.equal(
        one.response_lengths, other.response_lengths
    )


def allocated() -> int:
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


@pytest.fixture(autouse=True)
def _everything_given_back() -> Iterator[None]:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    torch.cuda.empty_cache()


@pytest.fixture
def ending(tmp_path):
    """Makes a trained model of an architecture for which a sixth of all tokens end a response."""

    def make(architecture="llama", **options):
        folder = save_model(tmp_path / architecture, architecture)
        edit_json(folder / "generation_config.json", eos_token_id=list(range(2, 52)))
        return perturb(load_roles(folder, device=CUDA, **options))

    return make


# ---- decoding


@pytest.mark.parametrize("slots", [None, 5, 1])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mistral", "gpt2"])
def test_slots_with_and_without_graphs_write_what_a_growing_cache_writes(
    ending, architecture, slots
):
    roles = ending(architecture, dtype="float32")
    for seed in (0, 1):
        plain = sampled(roles, Decoding(kind="plain"), seed)
        assert len(set(plain.sequences.response_lengths.tolist())) > 3
        eager = sampled(roles, Decoding(kind="slots", slots=slots, graphs=False), seed)
        assert roles.decoder._graphs is None
        graphs = sampled(roles, Decoding(kind="slots", slots=slots, keep=True), seed)
        assert roles.decoder.graphs_refused == ""
        assert roles.decoder._graphs.captured > 0
        assert same_texts(eager, plain)
        assert same_texts(graphs, plain)
        assert (graphs.logprobs - plain.logprobs).abs().max() < 1e-3
        roles.decoder.release()


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_graphs_over_quantised_weights_write_what_single_launches_write(
    ending, quantization, merged
):
    roles = ending(quantization=quantization)
    how = Decoding(kind="slots", slots=8, merged=merged, graphs=False)
    eager = sampled(roles, how)
    graphs = sampled(roles, Decoding(kind="slots", slots=8, merged=merged))
    assert same_texts(eager, graphs)


@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.7}])
def test_graphs_hold_a_cut_sampler_as_well(ending, cut):
    roles = ending(dtype="float32")
    plain = sampled(roles, Decoding(kind="plain"), **cut)
    assert same_texts(sampled(roles, Decoding(kind="slots", slots=8), **cut), plain)
    assert roles.decoder.graphs_refused == ""


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("options", [{}, {"quantization": "nf4"}])
@torch.no_grad()
def test_in_16_bits_the_sampler_is_close_to_the_policy_in_training(ending, options, merged):
    roles = ending(dtype="bfloat16", **options)
    sequences, logprobs = sampled(roles, Decoding(kind="slots", merged=merged))
    gap = (logprobs - roles.policy_pass(sequences).logprobs).abs()[sequences.response_mask]
    assert gap.mean() < 0.05
    assert gap.max() < 1.0


def test_what_is_kept_uses_its_graphs_again_and_follows_the_adapter(ending):
    kept, anew = ending(dtype="float32"), ending(dtype="float32")
    captured, held = [], []
    for seed in range(4):
        # The same uniform numbers: the same steps, of which later calls capture none anew.
        found = sampled(kept, Decoding(keep=True, slots=8), seed=0)
        assert same_texts(found, sampled(anew, Decoding(slots=8, graphs=False), seed=0))
        captured.append((id(kept.decoder._graphs), kept.decoder._graphs.captured))
        held.append(allocated())
        for roles in (kept, anew):
            perturb(roles, scale=1e-4, seed=seed)
    assert captured[1] == captured[2] == captured[3]
    assert captured[0][0] == captured[1][0]
    assert held[1] == held[3]
    before = allocated()
    kept.decoder.release()
    assert allocated() < before


@pytest.mark.parametrize("keep", [True, False])
def test_where_capture_is_refused_all_goes_on_and_nothing_is_held(ending, keep, monkeypatch):
    roles = ending(dtype="float32")
    expected = sampled(roles, Decoding(kind="plain"))
    before = allocated()

    def refuse(self, work):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graphs.CudaCapture, "__call__", refuse)
    for _ in range(2):
        assert same_texts(sampled(roles, Decoding(slots=8, keep=keep)), expected)
        assert "not permitted" in roles.decoder.graphs_refused
    roles.decoder.release()
    assert "not permitted" in roles.decoder.graphs_refused
    assert allocated() <= before + 2**20


# ---- training


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"quantization": "nf4"}])
def test_activations_computed_again_give_the_same_gradients_and_a_lower_peak(
    ending, options, packing
):
    gradients = []
    for again in (False, True):
        roles = ending(packing=packing, critic="adapter", **options)
        if again:
            assert roles.checkpoint_activations()
        output = roles.policy_pass(long_batch().to(CUDA))
        (output.logprobs.sum() + output.values.sum()).backward()
        parameters = [*roles.policy_parameters(), *roles.value_parameters()]
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
    one, other = gradients
    assert (one - other).norm() / one.norm() < 1e-3


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose weights and activations are far larger than what an allocator rounds up."""
    return save_model(
        tmp_path_factory.mktemp("wide"),
        "llama",
        hidden_size=1024,
        intermediate_size=2048,
        num_hidden_layers=8,
        initializer_range=0.02,
    )


def run_of(folder, prompts_file, /, **changes):
    """A trainer as a worker makes it, on the GPU."""
    options = {
        "device": "cuda",
        "rollout": {"batch_size": 64, "response_tokens": 64},
        "ppo": {"epochs": 1, "minibatches": 2},
        "optim": {"lr": 1e-3},
    }
    config = make_config(folder, prompts_file, **{**options, **changes})
    return build_trainer(config, lambda phase: None)


@pytest.mark.parametrize("quantization", ["nf4", "none"])
@pytest.mark.parametrize("checkpointing", ["always", "never"])
def test_a_step_takes_the_memory_that_was_planned(wide, prompts_file, quantization, checkpointing):
    trainer = run_of(
        wide,
        prompts_file,
        model={"quantization": quantization},
        engine={"checkpointing": checkpointing},
    )
    torch.cuda.reset_peak_memory_stats()
    (record,) = islice(trainer.steps(), 1)
    planned, peak = (record.metrics[f"memory/{name}_gib"] for name in ("planned", "peak"))
    assert peak == pytest.approx(planned, rel=0.25)


def relative(one, other):
    flat = [torch.cat([t.flatten() for t in tensors]) for tensors in (one, other)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


FLOAT32 = {"model": {"dtype": "float32"}, "engine": {"checkpointing": "never"}}


@pytest.mark.parametrize("whole", [True, False], ids=["from the start", "in the middle of a step"])
def test_memory_that_runs_out_halves_and_goes_on_with_the_same_result(wide, prompts_file, whole):
    trainer = run_of(wide, prompts_file, **FLOAT32)
    torch.cuda.reset_peak_memory_stats()
    trainer._one_step()
    expected = trained_weights(trainer)
    peak = torch.cuda.max_memory_allocated()
    del trainer

    trainer = run_of(wide, prompts_file, **FLOAT32)
    start = trained_weights(trainer)
    held = allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 0.7 * (peak - held)) / total)
    # `steps` tries the longest batch first, and it is there that memory runs out.
    record = next(trainer.steps()) if whole else trainer._one_step()
    codes = [note.code for note in record.health]
    assert "health.memory" in codes
    assert "health.ratio_first" not in codes
    assert trainer.room.limit.sequences < 32
    assert relative(expected, start) > 1e-3
    assert relative(expected, trained_weights(trainer)) < 1e-3
    again = trainer._one_step()
    assert "health.memory" not in [note.code for note in again.health]


def test_memory_that_runs_out_in_the_rollout_changes_no_token(ending):
    roles = ending(dtype="float32")
    prompts = PROMPTS * 200
    expected = sampled(roles, Decoding(slots=64), prompts=prompts)
    torch.cuda.reset_peak_memory_stats()
    held = allocated()
    sampled(roles, Decoding(), prompts=prompts)
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    told = []
    roles.decoder.told = lambda *change: told.append(change)
    torch.cuda.set_per_process_memory_fraction((held + 0.7 * (peak - held)) / total)
    assert same_texts(sampled(roles, Decoding(), prompts=prompts), expected)
    assert told[0] == (4800, 2400)
    assert roles.decoder.decoding.slots <= 2400


@pytest.mark.slow
def test_fifty_steps_take_no_more_memory_than_ten(ending, tmp_path, prompts_file):
    ending("llama")
    trainer = run_of(
        tmp_path / "llama",
        prompts_file,
        rollout={"batch_size": 16, "response_tokens": 16},
        steps=50,
    )
    held, peaks = [], []
    for _ in trainer.steps():
        held.append(allocated())
        peaks.append(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
    assert len(held) == 50
    # Graphs of new kinds of step are still captured in the first ten.
    assert max(held[40:]) <= 1.02 * max(held[5:15]) + 2**20
    assert max(peaks[40:]) <= 1.1 * max(peaks[5:15])
