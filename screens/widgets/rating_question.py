"""The question that a person answers: a text, or two answers to one prompt, and how to judge."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.layouts.vertical import VerticalLayout
from textual.widgets import Static

from ppo_tui.runs.pool import Candidate
from ppo_tui.taste.stock import Question

from ..literal import literal, update_changed

WORDS = {1: "bad", 2: "poor", 3: "so-so", 4: "good", 5: "great"}
"""What the ratings are called."""

CHOICES = {1.0: (1, "first is better"), 0.5: (2, "tie"), 0.0: (3, "second is better")}
"""What a comparison can say: its key and its words."""

# Ours, not foreign: the only strings here that are markup.
_SCALE = "   ".join(
    f"[@click=screen.rate({value})][b]{value}[/b] {words}[/]" for value, words in WORDS.items()
)
_CHOICE = "   ".join(
    f"[@click=screen.prefer({value})][b]{key}[/b] {words}[/]"
    for value, (key, words) in CHOICES.items()
)


class RatingQuestion(Vertical):
    """One question at a time, or words where there is none."""

    HELP = """
The text that is asked about; `↑` and `↓` scroll it where it is long, `tab` goes from one answer of
a pair to the other. Only the response is judged: the prompt above it is what it answers.
"""
    DEFAULT_CSS = """
    RatingQuestion { height: 1fr; width: 1fr; padding: 0 1; }
    RatingQuestion #rating-prompt-scroll { height: auto; max-height: 35%; }
    RatingQuestion #rating-prompt { color: $foreground-muted; height: auto; }
    RatingQuestion #rating-answers { height: auto; margin: 1 0; }
    RatingQuestion .rating-answer {
        height: auto; width: 1fr; padding: 0 1;
        border-left: wide $panel; background: $surface;
    }
    RatingQuestion .rating-answer:focus { border-left: wide $primary; }
    RatingQuestion .rating-heading { color: $foreground-muted; height: auto; }
    RatingQuestion .rating-response { text-style: bold; height: auto; padding: 1 1; }
    RatingQuestion #rating-scale { height: auto; }
    RatingQuestion #rating-why { color: $foreground-muted; height: auto; max-height: 3; }
    RatingQuestion #rating-note { height: auto; max-height: 3; display: none; }
    RatingQuestion #rating-none { height: auto; display: none; }
    RatingQuestion.-none #rating-none { display: block; }
    RatingQuestion.-none #rating-prompt-scroll, RatingQuestion.-none #rating-answers,
    RatingQuestion.-none #rating-scale, RatingQuestion.-none #rating-why { display: none; }
    RatingQuestion.-single #rating-second { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._question: Question | None = None

    def compose(self) -> ComposeResult:
        """The prompt, the answers, the scale, the reason."""
        yield Static(id="rating-none")
        with VerticalScroll(id="rating-prompt-scroll", can_focus=False):
            yield Static(id="rating-prompt")
        with Horizontal(id="rating-answers"):
            for place in ("first", "second"):
                with VerticalScroll(id=f"rating-{place}", classes="rating-answer"):
                    yield Static(classes="rating-heading")
                    yield Static(classes="rating-response")
        yield Static(id="rating-scale")
        yield Static(id="rating-note")
        yield Static(id="rating-why")

    def show(self, question: Question) -> None:
        """Show a question, from its beginning; the same again stays as it was scrolled."""
        if question is self._question:
            return
        self._question = question
        pair = question.second is not None
        if self.has_class("-none"):
            self.set_class(False, "-none")
            # What was hidden had lost the focus.
            self.call_after_refresh(self.query_one("#rating-first").focus)
        self.set_class(not pair, "-single")
        self.set_class(pair, "-pair")
        prompt = self.query_one("#rating-prompt", Static)
        update_changed(prompt, literal(question.first.prompt, lines=True))
        scroll = self.query_one("#rating-prompt-scroll", VerticalScroll)
        # Of a long prompt the end is what the response goes on from.
        self.call_after_refresh(scroll.scroll_end, animate=False)
        if question.second is None:
            self._fill("first", question.first, f"response · step {question.first.step:,}")
        else:
            # Of a pair the steps are kept back: a person would expect the later one to be better.
            self._fill("first", question.first, "1  first answer")
            self._fill("second", question.second, "3  second answer")
        scale = Content.from_markup(_CHOICE if pair else _SCALE)
        update_changed(self.query_one("#rating-scale", Static), scale)
        reason = Content.assemble("why this one: ", literal(question.reason))
        update_changed(self.query_one("#rating-why", Static), reason)
        self.call_after_refresh(self._fit)

    def hurry(self) -> None:
        """Say that a press was not taken for an answer; until the next question comes."""
        words = Content.styled("Too soon to have read it: press the key again.", "bold")
        update_changed(self.query_one("#rating-why", Static), words)

    def show_none(self, words: str) -> None:
        """Say why there is no question."""
        self._question = None
        self.set_class(True, "-none")
        update_changed(self.query_one("#rating-none", Static), literal(words, lines=True))

    def show_note(self, note: str) -> None:
        """Show what is noted; nothing if it is empty."""
        widget = self.query_one("#rating-note", Static)
        widget.display = bool(note)
        update_changed(widget, Content.assemble("note: ", literal(note, "italic")))
        self.call_after_refresh(self._fit)

    def on_resize(self) -> None:
        """Another size has room for another part of long answers."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Leave the answers the lines that the rest does not need: the scale is always in sight."""
        answers = self.query_one("#rating-answers")
        rest = [child for child in self.children if child is not answers and child.display]
        taken = sum(child.outer_size.height for child in rest) + answers.styles.margin.height
        room = max(2, self.size.height - taken)
        parts = [part for part in answers.query(VerticalScroll) if part.display]
        below = isinstance(answers.layout, VerticalLayout) and len(parts) > 1
        needed = [part.virtual_size.height for part in parts]
        for part, own in zip(parts, needed, strict=True):
            # Below each other each has half, and what the other leaves.
            others = sum(needed) - own
            part.styles.max_height = max(room // 2, room - others) if below else room

    def _fill(self, place: str, text: Candidate, name: str) -> None:
        part = self.query_one(f"#rating-{place}", VerticalScroll)
        heading = name if text.finished else f"{name} · cut at its longest"
        update_changed(part.query_one(".rating-heading", Static), literal(heading))
        words = literal(text.response or "(nothing)", lines=True)
        update_changed(part.query_one(".rating-response", Static), words)
        part.scroll_home(animate=False)
