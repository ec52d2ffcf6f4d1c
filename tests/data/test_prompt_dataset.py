"""Token ids: what is added, cut off, limited and held out."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.schema import DataConfig
from ppo_tui.data import Prompt, PromptDataset, TokenizedPrompt
from ppo_tui.errors import ConfigError, DataError, ExitCode

MakeTokenizer = Callable[..., Any]

BOS, EOS = 1, 2


def dataset(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    response_tokens: int = 1,
    context_length: int | None = None,
    eos_token_ids: Sequence[int] = (),
    **options: Any,
) -> PromptDataset:
    return PromptDataset.from_prompts(
        [Prompt(number, text) for number, text in enumerate(texts, start=1)],
        DataConfig(**{"eval_fraction": 0, **options}),
        tokenizer,
        response_tokens=response_tokens,
        context_length=context_length,
        eos_token_ids=eos_token_ids,
    )


def ids(texts: Sequence[str], tokenizer: Any, **options: Any) -> list[tuple[int, ...]]:
    return [prompt.ids for prompt in dataset(texts, tokenizer, **options).train]


def code(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


# Special tokens


def test_a_prompt_is_rendered_and_tokenised(tokenizer: Any) -> None:
    assert dataset(["hi"], tokenizer, template="{prompt}!").train == (
        TokenizedPrompt(1, "hi!", code(tokenizer, "hi!")),
    )


def test_plain_text_gets_the_bos_that_the_tokenizer_adds(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer(add_bos=True)
    assert ids(["hi"], tokenizer) == [(BOS, *code(tokenizer, "hi"))]


def test_the_eos_that_a_tokenizer_adds_is_cut_off(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer(add_bos=True, add_eos=True)
    assert tokenizer("hi")["input_ids"][-1] == EOS
    assert ids(["hi"], tokenizer) == [(BOS, *code(tokenizer, "hi"))]


def test_a_prompt_that_says_eos_itself_does_not_end_in_it(tokenizer: Any) -> None:
    assert ids(["hi</s></s>"], tokenizer) == [code(tokenizer, "hi")]


def test_an_eos_within_a_prompt_stays(tokenizer: Any) -> None:
    assert EOS in ids(["a</s>b"], tokenizer)[0]


def test_further_tokens_that_end_a_sequence_are_cut_off_too(tokenizer: Any) -> None:
    (bang,) = code(tokenizer, "!")
    assert ids(["hi!"], tokenizer, eos_token_ids=[bang]) == [code(tokenizer, "hi")]


def test_a_chat_template_holds_its_own_special_tokens(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer(
        add_bos=True, chat_template="<s>{{ messages[0]['content'] }}</s>answer:"
    )
    assert ids(["hi"], tokenizer, template="chat") == [code(tokenizer, "<s>hi</s>answer:")]


def test_a_prompt_without_a_token_starts_at_bos(tokenizer: Any) -> None:
    assert ids(["</s>"], tokenizer) == [(BOS,)]


def test_a_prompt_without_a_token_and_without_a_bos_is_an_error(
    make_tokenizer: MakeTokenizer,
) -> None:
    with pytest.raises(DataError, match=r"Prompt 2 \('</s>'\) has no token") as caught:
        dataset(["a", "</s>"], make_tokenizer(bos=None))
    assert caught.value.code == "data.no_tokens"


def test_a_bos_that_is_the_eos_may_start_an_empty_prompt(make_tokenizer: MakeTokenizer) -> None:
    assert ids(["</s>"], make_tokenizer(bos="</s>")) == [(EOS,)]


def test_hostile_characters_are_tokens_like_others(tokenizer: Any) -> None:
    text = "\x00\x1b[2J\u202e\ufeff😀"
    (prompt,) = dataset([text], tokenizer).train
    assert prompt.text == text
    assert tokenizer.decode(prompt.ids) == text


def test_a_text_that_cannot_be_tokenised_names_its_prompt(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"Prompt 2 \('\\ud800'\) cannot be tokenised: ") as caught:
        dataset(["a", "\ud800"], tokenizer)
    assert caught.value.code == "data.tokenize"


# The length limit


@pytest.mark.parametrize(
    ("context_length", "max_prompt_tokens", "limit"),
    [(None, None, None), (None, 7, 7), (20, None, 15), (20, 7, 7), (20, 18, 15)],
)
def test_the_limit_leaves_room_for_the_response(
    tokenizer: Any, context_length: int | None, max_prompt_tokens: int | None, limit: int | None
) -> None:
    made = dataset(
        ["a"],
        tokenizer,
        response_tokens=5,
        context_length=context_length,
        max_prompt_tokens=max_prompt_tokens,
    )
    assert made.limit == limit


def test_a_prompt_of_just_the_limit_is_kept(tokenizer: Any) -> None:
    assert len(ids(["abcde"], tokenizer, context_length=6)[0]) == 5


def test_an_overlong_prompt_names_number_tokens_limit_and_way_out(tokenizer: Any) -> None:
    with pytest.raises(DataError) as caught:
        dataset(["a", "abcdef"], tokenizer, context_length=6)
    assert caught.value.code == "data.overlong"
    assert caught.value.exit_code is ExitCode.MISSING
    assert caught.value.message == (
        "Prompt 2 ('abcdef') has 6 tokens, more than the limit of 5 (the model's context less "
        "rollout.response_tokens); shorten it, or set data.overlong to drop or truncate."
    )


def test_an_overlong_prompt_names_the_limit_of_the_configuration(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"the limit of 5 \(data\.max_prompt_tokens\)"):
        dataset(["abcdef"], tokenizer, max_prompt_tokens=5)


def test_overlong_prompts_can_be_dropped_and_are_counted(tokenizer: Any) -> None:
    made = dataset(["abc", "ab", "abcd"], tokenizer, max_prompt_tokens=2, overlong="drop")
    assert [prompt.id for prompt in made.train] == [2]
    assert (made.dropped, made.truncated) == (2, 0)


def test_dropping_every_prompt_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="None of the 2 prompts is left: all are longer") as caught:
        dataset(["abc", "abcd"], tokenizer, max_prompt_tokens=2, overlong="drop")
    assert caught.value.code == "data.empty"


def test_truncating_keeps_the_end(tokenizer: Any) -> None:
    made = dataset(["abcde", "xy"], tokenizer, max_prompt_tokens=2, overlong="truncate")
    assert [prompt.ids for prompt in made.train] == [code(tokenizer, "de"), code(tokenizer, "xy")]
    assert made.train[0].text == "abcde"
    assert (made.dropped, made.truncated) == (0, 1)


def test_truncating_keeps_the_bos_in_front(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer(add_bos=True)
    options: dict[str, Any] = {"overlong": "truncate"}
    assert ids(["abcde"], tokenizer, max_prompt_tokens=3, **options) == [
        (BOS, *code(tokenizer, "de"))
    ]
    assert ids(["abcde"], tokenizer, max_prompt_tokens=1, **options) == [code(tokenizer, "e")]


def test_a_response_that_fills_the_context_is_a_mistake_in_the_configuration(
    tokenizer: Any,
) -> None:
    with pytest.raises(ConfigError, match="response_tokens is 8, which leaves no room") as caught:
        dataset(["a"], tokenizer, response_tokens=8, context_length=8)
    assert caught.value.exit_code is ExitCode.CONFIG


# The split


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(10, 0.1, 1), (10, 0.26, 3), (2, 0.01, 1), (2, 0.99, 1), (10, 0.99, 9), (100, 0.004, 1)],
)
def test_a_fraction_is_held_out_and_both_parts_have_a_prompt(
    tokenizer: Any, count: int, fraction: float, held_out: int
) -> None:
    made = dataset(["a"] * count, tokenizer, eval_fraction=fraction)
    assert (len(made.train), len(made.eval)) == (count - held_out, held_out)
    assert made.held_out


@pytest.mark.parametrize(("count", "fraction"), [(3, 0.0), (1, 0.5)])
def test_with_nothing_to_hold_out_evaluation_uses_the_train_prompts(
    tokenizer: Any, count: int, fraction: float
) -> None:
    made = dataset(["a"] * count, tokenizer, eval_fraction=fraction)
    assert len(made.train) == count
    assert made.eval == made.train
    assert not made.held_out


def test_the_split_is_made_by_the_seed_alone(tokenizer: Any) -> None:
    def held_out(seed: int) -> list[int]:
        made = dataset(["a"] * 20, tokenizer, eval_fraction=0.2, seed=seed)
        return [prompt.id for prompt in made.eval]

    # Literal: a run is resumed on another machine, or under another Python, with the same split.
    assert held_out(0) == [3, 5, 7, 11]
    assert held_out(1) == [6, 8, 12, 13]


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True), st.integers(0, 2**63 - 1))
def test_every_prompt_is_in_one_part_of_the_split(
    tokenizer: Any, count: int, fraction: float, seed: int
) -> None:
    made = dataset(["a"] * count, tokenizer, eval_fraction=fraction, seed=seed)
    train = [prompt.id for prompt in made.train]
    held_out = [prompt.id for prompt in made.eval] if made.held_out else []
    assert train == sorted(train)
    assert sorted(train + held_out) == list(range(1, count + 1))
    assert train


def test_a_dataset_is_loaded_from_the_configured_file(tokenizer: Any, tmp_path: Any) -> None:
    (tmp_path / "p.txt").write_text("one\n\ntwo\n")
    made = PromptDataset.load(
        DataConfig(prompts=str(tmp_path / "p.txt"), eval_fraction=0),
        tokenizer,
        response_tokens=4,
        context_length=16,
    )
    assert [(prompt.id, prompt.text) for prompt in made.train] == [(1, "one"), (3, "two")]
    assert made.limit == 12
