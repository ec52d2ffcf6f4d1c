"""The command palette: whatever a key does here, found by its name; runs and themes by theirs.

Generated from the bindings of the screen in front, its focused widget and the app, so that nothing
has to be listed twice. A command whose key was lost to another one is still here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Matcher, Provider, SearchIcon
from textual.content import Content

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.catalog import RunSummary, list_runs
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.text.plain import shortened

from .keys import normal, shown
from .themes import THEMES, WORDS

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.screen import Screen

    from .app import PpoTuiApp

LONGEST_NAME: Final = 60


@dataclass(frozen=True)
class Entry:
    """One line of the palette.

    Attributes:
        name: What is searched and shown; harmless, but not free of markup.
        words: What is shown below it.
        run: What happens.
        first: Shown before anything is typed.
    """

    name: str
    words: str
    run: Callable[[], Awaitable[Any] | Any]
    first: bool = True


class Commands(Provider):
    """All of the palette, in one source: Textual would mix several in any order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._runs: list[RunSummary] = []

    async def startup(self) -> None:
        """List the runs, off the event loop."""
        try:
            self._runs = await asyncio.to_thread(list_runs)
        except PpoTuiError:
            self._runs = []  # the list of runs says what is wrong with the folder

    def entries(self) -> Iterator[Entry]:
        """What there is to find."""
        app = cast("PpoTuiApp", self.app)
        yield from binding_entries(app, self.screen)
        yield from screen_entries(app)
        yield from theme_entries(app)
        yield from run_entries(app, self._runs)

    async def discover(self) -> Hits:
        """What is shown before anything is typed."""
        for entry in self.entries():
            if entry.first:
                # Content, because strings are read as markup here.
                yield DiscoveryHit(
                    cast(str, Content(entry.name)),
                    entry.run,
                    text=entry.name,
                    help=cast(str, Content(entry.words)),
                )

    async def search(self, query: str) -> AsyncIterator[Hit]:
        """What matches, in its name or, for less, in its words."""
        matcher = self.matcher(query)
        for entry in self.entries():
            score = max(matcher.match(entry.name), 0.6 * matcher.match(entry.words))
            if score > 0:
                yield Hit(
                    score,
                    cast(str, _highlighted(matcher, entry.name)),
                    entry.run,
                    text=entry.name,
                    help=cast(str, Content(entry.words)),
                )


def _highlighted(matcher: Matcher, text: str) -> Content:
    """The text with what matched marked; `Matcher.highlight` would read it as markup."""
    content = Content(text)
    score, offsets = matcher.fuzzy_search.match(matcher.query, text)
    if score:
        for offset in offsets:
            if not text[offset].isspace():
                content = content.stylize(matcher.match_style, offset, offset + 1)
    return content


def binding_entries(app: PpoTuiApp, screen: Screen[Any]) -> Iterator[Entry]:
    """Every binding with an id and a description that can act now, the nearest first."""
    seen = {"app.palette"}
    for node, binding in bindings_in_reach(screen):
        if binding.id is None or binding.id in seen or not binding.description:
            continue
        seen.add(binding.id)
        if app._check_action_state(binding.action, node):
            keys = normal(app.settings.keymap.get(binding.id) or binding.key)
            name = ": ".join(filter(None, (binding.description, binding.tooltip)))
            run = partial(app.run_action, binding.action, node)
            yield Entry(name, f"key {shown(keys[0])}", run)


def bindings_in_reach(screen: Screen[Any]) -> Iterator[tuple[DOMNode, Binding]]:
    """The bindings of the focused widget and of what it stands in, the nearest first.

    As the classes have them: `Screen.active_bindings` leaves out those whose key the focused field
    takes, or that a clash of the user's keymap took away.
    """
    chain = [screen, screen.app] if screen.focused is None else screen.focused.ancestors_with_self
    for node in chain:
        for _, binding in node._bindings:
            if not binding.system:
                yield node, binding


def run_entries(app: PpoTuiApp, runs: Sequence[RunSummary]) -> Iterator[Entry]:
    """The runs that can be opened, the newest first."""
    for run in runs:
        if run.problem:
            continue
        phase = run.phase.value.replace("_", " ") if run.phase else "unknown"
        model = f", {shortened(run.model, LONGEST_NAME)}" if run.model else ""
        yield Entry(
            f"Open run {shortened(run.name, LONGEST_NAME)}",
            f"{phase}, step {run.step} of {run.total}{model}",
            partial(_open_run, app, run.path),
            first=False,
        )


def _open_run(app: PpoTuiApp, path: Path) -> None:
    try:
        run = RunDirectory.open(path)
    except PpoTuiError as error:
        app.show_error(error)
    else:
        app.open_run(run)


def theme_entries(app: PpoTuiApp) -> Iterator[Entry]:
    """Every theme but the one that is worn; chosen and kept."""
    for theme in THEMES:
        if theme.name != app.settings.theme:
            chosen = replace(app.settings, theme=theme.name)
            yield Entry(
                f"Theme {theme.name}",
                f"Colours: {WORDS[theme.name]}",
                partial(app.save_settings, chosen),
                first=False,
            )


def screen_entries(app: PpoTuiApp) -> Iterator[Entry]:
    """The screens that are there whatever stands in front, and have no key everywhere."""
    yield Entry("Open new run", "Choose a model and a preset, and start", app.open_new_run)


class Palette(CommandPalette):
    """Textual's palette with a sign that is one cell wide everywhere."""

    DEFAULT_CSS = """
    Palette SearchIcon { color: $accent; }
    Palette > .command-palette--help-text { color: $text-muted; text-style: not bold; }
    Palette > Vertical { background: $surface; margin-top: 1; }
    """

    def __init__(self) -> None:
        super().__init__([Commands], placeholder="Find a command, a run, a theme…")

    def on_mount(self) -> None:
        """Take the emoji away: terminals do not agree on its width."""
        self.query_one(SearchIcon).icon = "›"
