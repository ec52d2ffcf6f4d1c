"""The same prompt answered by the base and by the policy as it is now, with what changed marked.

Knows nothing of where the answers come from. The words that differ are bold and underlined, and
stand in `[-…-]` and `{+…+}` where the terminal has no colours. They are looked for in a thread,
because two long answers can take a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from ppo_tui.screens.literal import literal
from ppo_tui.text.diff import Span, word_diff
from ppo_tui.text.figures import number

SHOWN = 4000
"""Characters of each text that are compared and shown; an opened sample shows all."""

NOTHING_YET = (
    "No answers yet. The base answers the watched prompts when the run starts, the policy every "
    "eval.watch_every steps; eval.watch_prompts says how many prompts there are."
)


class Given(Protocol):
    """An answer to a prompt."""

    @property
    def text(self) -> str:
        """The response."""

    @property
    def score(self) -> float:
        """Its score; NaN if it has none."""

    @property
    def step(self) -> int:
        """As of which step it was given."""


class Answers(VerticalScroll, can_focus=True):
    """Base and now, one prompt at a time."""

    HELP = """
The same held-out prompt, answered by the base model and by the policy as it is now. Both answers
are drawn with the same random numbers, so what differs was learnt. Words that changed are bold and
underlined; without colours they stand in `[-…-]` (gone) and `{+…+}` (new). `←` and `→` go through
the prompts, `↑` and `↓` scroll.
"""

    DEFAULT_CSS = """
    Answers { height: 1fr; width: 1fr; scrollbar-size: 1 1; }
    Answers > Static { height: auto; width: 1fr; }
    Answers:focus #answers-title { background: $boost; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "go(-1)", "Prompt", id="answers.previous", tooltip="The prompt before",
                show=False),
        Binding("right", "go(1)", "Prompt", id="answers.next", tooltip="The next prompt"),
    ]  # fmt: skip

    class Compared(Message):
        """The words that differ are known."""

        def __init__(self, prompt: str, before: list[Span], after: list[Span]) -> None:
            super().__init__()
            self.prompt = prompt
            self.before = before
            self.after = after

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._base: Mapping[str, Given] = {}
        self._now: Mapping[str, Given] = {}
        self._prompts: list[str] = []
        self._prompt = ""
        self._asked: tuple[str, Given | None, Given | None] = ("", None, None)

    def compose(self) -> ComposeResult:
        """A title, and the two answers under the prompt."""
        yield Static(id="answers-title")
        yield Static(literal(NOTHING_YET, "$text-muted"), id="answers-text")

    def show_answers(self, base: Mapping[str, Given], now: Mapping[str, Given]) -> None:
        """Show answers by prompt; nothing is drawn if those in view have not changed.

        Args:
            base: The base model's answers.
            now: The policy's newest answers.
        """
        self._base, self._now = dict(base), dict(now)
        self._prompts = list(dict.fromkeys([*base, *now]))
        if self._prompt not in self._prompts:
            self._prompt = self._prompts[0] if self._prompts else ""
        self._compare()

    @property
    def prompt(self) -> str:
        """The prompt in view; empty if there is none."""
        return self._prompt

    def action_go(self, by: int) -> None:
        """Go to another prompt, round the end."""
        if self._prompts:
            at = (self._prompts.index(self._prompt) + by) % len(self._prompts)
            self._prompt = self._prompts[at]
            self.scroll_home(animate=False)
            self._compare()

    def on_mount(self) -> None:
        """Say that there is nothing yet."""
        self._show_title()

    def _compare(self) -> None:
        base, now = self._base.get(self._prompt), self._now.get(self._prompt)
        asked = (self._prompt, base, now)
        self._show_title()
        if asked == self._asked:
            return
        self._asked = asked
        if not self._prompts:
            text = self.query_one("#answers-text", Static)
            text.update(literal(NOTHING_YET, "$text-muted"))
            return
        self._find_words(self._prompt, base.text if base else "", now.text if now else "")

    @work(thread=True, exclusive=True, group="compare-answers", exit_on_error=False)
    def _find_words(self, prompt: str, before: str, after: str) -> None:
        compared = self.Compared(prompt, *word_diff(before[:SHOWN], after[:SHOWN]))
        if not get_current_worker().is_cancelled:  # else newer answers are being compared
            self.post_message(compared)

    def on_answers_compared(self, event: Compared) -> None:
        """Show the answers, unless another prompt is in view by now."""
        event.stop()
        base, now = self._base.get(event.prompt), self._now.get(event.prompt)
        if event.prompt != self._prompt:
            return
        marks = self.app.no_color
        both = base is not None and now is not None
        old = marked(event.before, "[-", "-]", "$text-error", both=both, marks=marks)
        new = marked(event.after, "{+", "+}", "$text-success", both=both, marks=marks)
        parts = [literal(self._prompt[:SHOWN].strip(), "bold"), *_part("base", base, old)]
        if now is not None:
            parts += _part("now", now, new)
        else:
            parts.append(literal("now: the policy has not answered yet", "$text-muted"))
        self.query_one("#answers-text", Static).update(Content("\n").join(parts))

    def _show_title(self) -> None:
        words = "Base and now"
        if self._prompts:
            at = self._prompts.index(self._prompt)
            words += f" · prompt {at + 1} of {len(self._prompts)}"
        base, now = self._base.get(self._prompt), self._now.get(self._prompt)
        if base is not None and now is not None:
            words += f" · {number(base.score)} → {number(now.score)}"
        title, content = self.query_one("#answers-title", Static), literal(words, "$text-primary")
        if title.content != content:
            title.update(content)


def marked(
    spans: Iterable[Span], begin: str, end: str, colour: str, *, both: bool, marks: bool
) -> Content:
    """The pieces of an answer as one text, what changed set off.

    Args:
        spans: The pieces.
        begin: What stands before a changed piece where there are no colours.
        end: What stands behind it.
        colour: Of changed pieces.
        both: Whether there are two answers; one alone has not changed.
        marks: Whether there are no colours.
    """
    parts = []
    for span in spans:
        if not (span.changed and both):
            parts.append(literal(span.text, lines=True))
            continue
        # Spaces stay outside: an underlined one looks like a word that is missing.
        inside = span.text.strip()
        head, _, tail = span.text.partition(inside) if inside else (span.text, "", "")
        words = f"{begin}{inside}{end}" if marks and inside else inside
        parts += [
            literal(head, lines=True),
            literal(words, f"bold underline {colour}", lines=True),
            literal(tail, lines=True),
        ]
    return Content("").join(parts)


def _part(who: str, answer: Given | None, words: Content) -> list[Content]:
    if answer is None:
        return [literal(f"{who}: not answered", "$text-muted")]
    step = "" if who == "base" else f" · step {answer.step:,}"
    cut = f" · the first {SHOWN:,} characters" if len(answer.text) > SHOWN else ""
    empty = literal("(nothing)", "$text-muted")
    title = Content.assemble(
        literal(who, "bold"), literal(f" {number(answer.score)}{step}{cut}", "$text-muted")
    )
    return [title, words if answer.text.strip() else empty]
