"""One prompt and what base and tuned model made of it, side by side or one below the other."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from ppo_tui.conversation import Ask, Done, Failure, Who
from ppo_tui.text.diff import Span
from ppo_tui.text.plain import plain

from ..literal import MOST_CHARACTERS, literal

CHANGED = "bold underline"
"""How a word is marked that the other answer has not; without colour."""


class Exchange(Vertical, can_focus=True):
    """A question and its answers, which grow while they are written.

    Args:
        ask: The question, with its id.
        names: What the answers are called.
    """

    HELP = """
    One question and its answers. **Underlined** words are those that the other answer has not.
    Both answers are drawn with the same random numbers, so that what differs is the tuning.
    """
    DEFAULT_CSS = """
    Exchange {
        height: auto;
        padding: 0 1;
        margin: 0 0 1 0;
        border-left: wide $surface;
    }
    Exchange:focus {
        border-left: wide $primary;
    }
    Exchange .answers {
        height: auto;
    }
    Exchange .answer {
        height: auto;
        width: 1fr;
        padding: 0 2 0 0;
    }
    Exchange .heading {
        color: $text-muted;
    }
    """

    class Complete(Message):
        """All answers are there."""

        def __init__(self, exchange: Exchange) -> None:
            super().__init__()
            self.exchange = exchange

    def __init__(self, ask: Ask, names: dict[Who, str]) -> None:
        super().__init__()
        self.ask = ask
        self.whom: tuple[Who, ...] = ("base", "tuned") if ask.who == "both" else (ask.who,)
        self.answers: dict[Who, str] = dict.fromkeys(self.whom, "")
        self.seed = ask.seed
        self._names = names
        self._done: dict[Who, Done] = {}
        self._failure: Failure | None = None
        self._dirty: set[Who] = set()

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._failure is not None or len(self._done) == len(self.whom)

    def compose(self) -> ComposeResult:
        """The prompt, and a place for each answer."""
        yield Static(Content.assemble(("› ", "bold"), literal(self.ask.prompt, "bold", lines=True)))
        with Horizontal(classes="answers"):
            for who in self.whom:
                with Vertical(classes="answer"):
                    yield Static(self._heading(who), classes="heading", id=f"heading-{who}")
                    yield Static(Content(""), id=f"text-{who}")
        yield Static(Content(""), id="failure")

    def add(self, who: Who, text: str) -> None:
        """Some text more; seen after the next `paint`."""
        self.answers[who] += text
        self._dirty.add(who)

    def end(self, done: Done) -> None:
        """An answer is over."""
        self.answers[done.who] = done.text
        self.seed = done.seed
        self._done[done.who] = done
        self._dirty.add(done.who)
        self.paint()
        if self.over:
            self.post_message(self.Complete(self))

    def fail(self, failure: Failure) -> None:
        """It cannot be answered, or not to its end."""
        if self.over:
            return
        self._failure = failure
        self.paint()
        self.query_one("#failure", Static).update(
            Content.assemble(
                ("✗ ", "bold"),
                literal(failure.message, "bold"),
                " " if failure.hint else "",
                literal(failure.hint.partition("\n")[0]),
            )
        )
        for who in self.whom:
            self.query_one(f"#heading-{who}", Static).update(self._heading(who))

    def paint(self) -> None:
        """Show what has come since the last time; nothing is drawn if nothing has."""
        for who in self._dirty:
            self.query_one(f"#text-{who}", Static).update(literal(self.answers[who], lines=True))
            self.query_one(f"#heading-{who}", Static).update(self._heading(who))
        self._dirty.clear()

    def mark(self, spans: dict[Who, Sequence[Span]]) -> None:
        """Mark the words that differ."""
        for who, pieces in spans.items():
            content = Content.assemble(
                *((_shown(span.text), CHANGED if span.changed else "") for span in pieces)
            )
            self.query_one(f"#text-{who}", Static).update(content)

    def _heading(self, who: Who) -> Content:
        words = [self._names[who]]
        done = self._done.get(who)
        if done is not None:
            words.append(f"{done.tokens} token{'' if done.tokens == 1 else 's'}")
            if done.cancelled:
                words.append("stopped")
            elif not done.finished:
                words.append("cut at its longest")
            words.append(f"seed {done.seed}")
        elif self._failure is None:
            words.append("writing" if self.answers[who] else "waiting")
        return Content(", ".join(words))


def _shown(text: str) -> str:
    return plain(text, lines=True).replace("\t", "    ")


def can_be_marked(exchange: Exchange) -> bool:
    """Whether there are two whole answers, of a length that is shown in full."""
    return len(exchange.answers) == 2 and all(
        0 < len(text) <= MOST_CHARACTERS for text in exchange.answers.values()
    )
