"""One sample in full: what it is worth, term by term, its text, and what a token's numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from ppo_tui.runs.records import Sample, TokenRecord
from ppo_tui.screens.literal import literal
from ppo_tui.text.figures import number, percent

from .token_text import Shade, TokenText, number_of, shown

_NAMES = {"kl": "KL", "advantage": "advantage", "value": "value"}

NO_TOKENS = "This sample was recorded as a whole; the best and the worst of each step have tokens."


class SampleView(Vertical):
    """A sample; the text in it takes the focus."""

    DEFAULT_CSS = """
    SampleView { height: 1fr; width: 1fr; }
    SampleView > #sample-facts { height: auto; max-height: 3; width: 1fr; }
    SampleView > #sample-legend { height: auto; max-height: 4; width: 1fr; background: $panel; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._sample: Sample | None = None

    def compose(self) -> ComposeResult:
        """The numbers, the text, the legend."""
        yield Static(id="sample-facts")
        yield TokenText(id="sample-text")
        yield Static(id="sample-legend")

    @property
    def sample(self) -> Sample | None:
        """What is shown."""
        return self._sample

    def show(self, sample: Sample) -> None:
        """Show a sample."""
        self._sample = sample
        self.query_one("#sample-facts", Static).update(facts(sample))
        self.query_one(TokenText).show(sample)
        self.refresh_bindings()

    @on(TokenText.Pointed)
    def _explain(self, event: TokenText.Pointed) -> None:
        event.stop()
        tokens = self.query_one(TokenText).tokens
        if event.token is None or not tokens:
            words = literal(NO_TOKENS, "$text-muted")
        else:
            words = Content("\n").join(
                [
                    token_words(event.token, tokens),
                    literal(legend(event.shade, tokens), "$text-muted"),
                ]
            )
        self.query_one("#sample-legend", Static).update(words)


def facts(sample: Sample) -> Content:
    """What a sample is worth and how long it is, and its score by term."""
    ended = "ended by itself" if sample.finished else "cut off at its longest"
    numbers = (
        f" · KL {number(sample.kl)} nats · {sample.length:,} tokens, {ended} · step {sample.step:,}"
    )
    terms = "   ".join(f"{name} {number(value)}" for name, value in sample.terms.items())
    return Content.assemble(
        literal(f"score {number(sample.score)}", "bold"),
        literal(numbers),
        literal(f"\nby term: {terms}", "$text-muted", lines=True) if terms else "",
    )


def token_words(index: int, tokens: Sequence[TokenRecord]) -> Content:
    """The numbers of one token."""
    token = tokens[index]
    kl = token.logprob - token.ref_logprob
    numbers = (
        f"  {_chance(token.logprob)} now, {_chance(token.ref_logprob)} in the base"
        f" · KL {number(kl)} · value {number(token.value)} · advantage {number(token.advantage)}"
    )
    return Content.assemble(
        literal(f"token {index + 1} of {len(tokens)}: "),
        literal(f"“{shown(token.text[:40])}”", "bold"),
        literal(numbers),
    )


def legend(shade: Shade, tokens: Sequence[TokenRecord]) -> str:
    """What the marks mean, in words, with the largest number of each side."""
    if shade == "none":
        return "not shaded; b: shade by KL, advantage or value"
    numbers = [number_of(token, shade) for token in tokens]
    known = [value for value in numbers if math.isfinite(value)]
    name = _NAMES[shade]
    if not known:
        return f"{name}: not recorded"
    low, high = min(known), max(known)
    if shade == "value":
        return f"shaded by value, the score the critic expects: ▁▃▅▇ from {_n(low)} to {_n(high)}"
    up, down = {
        "kl": ("likelier than in the base", "less likely"),
        "advantage": ("better than expected", "worse"),
    }[shade]
    parts = [f"▁▃▅▇ {up}, up to {_n(high)}"] if high > 0 else []
    parts += [f"▔▀ {down}, down to {_n(low)}"] if low < 0 else []
    return f"shaded by {name}: " + ("; ".join(parts) or "all 0")


def _n(value: float) -> str:
    return number(value)


def _chance(logprob: float) -> str:
    """A probability in percent, also a very small one."""
    if math.isnan(logprob):
        return "–"
    chance = math.exp(min(0.0, logprob))
    return percent(chance) if chance >= 0.1 else f"{number(100 * chance)} %"
