"""Settings of the app: looks, sounds, keys and folders, in one list that can be searched.

Each change is in force at once and kept at once. What there is to set, its bounds and its words
come from `AppSettings` and from the bindings; see `settings_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState, get_current_worker

from ppo_tui.config.settings import DOCUMENTATION, AppSettings
from ppo_tui.errors import ConfigError

from .base import PpoScreen
from .dialogs import Ask, Confirm
from .keys import Command, all_commands, refusal, with_key
from .keys import shown as key_shown
from .literal import literal
from .settings_rows import (
    FOLDERS,
    Row,
    new_clashes,
    rows_of,
    stepped,
    typed,
    with_keymap,
    without_change,
)
from .widgets.plain_input import PlainInput

READING_KEYS = "Keys: looking through all screens…"


class PressKey(ModalScreen["str | None"]):
    """Waits for the key that something shall have; None if it is left as it is.

    Args:
        command: What the key shall do.
        now: The keys that it has.
    """

    CSS_PATH = ["dialogs.tcss", "settings.tcss"]  # noqa: RUF012
    AUTO_FOCUS = ""

    def __init__(self, command: Command, now: str) -> None:
        super().__init__()
        self._command = command
        self._now = now

    def compose(self) -> ComposeResult:
        """What is waited for, and why the last key was refused."""
        name = self._command.name
        with Vertical(classes="dialog"):
            yield Static(literal(f"Press the new key for {name}", "bold"), classes="question")
            yield Static(literal(f"{self._command.words}. Now: {self._now}"), classes="detail")
            yield Static(id="refusal", classes="problem", markup=False)
            yield Static("escape: leave it as it is", classes="keys")

    def on_key(self, event: Key) -> None:
        """Take the key, or say why not; nothing else gets to see it."""
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif sentence := refusal(event.key, self._command):
            self.query_one("#refusal", Static).update(literal(sentence))
        else:
            self.dismiss(event.key)


class SettingsList(OptionList):
    """The rows; left and right change the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left,minus",
            "screen.step(-1)",
            "Less",
            id="settings.less",
            tooltip="The value before this one",
        ),
        Binding(
            "right,plus,equals_sign",
            "screen.step(1)",
            "More",
            id="settings.more",
            tooltip="The value after this one",
        ),
    ]


