"""The base models that are to be had: bundled, in the cache, in a folder, found on the hub.

The cache is read and the hub asked in threads. What cannot be used is shown with the reason.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from ..dialogs import Ask
from ..literal import literal
from .find_input import FindInput

if TYPE_CHECKING:
    from ppo_tui.prepare.models import Cache, ModelEntry

CHOSEN = "●"
REFUSED = "✗"
PAUSE_SECONDS = 0.4
"""How long nothing is typed before the hub is asked."""
_FEWEST_LETTERS = 2
_FOLDER = "folder"
_NAME_LENGTH = 60


class ModelList(OptionList):
    """The models; enter or space takes one."""

    HELP = """\
## Base models

**enter** takes a model. Those in grey, with ✗, cannot be used; the lines below say why.

**/** looks for a name: among the models on this machine at once, and on the Hugging Face hub when
you pause, unless HF_HUB_OFFLINE is set. A path that is typed there, or **o**, opens a folder.
Nothing is downloaded before a run starts but a model's config.json.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "select", "Take", id="model.take", tooltip="Take this model", show=False),
        Binding(
            "slash",
            "find",
            "Find",
            id="model.find",
            tooltip="Look for a model here and on the hub",
            key_display="/",
        ),
        Binding("o", "folder", "Folder", id="model.folder", tooltip="Take a model from a folder"),
    ]

    class FindWanted(Message):
        """A model is looked for."""

    class FolderWanted(Message):
        """A model in a folder is wanted."""

    def action_find(self) -> None:
        """Go to the line that filters."""
        self.post_message(self.FindWanted())

    def action_folder(self) -> None:
        """Ask for a folder."""
        self.post_message(self.FolderWanted())


class ModelPicker(Vertical):
    """Models, those of this machine first, and what is known of the highlighted one."""

    class Chosen(Message):
        """A model that can be used was taken."""

        def __init__(self, entry: ModelEntry) -> None:
            super().__init__()
            self.entry = entry

    class _Here(Message):
        """The models of this machine are known."""

        def __init__(self, bundled: ModelEntry, cache: Cache, offline: str) -> None:
            super().__init__()
            self.bundled = bundled
            self.cache = cache
            self.offline = offline

    class _Answered(Message):
        """The hub answered, or did not."""

        def __init__(self, words: str, found: tuple[ModelEntry, ...], problem: str) -> None:
            super().__init__()
            self.words = words
            self.found = found
            self.problem = problem

    class _Looked(Message):
        """A folder was looked into."""

        def __init__(self, entry: ModelEntry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._here: list[ModelEntry] | None = None
        self._folders: list[ModelEntry] = []
        self._hub: tuple[ModelEntry, ...] = ()
        self._shown: list[ModelEntry | None] = []
        self._warnings: tuple[str, ...] = ()
        self._offline = ""
        self._hub_words = ""
        self._asked = ""
        self._chosen: tuple[str, str | None] = ("", None)
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The filter, the list, and two lines on what is highlighted."""
        yield FindInput(placeholder="/ find a model, here or on the hub", compact=True)
        yield ModelList(markup=False, compact=True)
        yield Static("", id="model-facts", markup=False)
        yield Static("reading the model cache …", id="model-hub", markup=False)

    def on_mount(self) -> None:
        """Begin to look at what is here."""
        self._scan()

    def show(self, name: str, revision: str | None) -> None:
        """Mark the model that the run has now."""
        if (name, revision) != self._chosen:
            self._chosen = (name, revision)
            self._fill(name)

    # ---- looking

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _scan(self) -> None:
        from ppo_tui.prepare.hub import why_offline
        from ppo_tui.prepare.models import bundled_model, cached_models

        found = self._Here(bundled_model(), cached_models(), why_offline())
        if not get_current_worker().is_cancelled:
            self.post_message(found)

    @on(_Here)
    def _scanned(self, event: _Here) -> None:
        event.stop()
        self._here = [event.bundled, *event.cache.models]
        self._warnings = event.cache.warnings
        self._offline = event.offline
        self._say()
        self._fill()

    @work(thread=True, exclusive=True, group="hub", exit_on_error=False)
    def _ask_hub(self, words: str) -> None:
        from ppo_tui.errors import PpoTuiError
        from ppo_tui.prepare.hub import search_hub

        try:
            answer = self._Answered(words, search_hub(words), "")
        except PpoTuiError as error:
            answer = self._Answered(words, (), error.message)
        if not get_current_worker().is_cancelled:
            self.post_message(answer)

    @on(_Answered)
    def _answered(self, event: _Answered) -> None:
        event.stop()
        if event.words == self._asked:
            self._asked = ""
        if event.words != self._words:
            return
        # What was not answered may be asked again.
        self._hub, self._hub_words = event.found, "" if event.problem else event.words
        count = len(event.found)
        self._say(
            event.problem or f"{count or 'no'} model{'' if count == 1 else 's'} found on the hub"
        )
        self._fill()

    @work(thread=True, exclusive=True, group="folder", exit_on_error=False)
    def _look_into(self, folder: str) -> None:
        from ppo_tui.prepare.models import folder_model

        looked = self._Looked(folder_model(folder))
        if not get_current_worker().is_cancelled:
            self.post_message(looked)

    @on(_Looked)
    def _looked(self, event: _Looked) -> None:
        event.stop()
        entry = event.entry
        self._folders = [entry, *(one for one in self._folders if one.name != entry.name)]
        with self.prevent(Input.Changed):
            self.query_one(FindInput).value = ""
        self._fill(entry.name)
        self.query_one(ModelList).focus()
        self._choose(entry)

    @property
    def _words(self) -> str:
        return self.query_one(FindInput).value.strip()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._fill()
        words = self._words
        if _is_path(words):
            self._say("enter looks into this folder")
        elif len(words) < _FEWEST_LETTERS:
            self._say()
        elif self._offline:
            self._say(f"the hub is not asked: {self._offline}")
        else:
            self._say("the hub is asked when you pause")
            self._timer = self.set_timer(PAUSE_SECONDS, self._paused)

    def _paused(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        words = self._words
        if words and words not in (self._hub_words, self._asked):
            self._asked = words
            self._say("asking the hub …")
            self._ask_hub(words)

    @on(Input.Submitted)
    @on(FindInput.Left)
    def _found(self, event: Message) -> None:
        event.stop()
        if isinstance(event, Input.Submitted) and _is_path(self._words):
            self._look_into(self._words)
        else:
            self.query_one(ModelList).focus()

    @on(ModelList.FindWanted)
    def action_find(self) -> None:
        """Go to the line that filters."""
        self.query_one(FindInput).focus()

    @on(ModelList.FolderWanted)
    def action_folder(self) -> None:
        """Ask for a folder that holds a model."""

        def look(folder: str | None) -> None:
            if folder and folder.strip():
                self._look_into(folder.strip())

        question = Ask(
            "In which folder is the model?",
            placeholder="a folder with config.json and .safetensors weights",
        )
        self.app.push_screen(question, look)

    # ---- the list

    def _fill(self, highlight: str | None = None) -> None:
        """Fill the list with what is looked for, those of this machine first."""
        models = self.query_one(ModelList)
        before = self._highlighted()
        wanted = highlight or (before.name if before is not None else self._chosen[0])
        words = self._words.lower().split()
        local = [*self._missing(), *(self._here or []), *self._folders]
        entries = [one for one in local if all(word in one.name.lower() for word in words)]
        if words and self._words == self._hub_words:
            known = {one.name for one in entries}
            entries += [one for one in self._hub if one.name not in known]
        self._shown = [*entries, None]
        folder = Content.assemble("  ", ("o", "bold"), " a folder …")
        models.set_options([*(Option(self._row(one)) for one in entries), Option(folder)])
        names = [one.name for one in entries]
        models.highlighted = names.index(wanted) if wanted in names else 0

    def _missing(self) -> list[ModelEntry]:
        """The model that the run has now, where it is none of those on this machine."""
        from ppo_tui.prepare.models import ModelEntry, Place

        name, revision = self._chosen
        known = [*(self._here or []), *self._folders]
        if not name or self._here is None or any(one.name == name for one in known):
            return []
        if _is_path(name):
            return [ModelEntry(name, Place.FOLDER, revision)]
        found = next((one for one in self._hub if one.name == name), None)
        entry = found or ModelEntry(name, Place.HUB, revision)
        note = entry.note or "not on this machine: downloaded when a run starts"
        if self._offline:
            note = f"not on this machine, and the hub is not asked: {self._offline}"
        return [replace(entry, note=note)]

    def _row(self, entry: ModelEntry) -> Content:
        from ppo_tui.text.figures import size
        from ppo_tui.text.plain import shortened

        chosen = entry.name == self._chosen[0]
        mark = CHOSEN if chosen else REFUSED if entry.problem else " "
        facts = entry.problem or "  ".join(
            filter(
                None,
                (
                    entry.weights,
                    size(entry.bytes) if entry.bytes is not None else "",
                    "" if entry.place.value == entry.name else entry.place.value,
                ),
            )
        )
        style = "dim" if entry.problem else "bold" if chosen else ""
        return Content.assemble(
            f"{mark} ",
            literal(shortened(entry.name, _NAME_LENGTH), style),
            "  ",
            literal(shortened(facts, _NAME_LENGTH), "$foreground-muted"),
        )

    def _highlighted(self) -> ModelEntry | None:
        index = self.query_one(ModelList).highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    @on(OptionList.OptionHighlighted)
    def _tell_facts(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        entry = self._highlighted()
        facts = self.query_one("#model-facts", Static)
        facts.update(facts_of(entry) if entry is not None else Content(""))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        entry = self._shown[event.option_index] if event.option_index < len(self._shown) else None
        if entry is None:
            self.action_folder()
        else:
            self._choose(entry)

    def _choose(self, entry: ModelEntry) -> None:
        if entry.problem:
            self._say(f"{REFUSED} cannot be used: {entry.problem}")
        else:
            self._say()
            self.post_message(self.Chosen(entry))

    def _say(self, words: str = "") -> None:
        """Say how the search stands; or else what the cache's scan could not make sense of."""
        if not words and self._warnings:
            count = len(self._warnings)
            words = f"{count} damaged in the cache: {self._warnings[0]}"
        if not words:
            words = f"hub: {self._offline}" if self._offline else ""
        self.query_one("#model-hub", Static).update(literal(words))


def facts_of(entry: ModelEntry) -> Content:
    """All that is known of a model, in a line or two."""
    from ppo_tui.text.figures import size

    facts = (
        ("", entry.problem and f"{REFUSED} {entry.problem}"),
        ("weights ", entry.weights),
        ("size ", size(entry.bytes) if entry.bytes is not None else ""),
        ("type ", entry.model_type),
        ("licence ", entry.licence),
        ("revision ", entry.revision),
        ("", entry.note),
    )
    pieces = [f"{name}{value}" for name, value in facts if value]
    return literal("; ".join(pieces) or "nothing is known of it yet")


def _is_path(words: str) -> bool:
    return words.startswith(("/", "~", "./", "../")) or (os.sep != "/" and os.sep in words)
