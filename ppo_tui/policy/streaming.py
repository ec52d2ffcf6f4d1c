"""Write one response token by token, for a person who reads along.

For the playground; training and evaluation sample whole batches (`ppo_tui.policy.generation`).
Here there is one row, and the caller says when the next token is due, so that policy and reference
can take turns on the one base model in memory. The adapters stay beside the weights: merging them,
as the rollout does, would take a second copy. The tokens are those of `generate` all the same,
whose uniform numbers these are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sampling import sample

_REPLACEMENT = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8: so many at most are still to be made one."""


class Response:
    """A response that is being written.

    Args:
        roles: The model; the policy writes unless `reference` is set.
        prompt: Token ids of the prompt, at least one.
        max_tokens: Longest response.
        generator: A CPU generator; with the same seed the response is that of `generate`.
        reference: Let the base model write.
        temperature: Divides the logits; that of `roles` if left out.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the likeliest tokens that hold this much probability; 1 keeps all.

    Attributes:
        ids: The tokens so far, the end token among them.
        finished: The response ended by itself.
    """

    def __init__(
        self,
        roles: Roles,
        prompt: Sequence[int],
        max_tokens: int,
        generator: torch.Generator,
        *,
        reference: bool = False,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> None:
        from transformers import DynamicCache

        self._roles = roles
        self._reference = reference
        self._temperature = roles.temperature if temperature is None else temperature
        self._top_k, self._top_p = top_k, top_p
        self._device = roles.base.device
        # Float64 does not exist on mps; there the draw is inverted in float32, as in `generate`.
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        self._uniforms = torch.rand(max_tokens, generator=generator, dtype=torch.float64)
        self._uniforms = self._uniforms.to(self._device, dtype)
        self._next = torch.tensor([list(prompt)], device=self._device)
        self._seen = 0
        self._cache: Any = DynamicCache(config=roles.base.model.config)
        self._text = Detokenizer(roles.base.tokenizer)
        self._most = max_tokens
        self.ids: list[int] = []
        self.finished = False

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to write."""
        return self.finished or len(self.ids) == self._most

    @property
    def text(self) -> str:
        """The whole text so far, what is not settled yet included."""
        return self._text.whole

    @torch.no_grad()
    def write(self) -> str:
        """Write one token more.

        Returns:
            The text that is settled by it, often empty; all pieces together are `text`.

        Raises:
            ValueError: The response has ended.
        """
        if self.ended:
            raise ValueError("the response has ended")
        count = self._next.shape[1]
        positions = torch.arange(self._seen, self._seen + count, device=self._device).unsqueeze(0)
        mask = torch.ones(1, self._seen + count, dtype=torch.long, device=self._device)
        with self._roles.sampling(reference=self._reference, merge=False) as trunk:
            features = trunk(self._next, mask, positions, self._cache).features[:, -1]
            uniform = self._uniforms[len(self.ids)].unsqueeze(0)
            logits = trunk.head(features)
            token = sample(logits, uniform, self._temperature, self._top_k, self._top_p)
        self._seen += count
        self._next = token.unsqueeze(1)
        self.ids.append(int(token))
        self.finished = self.ids[-1] in self._roles.base.vocabulary.eos_ids
        piece = self._text.add(self.ids[-1])
        return piece + self._text.end() if self.ended else piece


class Detokenizer:
    """Turns tokens into text as they come; the pieces together are the text of all of them.

    A character may take several tokens; until the last of them is there, the decoder shows a
    replacement for what it has, which is held back here.

    Args:
        tokenizer: A transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0
        self.whole = ""

    def add(self, token: int) -> str:
        """One token more; the text that is settled by it."""
        self._ids.append(token)
        self.whole = self._tokenizer.decode(
            self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return self._up_to(self._settled(token))

    def end(self) -> str:
        """What was held back: no token comes any more."""
        return self._up_to(len(self.whole))

    def _up_to(self, end: int) -> str:
        piece = self.whole[self._given : end]
        self._given = max(self._given, end)
        return piece

    def _settled(self, token: int) -> int:
        """Length of the text that no further token can change."""
        # A run of byte tokens is decoded as one: a later byte can undo what an earlier one made.
        if _BYTE_TOKEN.fullmatch(str(self._tokenizer.convert_ids_to_tokens(token))):
            return self._given
        open_end = len(self.whole) - len(self.whole.rstrip(_REPLACEMENT))
        return len(self.whole) - min(open_end, _LONGEST_CHARACTER - 1)
