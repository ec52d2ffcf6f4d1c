"""A new run: choose what to begin from and a model, see whether it fits, change settings, start.

What is wrong, whether it fits and how the run is started is decided by `ppo_tui.config`,
`ppo_tui.plan` and `ppo_tui.prepare`; all that takes time runs in threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from .dialogs import Confirm
from .literal import literal
from .preset_name import ask_for_preset_name
from .run_deeds import RunDeeds
from .widgets.config_form import ConfigForm
from .widgets.memory_panel import MemoryPanel
from .widgets.model_picker import ModelPicker
from .widgets.plan_bar import what_helps
from .widgets.preset_picker import DEMO, Base, PresetPicker, read_bases
from .widgets.steps import PANES, Pane, Steps, title

if TYPE_CHECKING:
    from ppo_tui.config.draft import Draft
    from ppo_tui.config.resolve import ResolvedConfig
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.errors import PpoTuiError
    from ppo_tui.runs.directory import RunDirectory


class NewRunScreen(RunDeeds):
    """The form of a new run.

    Args:
        start: Settings to begin from, such as another run's; the demo's if left out.
        note: What is said above the form.
    """

    CSS_PATH = "new_run.tcss"
    TITLE_WORDS = "New run"
    AUTO_FOCUS = "PresetPicker"
    HELP = """\
# A new run

Three parts, reached with **1**, **2** and **3**: what to begin from, the base model, the settings.
Below them stands what the run will hold in memory at its peak, against the memory there is.
**F5** starts the run; it goes on by itself, whether this app is open or not.

Taking another preset keeps what you changed yourself: those settings are marked with `*`. **r**
puts one of them back to the preset's value, **u** all of them.

