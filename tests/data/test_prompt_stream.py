"""The order of the prompts, and that a run goes on where it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.data import PromptStream, TokenizedPrompt
from ppo_tui.errors import CheckpointError


def prompts(count: int) -> list[TokenizedPrompt]:
    return [TokenizedPrompt(number, "", (3,)) for number in range(count)]


def stream(count: int, seed: int = 0) -> PromptStream:
    return PromptStream(prompts(count), seed)


def numbers(taken: list[TokenizedPrompt]) -> list[int]:
    return [prompt.id for prompt in taken]


def test_the_order_is_the_same_on_every_machine() -> None:
    assert numbers(stream(8, seed=0).take(16)) == [3, 1, 4, 6, 5, 2, 7, 0, 2, 1, 5, 3, 0, 6, 7, 4]
    assert numbers(stream(8, seed=1).take(8)) == [5, 6, 0, 4, 3, 2, 7, 1]


@given(st.integers(1, 30), st.integers(0, 2**63 - 1))
def test_each_epoch_deals_every_prompt_once(count: int, seed: int) -> None:
    dealt = stream(count, seed)
    for epoch in range(3):
        assert dealt.epoch == epoch
        assert sorted(numbers(dealt.take(count))) == list(range(count))


def test_epochs_differ_in_their_order() -> None:
    dealt = stream(50)
    assert numbers(dealt.take(50)) != numbers(dealt.take(50))


def test_more_than_an_epoch_can_be_taken_at_once() -> None:
    assert numbers(stream(3).take(8)) == numbers([*(a := stream(3)).take(3), *a.take(5)])


def test_taking_none_moves_nothing() -> None:
    dealt = stream(3)
    assert dealt.take(0) == []
    assert dealt.state_dict() == {"epoch": 0, "index": 0}


def test_the_position_is_epoch_and_index_of_the_next_prompt() -> None:
    dealt = stream(3)
    dealt.take(2)
    assert dealt.state_dict() == {"epoch": 0, "index": 2}
    dealt.take(1)
    assert dealt.state_dict() == {"epoch": 1, "index": 0}
    dealt.take(7)
    assert dealt.state_dict() == {"epoch": 3, "index": 1}


@given(st.integers(1, 10), st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_a_stream_resumed_anywhere_deals_the_same_sequence(
    count: int, before: int, after: int, seed: int
) -> None:
    whole = numbers(stream(count, seed).take(before + after))
    first = stream(count, seed)
    assert numbers(first.take(before)) == whole[:before]
    resumed = stream(count, seed)
    resumed.load_state_dict(first.state_dict())
    assert numbers(resumed.take(after)) == whole[before:]


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0, "index": 3},
        {"epoch": 0, "index": -1},
        {"epoch": -1, "index": 0},
        {"epoch": 0, "index": 1.0},
        {"epoch": True, "index": 0},
        {"epoch": "0", "index": 0},
        {"epoch": 0},
        {},
    ],
)
def test_a_position_that_cannot_be_is_a_damaged_checkpoint(state: dict[str, object]) -> None:
    dealt = stream(3)
    dealt.take(1)
    with pytest.raises(CheckpointError, match="does not lie within the 3 train prompts") as caught:
        dealt.load_state_dict(state)
    assert caught.value.code == "checkpoint.data_position"
    assert dealt.state_dict() == {"epoch": 0, "index": 1}


def test_a_stream_of_nothing_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        stream(0)


def test_a_negative_number_of_prompts_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="cannot take -1 prompts"):
        stream(3).take(-1)
