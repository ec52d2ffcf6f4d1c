"""Ratings as a reward adapter is trained on them: their texts as token ids again.

Of a rated text only the characters are known. Encoded again it comes in rare cases to other tokens
than those it was sampled as, which changes what the model reads in it by little. Whether an end
token stood behind it is not known either; nothing here or in `Roles.pooled` depends on that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ppo_tui.policy.loading import BaseModel
from ppo_tui.policy.sequences import Sequences, pad_prompts
from ppo_tui.runs.ratings import Ratings
from ppo_tui.training.reward_adapter import Judged

Text = tuple[str, str]
"""Prompt, as rendered, and response."""


def judged_of(base: BaseModel, ratings: Ratings, *, chat: bool) -> Judged:
    """What the training reads of the ratings in force; a text that was judged twice stands once.

    Args:
        base: The base model.
        ratings: At least one rating or pair.
        chat: Whether the prompts were rendered by a chat template.
    """
    place: dict[Text, int] = {}

    def of(text: Text) -> int:
        return place.setdefault(text, len(place))

    rated = [of(each.about.text) for each in ratings.ratings]
    first = [of(each.first.text) for each in ratings.pairs]
    second = [of(each.second.text) for each in ratings.pairs]
    return Judged(
        encode_texts(base, list(place), chat=chat),
        np.array(rated, dtype=np.int64),
        np.array([each.rating for each in ratings.ratings], dtype=np.float64),
        np.array(first, dtype=np.int64),
        np.array(second, dtype=np.int64),
        np.array([each.choice for each in ratings.pairs], dtype=np.float64),
    )


def encode_texts(
    base: BaseModel, texts: Sequence[Text], *, chat: bool, end: bool = False
) -> Sequences:
    """Prompts and responses as token ids, on the CPU.

    A text that is longer than the model's context loses the beginning of its prompt, and a response
    that fills it alone its end.

    Args:
        base: The base model.
        texts: At least one.
        chat: Whether a chat template rendered the prompts: it writes the special tokens itself.
        end: Put an end token behind each response, as one that ended by itself has.
    """
    tokenizer, vocabulary = base.tokenizer, base.vocabulary
    ends, limit = set(vocabulary.eos_ids), base.context_length
    asked, answered = [], []
    for prompt, response in texts:
        ids = list(tokenizer(prompt, add_special_tokens=not chat, verbose=False)["input_ids"])
        while ids and ids[-1] in ends:
            ids.pop()
        answer = list(tokenizer(response, add_special_tokens=False, verbose=False)["input_ids"])
        if end or not answer:
            answer.append(vocabulary.eos_ids[0])
        ids = ids or [vocabulary.eos_ids[0]]  # the model is to read something before the response
        if limit is not None:
            answer = answer[: limit - 1]
            ids = ids[-(limit - len(answer)) :]
        asked.append(ids)
        answered.append(answer)
    prompt_ids, prompt_lengths = pad_prompts(asked, vocabulary.pad_id)
    width = max(map(len, answered))
    rows = [answer + [vocabulary.pad_id] * (width - len(answer)) for answer in answered]
    lengths = torch.tensor([len(answer) for answer in answered])
    return Sequences(prompt_ids, prompt_lengths, torch.tensor(rows), lengths)
