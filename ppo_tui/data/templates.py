"""What is put around a prompt before the policy sees it."""

from __future__ import annotations

from typing import Any

from ppo_tui.data.excerpt import escaped, excerpt
from ppo_tui.errors import DataError

CHAT = "chat"
"""The value of `data.template` that means the tokenizer's own chat template."""

PLACE = "{prompt}"


def render(prompt: str, template: str | None, system: str | None, tokenizer: Any) -> str:
    """The prompt as the policy sees it.

    Args:
        prompt: The prompt's text.
        template: None for the prompt as it is, ``chat`` for the tokenizer's chat template up to
            where the answer begins, else a text with ``{prompt}`` where the prompt goes. Other
            braces, in the template or in the prompt, are left alone.
        system: System message of the chat template.
        tokenizer: A transformers tokenizer; asked only for ``chat``.

    Raises:
        DataError: The tokenizer has no chat template (``data.no_chat_template``), or its template
            refuses the messages (``data.chat_template``).
    """
    if template is None:
        return prompt
    if template != CHAT:
        return template.replace(PLACE, prompt)
    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            "The model's tokenizer has no chat template, so data.template cannot be chat; leave it "
            "out or write a template with {prompt} in it.",
            code="data.no_chat_template",
        )
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": prompt})
    try:
        text: str = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
    # The template is a program that came with the model: Jinja's errors and any other may come out
    # of it. The user sees it as the sentence below.
    except Exception as error:
        advice = "; it may know no system message: leave data.system out" if system else ""
        raise DataError(
            f"The model's chat template refuses the prompt {excerpt(prompt)} "
            f"({escaped(str(error))}){advice}.",
            code="data.chat_template",
        ) from error
    return text
