from collections.abc import Callable
from typing import Any

import pytest

from ppo_tui.data import render
from ppo_tui.errors import DataError, ExitCode

MakeTokenizer = Callable[..., Any]


def test_without_a_template_a_prompt_stays_as_it_is() -> None:
    assert render(" {prompt} \x1b", None, None, tokenizer=None) == " {prompt} \x1b"


def test_a_template_puts_the_prompt_in_its_place() -> None:
    assert render("why?", "Q: {prompt}\nA:", None, tokenizer=None) == "Q: why?\nA:"


@pytest.mark.parametrize("prompt", ["{0}", "{x!r}", "{", "}}", "%s", r"\1", "{prompt.__class__}"])
def test_braces_and_other_signs_in_a_prompt_mean_nothing(prompt: str) -> None:
    assert render(prompt, "{{a}} {prompt}", None, tokenizer=None) == "{{a}} " + prompt


def test_chat_renders_up_to_where_the_answer_begins(chat_tokenizer: Any) -> None:
    assert render("hi", "chat", None, chat_tokenizer) == "<s>user: hi</s><s>assistant: "


def test_chat_puts_the_system_message_in_front(chat_tokenizer: Any) -> None:
    text = render("hi", "chat", "be kind", chat_tokenizer)
    assert text == "<s>system: be kind</s><s>user: hi</s><s>assistant: "


def test_chat_without_a_chat_template_names_the_way_out(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="The model's tokenizer has no chat template") as caught:
        render("hi", "chat", None, tokenizer)
    assert caught.value.code == "data.no_chat_template"
    assert caught.value.exit_code is ExitCode.MISSING


def test_a_chat_template_that_knows_no_system_message_says_so(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer(
        chat_template=(
            "{% if messages[0]['role'] == 'system' %}"
            "{{ raise_exception('System role not supported') }}"
            "{% endif %}{{ messages[0]['content'] }}"
        )
    )
    assert render("hi", "chat", None, tokenizer) == "hi"
    with pytest.raises(DataError) as caught:
        render("hi", "chat", "be kind", tokenizer)
    assert caught.value.code == "data.chat_template"
    assert caught.value.message == (
        "The model's chat template refuses the prompt 'hi' (System role not supported); it may "
        "know no system message: leave data.system out."
    )


def test_a_chat_template_that_is_broken_is_one_sentence(make_tokenizer: MakeTokenizer) -> None:
    with pytest.raises(DataError) as caught:
        render("hi", "chat", None, make_tokenizer(chat_template="{% if %}"))
    assert caught.value.code == "data.chat_template"
