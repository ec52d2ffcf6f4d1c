"""Which tokens end a response and which fill the gaps of a batch.

Masks come from lengths, never from token ids, so the filler's only duty is to be no end: a model
without a pad token, or one whose pad token is its end-of-sequence token, needs nothing added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ppo_tui.errors import ModelError


@dataclass(frozen=True)
class Vocabulary:
    """The special tokens of a model.

    Attributes:
        eos_ids: A response ends with the first of any of these; it belongs to the response.
        pad_id: Fills the positions that no mask shows; never one of `eos_ids`.
        pad_is_own: Whether the tokenizer names that pad token itself.
    """

    eos_ids: tuple[int, ...]
    pad_id: int
    pad_is_own: bool


def read_vocabulary(tokenizer: Any, generation_config: Any, vocab_size: int) -> Vocabulary:
    """Find the special tokens.

    Args:
        tokenizer: A transformers tokenizer.
        generation_config: The model's; chat models name further end tokens there.
        vocab_size: Rows of the model's embedding; token ids beyond are refused.

    Raises:
        ModelError: There is no end-of-sequence token, so that no response could ever end.
    """
    ends: list[int] = []
    if tokenizer.eos_token_id is not None:
        ends.append(int(tokenizer.eos_token_id))
    more = getattr(generation_config, "eos_token_id", None)
    ends += [int(i) for i in (more if isinstance(more, (list, tuple)) else [more]) if i is not None]
    eos_ids = tuple(dict.fromkeys(i for i in ends if 0 <= i < vocab_size))
    if not eos_ids:
        raise ModelError(
            "The model's tokenizer names no end-of-sequence token, so no response could ever end: "
            "set eos_token in its tokenizer_config.json.",
            code="model.no_eos",
        )
    own = tokenizer.pad_token_id
    if own is not None and 0 <= own < vocab_size and own not in eos_ids:
        return Vocabulary(eos_ids, int(own), pad_is_own=True)
    for candidate in (tokenizer.unk_token_id, *range(len(eos_ids) + 1)):
        if candidate is not None and 0 <= candidate < vocab_size and candidate not in eos_ids:
            return Vocabulary(eos_ids, int(candidate), pad_is_own=False)
    raise ModelError("The model's vocabulary holds nothing but end tokens.", code="model.no_eos")