class SettingsScreen(PpoScreen[None]):
    """All settings in a list, with what is good to know of the one under the cursor below it.

    Args:
        commands: Finds what keys do; takes its time.
    """

    CSS_PATH = "settings.tcss"
    TITLE_WORDS = "Settings"
    AUTO_FOCUS = "SettingsList"
    HELP = """
    # Settings

    Every change holds at once and is kept at once, in `settings.yaml` in ppo-tui's folder. A `*`
    marks what differs from the default.

    `←` and `→` change a value, `enter` changes it or asks for it. On a key, `enter` waits for the
    new one, and `a` for one more beside it. `r` gives one row its default again, `x` all of them.

    A key that stands for two things at the same time is told before it is taken, and marked `▲`
    afterwards. Keys that terminals keep for themselves are refused, with the reason.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reset", "Default", id="settings.reset", tooltip="Give this row its default"),
        Binding(
            "a",
            "add_key",
            "Add key",
            id="settings.add_key",
            tooltip="Give this one more key beside those that it has",
        ),
        Binding(
            "x",
            "reset_all",
            "All defaults",
            id="settings.reset_all",
            tooltip="Give everything its default again, after a question",
        ),
        Binding("slash", "search", "Search", id="settings.search", tooltip="Show only some rows"),
        Binding(
            "c",
            "copy",
            "Copy",
            id="settings.copy",
            tooltip="Copy the value of this row",
            show=False,
        ),
    ]

    class KeysFound(Message):
        """All screens have been looked through."""

        def __init__(self, commands: Sequence[Command]) -> None:
            super().__init__()
            self.commands = commands

    def __init__(self, commands: Callable[[], Sequence[Command]] = all_commands) -> None:
        super().__init__()
        self._find_commands = commands
        self._commands: Sequence[Command] = ()
        self._looking = READING_KEYS
        self._rows: dict[str, Row] = {}
        self._wanted = ""
        self._kind = (False, False)

    def compose_body(self) -> ComposeResult:
        """The search, the list, the details."""
        yield PlainInput(placeholder="/ search", id="search")
        yield SettingsList(id="rows", markup=False)
        yield Static(id="details", markup=False)

    def on_mount(self) -> None:
        """Show what is known, and look for the keys."""
        self._show()
        self._look_for_keys()

    @work(thread=True, exclusive=True, group="keys", exit_on_error=False)
    def _look_for_keys(self) -> None:
        worker = get_current_worker()
        commands = self._find_commands()
        if not worker.is_cancelled:
            self.post_message(self.KeysFound(commands))

    @on(KeysFound)
    def _found(self, event: KeysFound) -> None:
        self._commands, self._looking = event.commands, ""
        self._show()

    @on(Worker.StateChanged)
    def _broke(self, event: Worker.StateChanged) -> None:
        """A screen that cannot be loaded is a fault; the settings are of use all the same."""
        if event.state is WorkerState.ERROR and event.worker.group == "keys":
            self._looking = f"Keys: they cannot be listed ({event.worker.error})"
            self._show()

    # ---- the list

    @property
    def _list(self) -> SettingsList:
        return self.query_one(SettingsList)

    @property
    def _row(self) -> Row | None:
        option = self._list.highlighted_option
        return self._rows.get(option.id or "") if option else None

    @property
    def _command(self) -> Command | None:
        row = self._row
        found = (command for command in self._commands if row and command.id == row.id)
        return next(found, None)

    def _show(self) -> None:
        """Fill the list anew and keep the cursor where it is."""
        before = self._row
        rows = rows_of(self.app.settings, self._commands)
        self._rows = {row.id: row for row in rows}
        options: list[Option] = []
        section = ""
        for row in rows:
            if not row.holds(self._wanted):
                continue
            if row.section != section:
                if row.section == FOLDERS and self._looking and not self._wanted:
                    options.append(_heading(self._looking))
                section = row.section
                options.append(_heading(section))
            options.append(Option(_prompt(row), id=row.id))
        places = {option.id: place for place, option in enumerate(options) if option.id}
        rows_list = self._list
        rows_list.set_options(options or [_heading("Nothing here holds that.")])
        if before is not None and before.id in places:
            rows_list.highlighted = places[before.id]
        elif places:
            rows_list.highlighted = min(places.values())
        self._describe()

    @on(OptionList.OptionHighlighted)
    def _describe(self) -> None:
        row = self._row
        self.query_one("#details", Static).update(literal(row.details) if row else Content())
        kind = (self._command is not None, row is not None and row.changed)
        if kind != self._kind:  # the footer is painted anew only if a key came or went
            self._kind = kind
            self.refresh_bindings()

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip().casefold()
        self._show()

    @on(Input.Submitted, "#search")
    def _to_the_list(self) -> None:
        self._list.focus()

    def action_search(self) -> None:
        """Go to the search."""
        self.query_one("#search").focus()

    def action_leave(self) -> None:
        """Leave the search first, then the screen."""
        search = self.query_one("#search", Input)
        if search.has_focus or search.value:
            search.value = ""
            self._list.focus()
        else:
            super().action_leave()

    # ---- changes

    def _change(self, settings: AppSettings) -> None:
        if settings != self.app.settings:
            self.app.save_settings(settings)
            self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the row under the cursor has no use for."""
        row = self._row if self.is_mounted else None
        if action == "add_key":
            return True if row and self._command else None
        if action == "reset":
            return True if row and row.changed else None
        return True

    @on(OptionList.OptionSelected)
    def _enter(self) -> None:
        row, command = self._row, self._command
        if row is None:
            return
        if command is not None:
            self._ask_for_key(command, keep=())
        elif row.id not in DOCUMENTATION:
            self.action_copy()
        elif DOCUMENTATION[row.id].step is not None:
            self._ask_for_number(row)
        else:
            self.action_step(1)

    def action_step(self, direction: int) -> None:
        """Change the value under the cursor by a step."""
        row = self._row
        if row is not None and row.id in DOCUMENTATION:
            self._change(stepped(self.app.settings, row.id, direction))

    def _ask_for_number(self, row: Row) -> None:
        def wrong(text: str) -> str:
            try:
                typed(self.app.settings, row.id, text)
            except ConfigError as error:
                return error.message
            return ""

        def answered(text: str | None) -> None:
            if text is not None:
                self._change(typed(self.app.settings, row.id, text))

        value = f"{getattr(self.app.settings, row.id):g}"
        about = DOCUMENTATION[row.id]
        question = f"{about.title}, from {about.low:g} to {about.high:g}"
        self.app.push_screen(Ask(question, value, check=wrong), answered)

    def _ask_for_key(self, command: Command, keep: Sequence[str]) -> None:
        def pressed(key: str | None) -> None:
            if key is not None and key not in keep:
                self._take_keys(command, (*keep, key))

        now = " or ".join(key_shown(key) for key in command.effective(self.app.settings.keymap))
        self.app.push_screen(PressKey(command, now), pressed)

    def _take_keys(self, command: Command, keys: Sequence[str]) -> None:
        settings = self.app.settings
        keymap = with_key(settings.keymap, command, keys)
        found = new_clashes(self._commands, settings.keymap, keymap)
        if not found:
            self._change(with_keymap(settings, keymap))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._change(with_keymap(settings, keymap))

        sentences = "\n".join(clash.sentence for clash in found)
        detail = f"{sentences}\nWhere both are there, only one of them will have it."
        self.app.push_screen(
            Confirm("Take this key all the same?", detail, yes="Take it", no="Leave", danger=True),
            answered,
        )

    def action_add_key(self) -> None:
        """One more key for what is under the cursor."""
        command = self._command
        if command is not None:
            self._ask_for_key(command, keep=command.effective(self.app.settings.keymap))

    def action_reset(self) -> None:
        """The default for the row under the cursor."""
        row, command, settings = self._row, self._command, self.app.settings
        if command is not None:
            keymap = with_key(settings.keymap, command, None)
            self._change(with_keymap(settings, keymap))
        elif row is not None and row.id in DOCUMENTATION:
            self._change(without_change(settings, row.id))

    def action_reset_all(self) -> None:
        """The defaults for everything, after a question."""
        if self.app.settings == AppSettings():
            self.app.tell("Everything is as it is by default.")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._change(AppSettings())

        count = sum(row.changed for row in self._rows.values())
        detail = f"{count} {'row differs' if count == 1 else 'rows differ'} from the defaults."
        self.app.push_screen(
            Confirm("Give everything its default again?", detail, yes="All defaults", danger=True),
            answered,
        )

    def action_copy(self) -> None:
        """Copy the value under the cursor."""
        row = self._row
        if row is not None:
            self.app.copy_to_clipboard(row.value)
            self.app.tell(f"Copied, where the terminal allows it: {row.value}")


def _heading(words: str) -> Option:
    return Option(Content.styled(words, "bold underline"), disabled=True)


def _prompt(row: Row) -> Content:
    sign = "▲" if row.clash else "*" if row.changed else " "
    return Content.assemble(
        (f"{sign} ", "bold $warning" if row.clash else "bold"),
        literal(row.title.ljust(18)),
        "  ",
        literal(row.value, "bold" if row.changed else ""),
    )
