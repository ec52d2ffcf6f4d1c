"""The editor of one setting: what it does, its limits, a line or a text to type, what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantBlur
from textual.message import Message
from textual.widgets import Input, Static, TextArea

from ..literal import literal
from .plain_input import PlainInput

if TYPE_CHECKING:
    from ppo_tui.config.draft import Checked, Draft
    from ppo_tui.config.form import FormField

ON_ENTER = frozenset({"model.name", "model.revision"})
"""Settings that are taken when they are finished: half a name of a model is no model."""

_VALUE_LENGTH = 200
_BACK = Binding("escape", "leave", "List", id="form.leave", tooltip="Go back to the list")


class LineInput(PlainInput):
    """One line for a value."""

    HELP = """\
## A value

What is typed is taken at once while it is valid; **enter** or **escape** goes back to the list.
What is not valid leaves the setting as it was before.
A text is taken as it stands; in double quotes, `\\n` and the like mean what they mean in YAML.
Lists are written with commas. Where nothing is allowed, an empty line means nothing.
"""

    BINDINGS: ClassVar[list[BindingType]] = [_BACK]

    class Ended(Message):
        """The line is done with."""

    def action_leave(self) -> None:
        """Go back to the list."""
        self.post_message(self.Ended())


class TermsArea(TextArea):
    """The reward's terms as YAML."""

    HELP = """\
## The reward

A YAML list of terms; each has a `kind`, a `weight` (1 if left out) and the options of its kind,
which stand above. What is valid is taken at once; **escape** goes back to the list.
"""

    BINDINGS: ClassVar[list[BindingType]] = [_BACK]

    class Ended(Message):
        """The text is done with."""

    def action_leave(self) -> None:
        """Go back to the list."""
        self.post_message(self.Ended())


