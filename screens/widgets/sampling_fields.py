"""How answers are drawn: temperature, longest length and seed, in one line of fields."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from ppo_tui.conversation import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    MOST_SEED,
    MOST_TOKENS,
    Ready,
)
from ppo_tui.text.plain import shortened

from .plain_input import PlainInput

_LONGEST = 20
"""Characters of a number that can be right, and of a wrong one that are repeated."""


class SamplingFields(Horizontal):
    """Three short fields; an empty one is the run's own value, or any seed."""

    HELP = """
    **Temperature** divides the logits: lower is surer, 1 is the model as it is. **Tokens** is the
    longest answer. **Seed** fixes the random numbers: the same prompt with the same seed gets the
    same answer.

    An empty temperature or length is the one that the run trains with.
    """

    def compose(self) -> ComposeResult:
        """The fields with their names."""
        for name, words, hint in (
            ("temperature", "temperature", "the run's"),
            ("tokens", "tokens", "the run's"),
            ("seed", "seed", "new each time"),
        ):
            yield Static(words, classes="name", markup=False)
            field = PlainInput(placeholder=hint, id=name, compact=True)
            yield field

    def show_defaults(self, ready: Ready) -> None:
        """Say what an empty field stands for."""
        self._field("temperature").placeholder = f"{ready.temperature:g}"
        self._field("tokens").placeholder = str(ready.max_tokens)

    @property
    def temperature(self) -> float | None:
        """As typed; None for the run's."""
        text = self._text("temperature")
        return float(text) if text else None

    @property
    def tokens(self) -> int | None:
        """As typed; None for the run's."""
        text = self._text("tokens")
        return int(text) if text else None

    @property
    def seed(self) -> int | None:
        """As typed; None for a new one each time."""
        text = self._text("seed")
        return int(text) if text else None

    def keep(self, seed: int | None) -> None:
        """Put a seed into its field; if there is one, take it out."""
        field = self._field("seed")
        field.value = "" if field.value or seed is None else str(seed)

    def problem(self) -> str:
        """What is wrong with what is typed, in a sentence; empty if nothing is."""
        text = self._text("temperature")
        try:
            if text and not LOWEST_TEMPERATURE <= float(text) <= HIGHEST_TEMPERATURE:
                raise ValueError
        except ValueError:
            return (
                f"The temperature is {shortened(text, _LONGEST)}; it must be a number above 0, up "
                f"to {HIGHEST_TEMPERATURE:g}, such as 0.7."
            )
        for name, least, most in (("tokens", 1, MOST_TOKENS), ("seed", 0, MOST_SEED)):
            text = self._text(name)
            digits = text.isdecimal() and text.isascii() and len(text) <= _LONGEST
            if text and not (digits and least <= int(text) <= most):
                return (
                    f"The field {name} holds {shortened(text, _LONGEST)}; it must be a whole "
                    f"number from {least} to {most}."
                )
        return ""

    def _field(self, name: str) -> Input:
        return self.query_one(f"#{name}", Input)

    def _text(self, name: str) -> str:
        return self._field(name).value.strip()