**f** makes the change that helps most where the memory is too small. **c** shows the same run as a
command and as YAML. **s** keeps the settings as a preset of your own.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,ctrl+r", "start", "Start", id="new.start", tooltip="Check and start the run"),
        Binding("c", "as_text", "Text", id="new.text", tooltip="Show it as a command and as YAML"),
        Binding("s", "save", "Save", id="new.save", tooltip="Keep the settings as a preset"),
        Binding("f", "fit", "Fit", id="new.fit", tooltip="Make the change that helps it fit"),
        Binding(
            "u",
            "undo_all",
            "Undo all",
            id="new.undo",
            tooltip="Undo all changes to the preset",
            show=False,
        ),
        Binding("1", "pane('preset')", "Preset", id="new.preset", tooltip="Presets", show=False),
        Binding("2", "pane('model')", "Model", id="new.model", tooltip="Base models", show=False),
        Binding(
            "3", "pane('settings')", "Settings", id="new.settings", tooltip="Settings", show=False
        ),
    ]

    class _Loaded(Message):
        """The presets were read."""

        def __init__(self, bases: list[Base], take: str | None) -> None:
            super().__init__()
            self.bases = bases
            self.take = take

    class _Saved(Message):
        """The preset was written."""

        def __init__(self, name: str, path: str) -> None:
            super().__init__()
            self.preset = name
            self.path = path

    def __init__(self, start: ResolvedConfig | None = None, note: str = "") -> None:
        super().__init__()
        self._start = start
        self._note = note
        self._bases: list[Base] = []
        self._base = ""
        self._draft: Draft | None = None
        self._complaint = ""

    def compose_body(self) -> ComposeResult:
        """The note, the panes, what is wrong, the memory plan."""
        if self._note:
            yield Static(literal(self._note), id="note")
        yield Steps(id="steps")
        with Horizontal(id="panes"):
            with Vertical(id="choices"):
                yield PresetPicker(id="presets")
                yield ModelPicker(id="models")
            yield ConfigForm(id="settings")
        yield Static("", id="problem", markup=False)
        yield MemoryPanel(id="plan")

    def on_mount(self) -> None:
        """Name the panes and begin to read."""
        for pane, widget in zip(PANES, self._panes(), strict=True):
            widget.add_class("pane")
            widget.border_title = title(pane)
        self._mark_step("preset")
        self.query_one(MemoryPanel).wait("reading the presets …")
        self._load()

    # ---- reading

    @work(thread=True, exclusive=True, group="presets", exit_on_error=False)
    def _load(self, take: str | None = None) -> None:
        bases = read_bases(self._start)
        if not get_current_worker().is_cancelled:
            self.post_message(self._Loaded(bases, take))

    @on(_Loaded)
    def _loaded(self, event: _Loaded) -> None:
        self._bases = event.bases
        usable = [base for base in self._bases if base.resolved is not None]
        wanted = event.take or self._base or (DEMO if self._start is None else "")
        chosen = next((base for base in usable if base.name == wanted), next(iter(usable), None))
        if chosen is not None:
            self._begin_from(chosen)
        else:
            self.query_one(PresetPicker).show(self._bases, "")
            self._complain("No preset can be read; see the reasons beside them.")

    def _begin_from(self, base: Base) -> None:
        """Make the draft from another base; what was changed stays changed."""
        from ppo_tui.config.draft import draft_of

        if base.resolved is None:
            self._complain(f"{base.name} cannot be taken: {base.problem}")
            return
        self._base = base.name
        if self._draft is None:
            self._draft = draft_of(base.resolved, base.source)
        else:
            self._draft = self._draft.on(base.resolved, base.source)
        self._show_draft()

    # ---- the draft

    def _change(self, key: str, value: object) -> None:
        if self._draft is not None:
            self._draft = self._draft.with_value(key, value)
            self._show_draft()

    def _show_draft(self) -> None:
        """Show the draft everywhere, and what follows from it."""
        draft = self._draft
        if draft is None:
            return
        self.query_one(PresetPicker).show(self._bases, self._base)
        self.query_one(ModelPicker).show(draft.value("model.name"), draft.value("model.revision"))
        self.query_one(ConfigForm).show(draft)
        self._tell_status(draft)
        problem, _ = draft.problem()
        self._complain(problem)
        if problem:
            self.query_one(MemoryPanel).wait("the plan waits until the settings go together")
        else:
            self.query_one(MemoryPanel).plan_run(draft.resolved().config)

    def _tell_status(self, draft: Draft) -> None:
        if self.busy:
            self.status.show(Content(self.busy))
            return
        count = len(draft.changes)
        changed = f" · {count} change{'s' if count > 1 else ''} of yours" if count else ""
        kept = ", kept whichever preset you take" if count else ""
        self.status.show(
            Content.assemble(
                ("New run", "bold"),
                " from ",
                literal(self._base),
                changed,
                (kept, "$foreground-muted"),
            )
        )

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            self._complaint = words
            problem = self.query_one("#problem", Static)
            problem.update(literal(f"✗ {words}" if words else ""))
            problem.display = bool(words)

    # ---- what the panes say

    def action_fit(self) -> None:
        """Make the change that the plan proposes."""
        plan = self.query_one(MemoryPanel).plan
        suggestion = what_helps(plan) if plan is not None else None
        if suggestion is not None:
            self._change(suggestion.setting, suggestion.value)
            self.app.tell(f"{suggestion.setting} is {suggestion.value} now.")
        elif plan is not None and plan.verdict == "fits":
            self.app.tell("It fits as it is.")
        else:
            self.app.tell("There is no change to propose.")

    @on(PresetPicker.Chosen)
    def _preset_chosen(self, event: PresetPicker.Chosen) -> None:
        self._begin_from(event.base)
        if event.base.resolved is not None:
            self.action_pane("model")

    @on(ModelPicker.Chosen)
    def _model_chosen(self, event: ModelPicker.Chosen) -> None:
        if self._draft is not None:
            self.query_one(MemoryPanel).forget()
            self._draft = self._draft.with_value("model.revision", event.entry.revision)
            self._change("model.name", event.entry.name)
            self.action_pane("settings")

    @on(ConfigForm.Changed)
    def _setting_changed(self, event: ConfigForm.Changed) -> None:
        self._take(event.key, event.value)

    def _take(self, key: str, value: object) -> None:
        """Take what was typed or chosen for a setting."""
        if key == "model.name" and self._draft is not None and self._draft.value(key) != value:
            # A revision is one of a certain model; it means nothing for another.
            base = self._draft.base.config.model
            revision = base.revision if value == base.name else None
            self._draft = self._draft.with_value("model.revision", revision)
        self._change(key, value)

    @on(Steps.Wanted)
    def _pane_wanted(self, event: Steps.Wanted) -> None:
        self.action_pane(event.pane)

    def action_pane(self, pane: Pane) -> None:
        """Go to a pane; where there is no room for all, show it."""
        self._mark_step(pane)
        lists = {"preset": "PresetPicker", "model": "ModelList", "settings": "SettingList"}
        self.query_one(lists[pane]).focus()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Show the pane that was reached with tab, a click or a dialog."""
        for pane, widget in zip(PANES, self._panes(), strict=True):
            if widget in event.widget.ancestors_with_self:
                self._mark_step(pane)

    def _panes(self) -> tuple[PresetPicker, ModelPicker, ConfigForm]:
        return self.query_one(PresetPicker), self.query_one(ModelPicker), self.query_one(ConfigForm)

    def _mark_step(self, shown: Pane) -> None:
        for pane in PANES:
            self.set_class(pane == shown, f"-{pane}")
        self.query_one(Steps).mark(shown)

    # ---- text, presets, undo, leaving

    def action_as_text(self) -> None:
        """Show the run as a command and as YAML."""
        from .run_as_text import RunAsText

        resolved = self._valid()
        if resolved is not None:
            self.app.push_screen(RunAsText(self._command(resolved.config), resolved.to_yaml()))

    def _command(self, config: RunConfig) -> str:
        """The command of the run, from its preset or, where it has none, from the nearest one."""
        from ppo_tui.config.draft import draft_of, nearest_command

        bases = {
            base.source: draft_of(base.resolved).base.config
            for base in self._bases
            if base.source is not None and base.resolved is not None
        }
        source = self._draft.source if self._draft is not None else None
        return nearest_command(config, bases, source)

    def action_save(self) -> None:
        """Ask for a name and keep the settings as a preset."""
        resolved = self._valid()
        if resolved is None:
            return
        shipped = {base.name: not base.own for base in self._bases if base.source is not None}

        def save(name: str, overwrite: bool) -> None:
            self._save(name, resolved, overwrite=overwrite)

        ask_for_preset_name(self.app, shipped, save)

    @work(thread=True, exclusive=True, group="save", exit_on_error=False)
    def _save(self, name: str, resolved: ResolvedConfig, *, overwrite: bool) -> None:
        from ppo_tui.config.presets import save_preset
        from ppo_tui.errors import PpoTuiError
        from ppo_tui.runs.paths import shown

        try:
            path = save_preset(name, resolved, overwrite=overwrite)
        except PpoTuiError as error:
            self.app.call_later(self.refused, error)
        else:
            self.post_message(self._Saved(name, shown(path)))

    @on(_Saved)
    def _saved(self, event: _Saved) -> None:
        self.app.tell(f"Saved as preset {event.preset}: {event.path}")
        self._load(event.preset)

    def action_undo_all(self) -> None:
        """Ask, then forget all changes."""
        if self._draft is None or not self._draft.changes:
            self.app.tell("Nothing was changed.")
            return
        question = Confirm(
            f"Undo all changes to {self._base}?",
            ", ".join(self._draft.changes),
            yes="Undo",
            no="Keep them",
            danger=True,
        )
        self.app.push_screen(question, self._undo)

    def _undo(self, yes: bool | None) -> None:
        from ppo_tui.config.draft import Draft

        if yes and self._draft is not None:
            self._draft = Draft(self._draft.base, self._draft.source)
            self._show_draft()

    def action_leave(self) -> None:
        """Go back; ask first if something was changed."""
        if self._draft is None or not self._draft.changes:
            super().action_leave()
            return
        question = Confirm(
            "Leave the form?",
            "What you changed is lost; s in the form keeps it as a preset.",
            yes="Leave",
            no="Stay",
            danger=True,
        )
        leave = super().action_leave
        self.app.push_screen(question, lambda yes: leave() if yes else None)

    # ---- the start

    def _valid(self) -> ResolvedConfig | None:
        """The configuration, or None: then it was said what is wrong, and the setting is shown."""
        from ppo_tui.errors import ConfigError

        if self._draft is None:
            return None
        typed = self.query_one(ConfigForm).typed()
        if typed is not None:
            key, checked = typed
            if checked.error:
                self.app.tell(f"What is typed for {key} is not valid yet.", severity="warning")
                return None
            self._take(key, checked.value)
        try:
            return self._draft.resolved()
        except ConfigError as error:
            self._show_setting(self._draft.problem()[1])
            self._complain(error.message)
            return None

    def _show_setting(self, key: str) -> None:
        if key:
            self.action_pane("settings")
            self.query_one(ConfigForm).select(key)

    def action_start(self) -> None:
        """Check the settings, ask if there is hardly room for it, then start."""
        resolved = self._valid()
        if resolved is None or self.busy:
            return
        risk = self._risk()
        if not risk:
            self._begin(resolved)
            return
        question = Confirm("Start this run?", risk, yes="Start", no="Not yet", danger=True)
        self.app.push_screen(question, lambda yes: self._begin(resolved) if yes else None)

    def _risk(self) -> str:
        """What a person should know before this run starts, in a sentence; empty if nothing."""
        from ppo_tui.text.figures import size

        plan = self.query_one(MemoryPanel).plan
        if plan is None or plan.budget is None or plan.verdict != "too large":
            return ""
        return f"It will hardly fit: it needs {size(plan.total)} of {size(plan.budget)}."

    def _begin(self, resolved: ResolvedConfig) -> None:
        self._complain("")
        source = self._draft.source if self._draft is not None else None
        self.start_run(resolved, source, "New run: checking model, prompts and reward …")

    def show_busy(self) -> None:
        """Say what is being done."""
        if self._draft is not None:
            self._tell_status(self._draft)

    def opens(self, run: RunDirectory) -> None:
        """Give way to the run."""
        app = self.app
        if app.screen is self:  # else a dialog stands in front of it
            app.pop_screen()
        app.open_run(run)

    def refused(self, error: PpoTuiError) -> None:
        """Say why not beside the setting that it is about."""
        if not self.standing:
            super().refused(error)
            return
        self._show_draft()
        area = error.code.removeprefix("trust.").partition(".")[0].partition("_")[0]
        places = {"data": "data.prompts", "model": "model.name", "reward": "reward.terms"}
        self._show_setting(places.get(area, ""))
        self._complain(f"{error.message} {error.hint}".strip())
