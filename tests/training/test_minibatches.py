"""Every row once, within the limit, and a limit that always becomes smaller."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo_tui.training.minibatches import (
    MicroBatchLimit,
    in_micro_batches,
    shuffled_minibatches,
)

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)
LIMITS = st.builds(
    MicroBatchLimit,
    tokens=st.none() | st.integers(1, 200),
    sequences=st.none() | st.integers(1, 20),
    packed=st.booleans(),
)


def sorted_rows(lengths):
    return lengths.argsort(descending=True, stable=True)


def held(limit, lengths):
    """Tokens that a pass over sequences of these lengths computes."""
    return int(lengths.sum()) if limit.packed else int(lengths.max()) * len(lengths)


@settings(deadline=None, max_examples=200)
@given(LENGTHS, LIMITS)
def test_a_split_keeps_all_rows_once_in_order_and_within_the_limit(sizes, limit):
    lengths = torch.tensor(sizes)
    rows = sorted_rows(lengths)
    parts = limit.split(rows, lengths)
    assert torch.equal(torch.cat(parts), rows)
    for part in parts:
        assert len(part) == 1 or limit.tokens is None or held(limit, lengths[part]) <= limit.tokens
        assert limit.sequences is None or len(part) <= limit.sequences
    # Not one of them could have taken the next row as well.
    for part, following in pairwise(parts):
        more = torch.cat([part, following[:1]])
        too_long = limit.tokens is not None and held(limit, lengths[more]) > limit.tokens
        assert too_long or len(more) > limit.sequences


@settings(deadline=None, max_examples=200)
@given(LENGTHS, LIMITS, st.data())
def test_halving_goes_on_down_to_single_rows_and_never_allows_more(sizes, limit, data):
    lengths = torch.tensor(sizes)
    rows = sorted_rows(lengths)
    for _ in range(100):
        parts = limit.split(rows, lengths)
        several = [part for part in parts if len(part) > 1]
        if not several:
            break
        part = data.draw(st.sampled_from(several))
        smaller = limit.halved(part, lengths)
        assert smaller is not None
        assert max(map(len, smaller.split(part, lengths))) <= (len(part) + 1) // 2
        assert limit.tokens is None or smaller.tokens <= limit.tokens
        assert limit.sequences is None or smaller.sequences <= limit.sequences
        assert smaller.packed == limit.packed
        limit = smaller
    else:
        pytest.fail("it never came down to single rows")
    assert limit.halved(rows[:1], lengths) is None


def test_a_packed_row_costs_its_tokens_and_a_padded_one_those_of_the_longest():
    lengths = torch.tensor([10, 4, 3, 3, 1])
    rows = torch.arange(5)

    def split(packed):
        parts = MicroBatchLimit(tokens=12, packed=packed).split(rows, lengths)
        return [part.tolist() for part in parts]

    assert split(packed=True) == [[0], [1, 2, 3, 4]]
    assert split(packed=False) == [[0], [1, 2, 3], [4]]


def test_a_row_longer_than_the_limit_is_alone():
    parts = MicroBatchLimit(tokens=5).split(torch.tensor([0, 1, 2]), torch.tensor([9, 3, 2]))
    assert [part.tolist() for part in parts] == [[0], [1, 2]]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_minibatches_are_of_one_size_and_hold_every_response_once(minibatches, size, seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (minibatches * size,), generator=generator)
    steps = shuffled_minibatches(lengths, minibatches, generator)
    assert [len(rows) for rows in steps] == [size] * minibatches
    assert torch.cat(steps).sort().values.tolist() == list(range(minibatches * size))
    for rows in steps:
        assert (lengths[rows].diff() <= 0).all()


def test_how_steps_are_cut_does_not_change_which_rows_they_have():
    lengths = torch.randint(1, 30, (24,), generator=torch.Generator().manual_seed(1))
    steps = shuffled_minibatches(lengths, 3, torch.Generator().manual_seed(2))
    for limit in (MicroBatchLimit(), MicroBatchLimit(40), MicroBatchLimit(sequences=1)):
        plan = in_micro_batches(steps, lengths, limit)
        for rows, micro_batches in zip(steps, plan.steps, strict=True):
            assert torch.equal(torch.cat(micro_batches), rows)