class FieldEditor(Vertical):
    """Shows a setting and takes what is typed for it."""

    DEFAULT_CSS = """
    FieldEditor {
        height: auto;
        padding: 0 1;
        background: $boost;
        & #field-title { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & #field-words { height: auto; max-height: 3; }
        & #field-words Static { height: auto; color: $text-muted; }
        & #field-problem { height: auto; max-height: 2; color: $text-error; }
        & TermsArea { height: 5; border: none; padding: 0; display: none; }
        &.-terms #field-words { max-height: 4; }
        &.-terms TermsArea { display: block; }
        & #field-line { height: 1; }
        & #field-line Static { width: 2; }
        & LineInput { width: 1fr; }
        &.-terms #field-line { display: none; }
    }
    """

    class Taken(Message):
        """A valid value was typed.

        Attributes:
            key: The setting.
            value: The value, as plain data.
        """

        def __init__(self, key: str, value: Any) -> None:
            super().__init__()
            self.key = key
            self.value = value

    class Left(Message):
        """The list is wanted again."""

    def __init__(self) -> None:
        super().__init__()
        self._draft: Draft | None = None
        self._field: FormField | None = None
        self._text = ""
        self._words = ""
        self._before: Any = None
        """What an invalid text leaves the setting at: its value when the cursor came, and for a
        whole text of terms the last one that was valid."""

    def compose(self) -> ComposeResult:
        """What it is, what it does, the place to type, what is wrong."""
        yield Static("", id="field-title", markup=False)
        with VerticalScroll(id="field-words", can_focus=False):
            yield Static("", markup=False)
        with Horizontal(id="field-line"):
            yield Static("› ", markup=False)
            yield LineInput(compact=True)
        terms = TermsArea(compact=True, show_line_numbers=False)
        terms.cursor_blink = False
        yield terms
        yield Static("", id="field-problem", markup=False)

    @property
    def typing(self) -> bool:
        """Whether the cursor is in it."""
        return self.query_one(LineInput).has_focus or self.query_one(TermsArea).has_focus

    def show(self, draft: Draft, field: FormField | None) -> None:
        """Show a setting of a draft; what is being typed for it stays as it is typed."""
        from ppo_tui.config.form import text_of

        same = field is not None and self._field is not None and field.key == self._field.key
        self._draft, self._field = draft, field
        if field is None:
            self.display = False
            return
        self.display = True
        self._show_words(draft, field)
        if same and self.typing:
            self._say(self._problem_of(self._typed()))
            return
        self._text = text_of(field, draft.value(field.key))
        self.set_class(field.kind == "terms", "-terms")
        if field.kind == "terms":
            area = self.query_one(TermsArea)
            if area.text != self._text:
                area.load_text(self._text)
        else:
            line = self.query_one(LineInput)
            with line.prevent(Input.Changed):
                line.value = self._text
            line.placeholder = "nothing" if field.optional else ""
        self._say(self._problem_of(self._text))

    def begin(self) -> None:
        """Put the cursor into the line or the text."""
        if self._field is None:
            return
        if self._field.kind == "terms":
            self.query_one(TermsArea).focus()
        else:
            self.query_one(LineInput).focus()

    def on_descendant_focus(self) -> None:
        """Remember what the setting is before it is typed over."""
        if self._draft is not None and self._field is not None:
            self._before = self._draft.value(self._field.key)

    def typed(self) -> tuple[str, Checked] | None:
        """The setting that is being typed, and what its text means; None if none is."""
        from ppo_tui.config.draft import check

        if self._draft is None or self._field is None or not self.typing:
            return None
        return self._field.key, check(self._draft, self._field.key, self._typed())

    def _show_words(self, draft: Draft, field: FormField) -> None:
        facts = [", ".join(field.choices) if field.kind == "choice" else field.bounds]
        if field.kind == "switch":
            facts = ["true or false"]
        if field.optional:
            facts.append("may be empty")
        if field.key in draft.changes:
            facts.append(f"was {value_in_a_line(field, draft.base_values[field.key])}")
        facts.append(f"default {value_in_a_line(field, field.default)}")
        title = Content.assemble((field.key, "bold"), "  ", literal("; ".join(filter(None, facts))))
        words = field.documentation
        if field.kind == "terms":
            words = terms_explained(self._kind_at_cursor())
        if title.markup + words != self._words:
            self._words = title.markup + words
            self.query_one("#field-title", Static).update(title)
            self.query_one("#field-words Static", Static).update(literal(words, lines=True))

    def _kind_at_cursor(self) -> str:
        area = self.query_one(TermsArea)
        return kind_at(area.text.split("\n"), area.cursor_location[0])

    def _typed(self) -> str:
        if self._field is not None and self._field.kind == "terms":
            return self.query_one(TermsArea).text
        return self.query_one(LineInput).value

    def _problem_of(self, text: str) -> str:
        from ppo_tui.config.draft import check

        if self._draft is None or self._field is None:
            return ""
        checked = check(self._draft, self._field.key, text)
        if checked.error:
            return f"✗ {checked.error}"
        return checked.conflict and f"! {checked.conflict}"

    def _say(self, words: str) -> None:
        content = literal(words)
        problem = self.query_one("#field-problem", Static)
        if problem.content != content:
            problem.update(content)
        problem.display = bool(words)

    def _take(self, text: str, *, finished: bool) -> bool:
        """Take a text if it is valid, and say what is wrong if it is not; whether it is.

        With a text that is not, the setting is what it was: half of a number is another number.
        """
        from ppo_tui.config.draft import check
        from ppo_tui.config.form import text_of

        if self._draft is None or self._field is None:
            return True
        checked = check(self._draft, self._field.key, text)
        if checked.error:
            self._say(f"✗ {checked.error}")
            if self._draft.value(self._field.key) != self._before:
                self._text = text_of(self._field, self._before)
                self.post_message(self.Taken(self._field.key, self._before))
            return False
        if self._field.kind == "terms":
            self._before = checked.value
        if text == self._text:
            self._say(checked.conflict and f"! {checked.conflict}")
            return True
        if finished or self._field.key not in ON_ENTER:
            self._text = text
            self.post_message(self.Taken(self._field.key, checked.value))
        self._say(checked.conflict and f"! {checked.conflict}")
        return True

    @on(Input.Changed)
    def _line_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._take(event.value, finished=False)

    @on(TextArea.Changed)
    def _terms_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        if event.text_area.has_focus:
            self._take(event.text_area.text, finished=False)

    @on(TextArea.SelectionChanged)
    def _cursor_moved(self, event: TextArea.SelectionChanged) -> None:
        event.stop()
        if self._draft is not None and self._field is not None and event.text_area.has_focus:
            self._show_words(self._draft, self._field)

    @on(Input.Submitted)
    @on(LineInput.Ended)
    @on(TermsArea.Ended)
    def _ended(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Left())

    def on_descendant_blur(self, _: DescendantBlur) -> None:
        """Take what can be taken, say what cannot, and show what the setting is now."""
        if not self.app.app_focus:
            return  # the person looks at another window, and will go on typing
        if self.screen not in self.app.screen_stack:
            return  # the screen is being taken away, and half of this with it
        if not self._take(self._typed(), finished=True) and self._field is not None:
            from ppo_tui.text.plain import plain

            was = "last was valid" if self._field.kind == "terms" else "was"
            words = f"{self._field.key} stays as it {was}: what was typed is not valid."
            self.notify(plain(words), severity="warning", markup=False)
        if self._draft is not None and not self.typing:
            self.show(self._draft, self._field)


def kind_at(lines: Sequence[str], row: int) -> str:
    """The kind of the reward term that a line of the YAML belongs to; empty if it has none yet."""
    starts = [number for number, line in enumerate(lines) if line.startswith("-")]
    first = max((start for start in starts if start <= row), default=0)
    after = min((start for start in starts if start > row), default=len(lines))
    for line in lines[first:after]:
        found = re.match(r"[-\s]*kind:\s*[\"']?([\w.-]+)", line)
        if found:
            return found[1]
    return ""


def terms_explained(kind: str) -> str:
    """What a kind of term scores, with its options; and which kinds there are."""
    from ppo_tui.config.form import term_kinds

    kinds = term_kinds()
    lines = [f"Kinds: {', '.join(kinds)}. All have weight and name."]
    if kind in kinds:
        lines.append(f"{kind}: {kinds[kind].documentation}")
        lines += [f"  {name}: {what}" for name, what in kinds[kind].options]
    return "\n".join(lines)


def value_in_a_line(field: FormField, value: Any) -> str:
    """A value as the list shows it: short, and in words where it is nothing."""
    from ppo_tui.config.form import text_of
    from ppo_tui.text.plain import shortened

    if field.kind == "terms":
        return shortened(" + ".join(_term(term) for term in value), _VALUE_LENGTH)
    if value is None:
        return "–"
    if value == "":
        return '""'
    return shortened(text_of(field, value), _VALUE_LENGTH)


def _term(term: Any) -> str:
    """A reward term in a word or three."""
    if not isinstance(term, dict):
        return str(term)
    name = str(term.get("name") or term.get("kind"))
    weight = term.get("weight", 1.0)
    return name if weight == 1 else f"{weight:g} {name}" if _is_number(weight) else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
