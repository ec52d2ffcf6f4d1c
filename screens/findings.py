"""All that is wrong with a run, each with its cause and remedy; and the choice of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ppo_tui.runs.diagnosis import Finding

from .dialogs import HELP_KEY
from .literal import literal
from .status import change_words
from .widgets.panels import PANELS, Panel


class FindingsScreen(ModalScreen["Finding | None"]):
    """The findings; Enter on one that has a change answers with it."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("escape,h", "close", "Close", id="findings.close", tooltip="Go back to the run"),
    ]

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__()
        self._findings = list(findings)

    def compose(self) -> ComposeResult:
        """One finding a paragraph."""
        with Vertical(classes="dialog wide"):
            count = len(self._findings)
            title = f"Health: {count} finding{'' if count == 1 else 's'}" if count else "Health"
            yield Static(Content.styled(title, "bold"), classes="question")
            if not self._findings:
                yield Static("Nothing is wrong that could be noticed.", classes="detail")
            yield OptionList(*(Option(_paragraph(finding)) for finding in self._findings))
            applies = any(finding.change is not None for finding in self._findings)
            words = "enter: apply the change   escape: back" if applies else "escape: back"
            yield Static(words, classes="keys")

    def on_mount(self) -> None:
        """The first finding is highlighted."""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        finding = self._findings[event.option_index]
        if finding.change is not None:
            self.dismiss(finding)

    def action_close(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def _paragraph(finding: Finding) -> Content:
    sign = "✗" if finding.level == "error" else "▲"
    since = f"  since step {finding.since_step}" if finding.since_step is not None else ""
    parts = [
        literal(f"{sign} {finding.title}", "bold"),
        Content.styled(since, "$foreground-muted"),
        Content("\n"),
        literal(finding.cause),
        Content("\n"),
        literal(finding.remedy, "italic"),
    ]
    if finding.change is not None:
        parts += [Content("\n"), literal(f"enter: {change_words(finding)}", "bold")]
    return Content.assemble(*parts)


class PanelsScreen(ModalScreen["tuple[str, ...] | None"]):
    """Which charts are shown; answers with the keys of the chosen panels."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("escape", "close", "Cancel", id="panel_choice.close",
                tooltip="Leave them as they are"),
        Binding("enter", "take", "Show", id="panel_choice.take", priority=True,
                tooltip="Show the chosen charts"),
        Binding("space", "choose", "Choose", id="panel_choice.toggle", show=False,
                tooltip="Choose this chart, or leave it out"),
    ]  # fmt: skip

    def __init__(self, shown: Sequence[str]) -> None:
        super().__init__()
        self._chosen = set(shown)

    def compose(self) -> ComposeResult:
        """All panels, the shown ones marked."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled("Charts", "bold"), classes="question")
            yield OptionList(*(Option(self._marked(panel)) for panel in PANELS))
            yield Static("space: choose   enter: show them   escape: leave it", classes="keys")

    def on_mount(self) -> None:
        """Put the focus into the list."""
        choices = self.query_one(OptionList)
        choices.highlighted = 0
        choices.focus()

    def _marked(self, panel: Panel) -> Content:
        # Textual's own list of choices tells them apart by colour alone.
        return Content(f"[{'x' if panel.key in self._chosen else ' '}] {panel.title}")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        """Choose the highlighted panel, or leave it out."""
        choices = self.query_one(OptionList)
        row = choices.highlighted
        if row is not None:
            panel = PANELS[row]
            self._chosen ^= {panel.key}
            choices.replace_option_prompt_at_index(row, self._marked(panel))

    def action_take(self) -> None:
        """Take the choice; at least one chart is shown."""
        keys = tuple(panel.key for panel in PANELS if panel.key in self._chosen)
        self.dismiss(keys or None)

    def action_close(self) -> None:
        """Leave them as they are."""
        self.dismiss(None)
