"""Prompts as token ids, within the model's limits, split into train and eval.

A prompt never ends in the end-of-sequence token: the policy would be asked to go on after the end.
What a tokenizer appends is cut off again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ppo_tui.config.schema import DataConfig
from ppo_tui.data.excerpt import escaped, excerpt
from ppo_tui.data.order import permutation
from ppo_tui.data.prompts import Prompt, load_prompts
from ppo_tui.data.templates import CHAT, render
from ppo_tui.errors import ConfigError, DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """A prompt as the policy sees it.

    Args:
        id: The prompt's place in its file (see `Prompt`).
        text: The prompt as rendered, whole even where `ids` holds only its end.
        ids: P token ids, at least one, the last of which does not end the sequence.
    """

    id: int
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PromptDataset:
    """A run's prompts.

    Args:
        train: What the policy is trained on; never empty.
        eval: What it is evaluated on; the train prompts where none are held out.
        held_out: Whether the eval prompts are kept out of training.
        limit: Longest prompt allowed, in tokens; None where nothing limits it.
        dropped: How many prompts were left out for being longer.
        truncated: How many lost their beginning for being longer.
    """

    train: tuple[TokenizedPrompt, ...]
    eval: tuple[TokenizedPrompt, ...]
    held_out: bool
    limit: int | None
    dropped: int = 0
    truncated: int = 0

    @classmethod
    def load(
        cls,
        config: DataConfig,
        tokenizer: Any,
        *,
        response_tokens: int,
        context_length: int | None,
        eos_token_ids: Collection[int] = (),
    ) -> PromptDataset:
        """Read, render, tokenise and split the configured prompts; see `from_prompts`."""
        return cls.from_prompts(
            load_prompts(config),
            config,
            tokenizer,
            response_tokens=response_tokens,
            context_length=context_length,
            eos_token_ids=eos_token_ids,
        )

    @classmethod
    def from_prompts(
        cls,
        prompts: Sequence[Prompt],
        config: DataConfig,
        tokenizer: Any,
        *,
        response_tokens: int,
        context_length: int | None,
        eos_token_ids: Collection[int] = (),
    ) -> PromptDataset:
        """Render, tokenise and split prompts.

        Args:
            prompts: At least one prompt.
            config: Template, length limit, what to do with what is longer, split and its seed.
            tokenizer: A transformers tokenizer.
            response_tokens: Longest response; prompt and response must fit the context.
            context_length: Positions that the model has; None where nothing limits them.
            eos_token_ids: Tokens that end a sequence, beside the tokenizer's own.

        Raises:
            ConfigError: The responses alone fill the context (``data.no_room``).
            DataError: A prompt is too long (``data.overlong``), cannot be tokenised
                (``data.tokenize``) or has no token (``data.no_tokens``); none is left
                (``data.empty``); or the chat template cannot be used (see `render`).
        """
        limit = _limit(config, response_tokens, context_length)
        tokenized = _tokenized(prompts, config, tokenizer, eos_token_ids)
        bos = tokenizer.bos_token_id
        kept: list[TokenizedPrompt] = []
        truncated = 0
        for prompt in tokenized:
            if limit is None or len(prompt.ids) <= limit:
                kept.append(prompt)
            elif config.overlong == "truncate":
                kept.append(TokenizedPrompt(prompt.id, prompt.text, _end(prompt.ids, limit, bos)))
                truncated += 1
            elif config.overlong == "error":
                raise DataError(
                    f"Prompt {prompt.id} ({excerpt(prompt.text)}) has {len(prompt.ids)} tokens, "
                    f"more than the limit of {limit}{_why(limit, config)}; shorten it, or set "
                    f"data.overlong to drop or truncate.",
                    code="data.overlong",
                )
        if not kept:
            raise DataError(
                f"None of the {len(tokenized)} prompts is left: all are longer than the limit of "
                f"{limit} tokens{_why(limit, config)}.",
                code="data.empty",
            )
        dropped = len(tokenized) - len(kept)
        if dropped or truncated:
            log.warning(
                "%d prompts dropped, %d truncated (over %s tokens)", dropped, truncated, limit
            )
        train, held_out = _split(kept, config)
        return cls(
            train=train,
            eval=held_out or train,
            held_out=bool(held_out),
            limit=limit,
            dropped=dropped,
            truncated=truncated,
        )


def _limit(config: DataConfig, response_tokens: int, context_length: int | None) -> int | None:
    if context_length is None:
        return config.max_prompt_tokens
    room = context_length - response_tokens
    if room < 1:
        raise ConfigError(
            f"rollout.response_tokens is {response_tokens}, which leaves no room for a prompt in "
            f"the model's context of {context_length} tokens; set it lower.",
            code="data.no_room",
        )
    return room if config.max_prompt_tokens is None else min(room, config.max_prompt_tokens)


def _why(limit: int | None, config: DataConfig) -> str:
    if limit == config.max_prompt_tokens:
        return " (data.max_prompt_tokens)"
    return " (the model's context less rollout.response_tokens)"


def _tokenized(
    prompts: Sequence[Prompt], config: DataConfig, tokenizer: Any, eos_token_ids: Collection[int]
) -> list[TokenizedPrompt]:
    texts = [render(prompt.text, config.template, config.system, tokenizer) for prompt in prompts]
    ends = {*eos_token_ids, tokenizer.eos_token_id} - {None}
    # A chat template writes the special tokens itself.
    special = config.template != CHAT
    return [
        TokenizedPrompt(prompt.id, text, _start_if_empty(_open(ids, ends), prompt, tokenizer))
        for prompt, text, ids in zip(
            prompts, texts, _ids(prompts, texts, tokenizer, special), strict=True
        )
    ]


def _ids(
    prompts: Sequence[Prompt], texts: list[str], tokenizer: Any, special: bool
) -> list[list[int]]:
    def encode(batch: list[str]) -> list[list[int]]:
        encoding = tokenizer(
            batch,
            add_special_tokens=special,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            # Else it warns of what is longer than the model; the limit is enforced above.
            verbose=False,
        )
        ids: list[list[int]] = encoding["input_ids"]
        return ids

    try:
        return encode(texts)
    except Exception:  # the batch does not say which of its texts failed; the loop below does
        result = []
        for prompt, text in zip(prompts, texts, strict=True):
            try:
                result += encode([text])
            except Exception as error:  # a tokenizer may raise anything; the user sees this
                raise DataError(
                    f"Prompt {prompt.id} ({excerpt(text)}) cannot be tokenised: "
                    f"{type(error).__name__}: {escaped(str(error))}.",
                    code="data.tokenize",
                ) from error
        return result


def _open(ids: Sequence[int], ends: Collection[int]) -> tuple[int, ...]:
    """The ids without the end-of-sequence tokens that stand last."""
    stop = len(ids)
    while stop and ids[stop - 1] in ends:
        stop -= 1
    return tuple(ids[:stop])


def _start_if_empty(ids: tuple[int, ...], prompt: Prompt, tokenizer: Any) -> tuple[int, ...]:
    # Where bos is eos (GPT-2), it is what the model has seen in front of every text.
    if ids:
        return ids
    if tokenizer.bos_token_id is None:
        raise DataError(
            f"Prompt {prompt.id} ({excerpt(prompt.text)}) has no token, and the model has no "
            f"beginning-of-sequence token to start from; leave it out or use a template.",
            code="data.no_tokens",
        )
    return (tokenizer.bos_token_id,)


def _end(ids: tuple[int, ...], limit: int, bos: int | None) -> tuple[int, ...]:
    """The last `limit` ids; a bos in front stays, since models that know one are lost without."""
    if limit > 1 and ids[0] == bos:
        return (ids[0], *ids[len(ids) - limit + 1 :])
    return ids[len(ids) - limit :]


def _split(
    prompts: Sequence[TokenizedPrompt], config: DataConfig
) -> tuple[tuple[TokenizedPrompt, ...], tuple[TokenizedPrompt, ...]]:
    """Train and eval, each in the order of the file."""
    count = 0
    if config.eval_fraction > 0:
        count = min(max(1, round(config.eval_fraction * len(prompts))), len(prompts) - 1)
    chosen = set(permutation(len(prompts), "split", config.seed)[:count])
    return (
        tuple(prompt for i, prompt in enumerate(prompts) if i not in chosen),
        tuple(prompt for i, prompt in enumerate(prompts) if i in chosen),
    )
