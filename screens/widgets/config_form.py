"""The settings of a run as one list, with one editor for the setting that is highlighted.

What is typed is checked with every key and, while it is valid, is taken at once; there is nothing
to save. The form shows a draft and asks for changes by message; the draft itself is its screen's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from ..literal import literal
from .field_editor import FieldEditor, value_in_a_line
from .find_input import FindInput

if TYPE_CHECKING:
    from ppo_tui.config.draft import Checked, Draft
    from ppo_tui.config.form import FormField

CHANGED = "*"
_NAME_WIDTH = 21


class SettingList(OptionList):
    """The settings by group; keys change the one that is highlighted."""

    HELP = """\
## The settings

All settings of a run. `*` marks those that you changed.

- **enter** edits the one that is highlighted; **space** takes the next choice or turns a switch.
- **r** or **delete** puts it back to what the preset says.
- **/** finds settings by a part of their name or of their explanation; `*` finds what you changed.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space,right",
            "cycle(1)",
            "Next",
            id="form.next",
            tooltip="Take the next choice",
            key_display="space",
        ),
        Binding(
            "left",
            "cycle(-1)",
            "Previous",
            id="form.previous",
            tooltip="Take the choice before",
            show=False,
        ),
        Binding(
            "r,delete",
            "reset",
            "Reset",
            id="form.reset",
            tooltip="Put the setting back to what the preset says",
        ),
        Binding(
            "slash",
            "find",
            "Find",
            id="form.find",
            tooltip="Find settings by name or explanation",
            key_display="/",
        ),
    ]

    class Cycled(Message):
        """The next choice, or the one before, is wanted of the highlighted setting."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class ResetWanted(Message):
        """The highlighted setting is to be as in the preset."""

    class FindWanted(Message):
        """Settings are looked for."""

    def action_cycle(self, by: int) -> None:
        """Ask for another choice."""
        self.post_message(self.Cycled(by))

    def action_reset(self) -> None:
        """Ask for the preset's value."""
        self.post_message(self.ResetWanted())

    def action_find(self) -> None:
        """Go to the line that filters."""
        self.post_message(self.FindWanted())


class ConfigForm(Vertical):
    """All settings of a draft, found, explained and edited."""

    class Changed(Message):
        """A setting was given a value that it can have.

        Attributes:
            key: Its dotted key.
            value: The value, as plain data.
        """

        def __init__(self, key: str, value: Any) -> None:
            super().__init__()
            self.key = key
            self.value = value

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._draft: Draft | None = None
        self._rows: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        """The filter, the list, the editor."""
        yield FindInput(placeholder="/ find a setting; * finds what you changed", compact=True)
        yield SettingList(markup=False, compact=True)
        yield FieldEditor()

    @property
    def highlighted(self) -> FormField | None:
        """The setting that the editor is for."""
        from ppo_tui.config.form import form_fields

        settings = self.query_one(SettingList)
        index = settings.highlighted
        key = settings.get_option_at_index(index).id if index is not None else None
        return form_fields().get(key) if key else None

    def show(self, draft: Draft) -> None:
        """Show a draft; rows whose text is the same are not painted."""
        first, self._draft = self._draft is None, draft
        if first:
            self._list_all()
            return
        settings = self.query_one(SettingList)
        for key, shown in self._rows.items():
            row = self._row(key)
            if row.markup != shown.markup:
                self._rows[key] = row
                settings.replace_option_prompt(key, row)
        self._show_editor()

    def select(self, key: str) -> None:
        """Highlight a setting, whatever was being looked for."""
        if key not in self._rows:
            self.query_one(FindInput).value = ""
            self._list_all()
        if key in self._rows:
            settings = self.query_one(SettingList)
            settings.highlighted = settings.get_option_index(key)
            # The list may not have been laid out yet, where it is about to be shown.
            self.call_after_refresh(settings.scroll_to_highlight, top=True)

    def edit(self, key: str) -> None:
        """Put the cursor into a setting's editor."""
        self.select(key)
        self._show_editor()
        self.query_one(FieldEditor).begin()

    def typed(self) -> tuple[str, Checked] | None:
        """The setting that is being typed, and what its text means; None if none is."""
        return self.query_one(FieldEditor).typed()

    def _list_all(self) -> None:
        """Fill the list with the settings that are looked for."""
        from ppo_tui.config.form import form_groups

        if self._draft is None:
            return
        words = self.query_one(FindInput).value.lower().split()
        before = self.highlighted
        options: list[Option] = []
        self._rows = {}
        for group in form_groups():
            fields = [field for field in group.fields if self._is_found(field, words)]
            if not fields:
                continue
            heading = Content.assemble(
                (f"{group.name} ", "bold"), (group.documentation, "$foreground-muted")
            )
            options.append(Option(heading, disabled=True))
            for field in fields:
                self._rows[field.key] = self._row(field.key)
                options.append(Option(self._rows[field.key], id=field.key))
        if not options:
            options = [Option(Content("No setting is called or explained so."), disabled=True)]
        settings = self.query_one(SettingList)
        settings.set_options(options)
        keys = list(self._rows)
        if keys:
            wanted = before.key if before is not None and before.key in self._rows else keys[0]
            settings.highlighted = settings.get_option_index(wanted)
        self._show_editor()

    def _is_found(self, field: FormField, words: list[str]) -> bool:
        if CHANGED in words and self._draft is not None and field.key not in self._draft.changes:
            return False
        text = f"{field.key} {field.documentation} {' '.join(field.choices)}".lower()
        return all(word in text for word in words if word != CHANGED)

    def _row(self, key: str) -> Content:
        from ppo_tui.config.form import form_fields

        assert self._draft is not None
        field = form_fields()[key]
        changed = key in self._draft.changes
        value = literal(value_in_a_line(field, self._draft.value(key)))
        return Content.assemble(
            (f"{CHANGED if changed else ' '} {field.name:<{_NAME_WIDTH}} ", ""),
            value.stylize("bold") if changed else value,
        )

    def _show_editor(self) -> None:
        field = self.highlighted
        if self._draft is not None:
            self.query_one(FieldEditor).show(self._draft, field)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._show_editor()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one(FieldEditor).begin()

    @on(SettingList.Cycled)
    def _cycled(self, event: SettingList.Cycled) -> None:
        event.stop()
        field = self.highlighted
        if field is None or self._draft is None:
            return
        choices: list[Any] = [False, True] if field.kind == "switch" else list(field.choices)
        if field.optional:
            choices.append(None)
        if field.kind not in ("switch", "choice"):
            self.query_one(FieldEditor).begin()
            return
        now = self._draft.value(field.key)
        place = choices.index(now) if now in choices else -1
        self.post_message(self.Changed(field.key, choices[(place + event.by) % len(choices)]))

    @on(SettingList.ResetWanted)
    def _reset(self, event: SettingList.ResetWanted) -> None:
        event.stop()
        field = self.highlighted
        if field is not None and self._draft is not None:
            value = self._draft.base_values[field.key]
            self.post_message(self.Changed(field.key, value))

    @on(SettingList.FindWanted)
    def action_find(self) -> None:
        """Go to the line that filters."""
        self.query_one(FindInput).focus()

    @on(Input.Changed, "FindInput")
    def _find(self, event: Input.Changed) -> None:
        event.stop()
        self._list_all()

    @on(Input.Submitted, "FindInput")
    @on(FindInput.Left)
    def _found(self, event: Message) -> None:
        event.stop()
        self.query_one(SettingList).focus()

    @on(FieldEditor.Taken)
    def _taken(self, event: FieldEditor.Taken) -> None:
        event.stop()
        self.post_message(self.Changed(event.key, event.value))

    @on(FieldEditor.Left)
    def _left(self, event: FieldEditor.Left) -> None:
        event.stop()
        self.query_one(SettingList).focus()
