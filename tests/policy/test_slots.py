"""Slots of a fixed cache: what a step sees, which rows it computes, and who is in which slot."""

import pytest
import torch
from models import CPU, edit_json, load_roles, perturb, random_ids, save_model

from ppo_tui.policy.attention import causal
from ppo_tui.policy.slot_decoder import (
    PREFILL_TOKENS,
    Sampler,
    Shape,
    SlotDecoder,
    rounded_rows,
    rounded_width,
)
from ppo_tui.policy.slots import PrefillLayout, SlotCache, StepLayout


def numbers(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("window", [0, 1, 3, 100])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_a_step_sees_what_the_last_token_of_a_whole_row_sees(window, key_heads):
    lengths = [7, 3, 5]
    query, key, value = (
        numbers(3, heads, 7, 8, seed=heads + n) for n, heads in enumerate((4, key_heads, key_heads))
    )
    cache = SlotCache(slots=5, length=10)
    # Prompts of all but the last token, end to end.
    rows = [(row, place) for row, length in enumerate(lengths) for place in range(length - 1)]
    slots, positions = (torch.tensor(part) for part in zip(*rows, strict=True))
    flat = [torch.stack([t[r, :, p] for r, p in rows], dim=1)[None] for t in (query, key, value)]
    counts = torch.tensor(lengths)
    layout = PrefillLayout(counts - 1, cache, torch.arange(len(rows)), slots, positions)
    read = layout.attend(0, *flat, 0.3, window)
    last = torch.stack([torch.tensor(range(3)), counts - 1])
    one = [t[last[0], :, last[1]].unsqueeze(2) for t in (query, key, value)]
    stepped = StepLayout(cache, counts - 1, width=8).attend(0, *one, 0.3, window)
    start = 0
    for row, length in enumerate(lengths):
        whole = causal(
            *(t[row : row + 1, :, :length] for t in (query, key, value)), 0.3, window
        ).transpose(1, 2)
        torch.testing.assert_close(stepped[row], whole[0, -1:])
        torch.testing.assert_close(read[0, start : start + length - 1], whole[0, :-1])
        start += length - 1


def test_tokens_of_a_moved_slot_are_where_they_were():
    cache = SlotCache(slots=4, length=3)
    key = numbers(4, 2, 8, seed=1)
    for place in range(2):
        cache.write(7, torch.arange(4), torch.full((4,), place), key + place, -key)
    cache.move([3, 2], [0, 1], 2)
    keys, values = cache.layer(7)
    assert torch.equal(keys[0, :, :2], torch.stack([key[3], key[3] + 1], dim=1))
    assert torch.equal(values[1, :, :2], torch.stack([-key[2], -key[2]], dim=1))
    assert (keys[0, :, 2] == 0).all()


def test_rows_are_rounded_to_powers_of_two_and_three_quarters_of_them():
    counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 24, 25, 33]
    expected = [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 16, 16, 24, 24, 32, 40]
    assert [rounded_rows(count, 40) for count in counts] == expected


def test_widths_are_rounded_to_multiples_of_128():
    assert [rounded_width(width) for width in (1, 128, 129, 300)] == [128, 128, 256, 384]


# ---- a whole decoder, as it runs on a GPU


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """A model with a sliding window of 6, for which a fifth of all tokens end a response."""
    folder = save_model(tmp_path_factory.mktemp("sliding"), "mistral")
    edit_json(folder / "generation_config.json", eos_token_id=list(range(2, 60)))
    return perturb(load_roles(folder))


PROMPTS = [random_ids(30, 99), *(random_ids(1 + seed % 4, seed) for seed in range(25))]
TOKENS = 9


def decoded(roles, slots, watch=None, prompts=PROMPTS, **how):
    """Responses of a decoder with so many slots, each once; and what was seen of its steps."""
    generator = torch.Generator().manual_seed(4)
    uniforms = torch.rand(len(prompts), TOKENS, generator=generator, dtype=torch.float64)
    vocabulary = roles.base.vocabulary
    sampler = Sampler(1.0, 0, 1.0, tuple(vocabulary.eos_ids), vocabulary.pad_id)
    shape = Shape(slots, 128, len(prompts), TOKENS)
    with roles.sampling() as trunk:
        decoder = SlotDecoder(trunk, sampler, shape, CPU, **how)
        if watch is not None:
            decoder.step = watch(decoder)
        done = []
        decoder.run(prompts, uniforms, range(len(prompts)), done.append)
    assert sorted(done) == list(range(len(prompts)))
    return decoder.responses[:-1], decoder.lengths[:-1]


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("slots", [1, 2, 3, 16, 26])
def test_rounded_rows_and_rare_looks_at_what_has_ended_change_no_token(sliding, slots, together):
    expected, lengths = decoded(sliding, len(PROMPTS))
    assert {1, TOKENS} <= set(lengths.tolist())
    found, found_lengths = decoded(sliding, slots, rounding=True, together=together)
    assert torch.equal(found, expected)
    assert torch.equal(found_lengths, lengths)


@pytest.mark.parametrize("rounding", [False, True])
def test_no_row_stands_outside_of_what_a_step_looks_at(sliding, rounding):
    # One that has ended far beyond would see nothing in its window: a softmax of nothing at all.
    steps = []

    def watch(decoder):
        def step(rows, width):
            steps.append((rows, width, int(decoder._positions[:rows].max())))
            decoder.one_step(rows, width)

        return step

    decoded(sliding, 16, watch, rounding=rounding, together=1)
    assert len(steps) > 5
    assert all(last < width for _, width, last in steps)


def test_what_has_ended_costs_nothing_once_nothing_waits(sliding):
    steps = []

    def watch(decoder):
        def step(rows, width):
            steps.append((rows, int(decoder._alive.sum())))
            decoder.one_step(rows, width)

        return step

    decoded(sliding, len(PROMPTS), watch)
    # The first step is made before anybody looks at what the prompts' pass has drawn.
    assert len({rows for rows, _ in steps}) > 3
    assert all(rows == alive for rows, alive in steps[1:])


def test_a_pass_over_prompts_is_bounded(sliding):
    passes = []
    length = 100
    prompts = [random_ids(length, seed) for seed in range(2 * PREFILL_TOKENS // length)]
    body = sliding.base.model.model
    handle = body.register_forward_pre_hook(
        lambda module, args, kwargs: passes.append(tuple(kwargs["input_ids"].shape)),
        with_kwargs=True,
    )
    decoded(sliding, len(prompts), prompts=prompts)
    handle.remove()
    prefills = [width for _, width in passes if width > 1]
    assert sum(prefills) == length * len(prompts)
    assert max(prefills) == PREFILL_TOKENS // length * length
