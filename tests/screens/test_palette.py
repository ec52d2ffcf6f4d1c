"""The palette: all that keys do here is in it, and runs and themes, and foreign text is literal."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandList
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ppo_tui.config.settings import AppSettings, load_settings
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.base import PpoScreen
from ppo_tui.screens.palette import Palette, bindings_in_reach

from .goldens import check_golden


class Plant(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "prune", "Prune", id="plant.prune", tooltip="Cut [dry] twigs off"),
        Binding("f6", "eat", "Eat", id="plant.eat", tooltip="Not before autumn"),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if action == "eat" else True

    def action_prune(self) -> None:
        self.value = "pruned"

    def action_eat(self) -> None:
        self.value = "eaten"


class Garden(PpoScreen[None]):
    TITLE_WORDS = "Garden"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "water('well')", "Water", id="garden.water", tooltip="Give every plant water"),
    ]

    watered = ""

    def compose_body(self) -> ComposeResult:
        yield Plant(id="plant")
        yield Static("a bed", markup=False)

    def action_water(self, source: str) -> None:
        self.watered = source


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def open_home(self) -> None:
        self.opened: list[str] = []
        self.push_screen(Garden())

    def open_run(self, run: RunDirectory, *, replay: float | None = None) -> None:
        self.opened.append(run.name)


async def shown(pilot: Pilot[None], query: str = "") -> list[str]:
    """What the palette lists for a query, the name and the words of each on one line."""
    if not isinstance(pilot.app.screen, Palette):
        await pilot.press("ctrl+p")
        await pilot.pause()
    pilot.app.screen.query_one(Input).value = query
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    prompts = [option.prompt for option in pilot.app.screen.query_one(CommandList).options]
    assert all(isinstance(prompt, Content) for prompt in prompts)
    return [str(prompt).replace("\n", " | ") for prompt in prompts]


async def test_what_keys_do_is_listed_from_near_to_far() -> None:
    app = Host()
    async with app.run_test() as pilot:
        lines = await shown(pilot)
    assert "Prune: Cut [dry] twigs off | key f5" in lines
    assert "Water: Give every plant water | key w" in lines
    assert "Help: Explain what is in focus, and list the keys | key ?" in lines
    assert "Settings: Theme, refresh rate, bell, keys, folders | key f9" in lines
    assert "Open new run | Choose a model and a preset, and start" in lines


async def test_every_binding_of_the_screen_and_the_app_that_can_act_is_there() -> None:
    app = Host()
    async with app.run_test() as pilot:
        wanted = {
            binding.description
            for _, binding in bindings_in_reach(app.screen)
            if binding.id and binding.description
        } - {"Eat", "Commands"}
        lines = await shown(pilot)
    assert {"Prune", "Water", "Back", "Quit", "Redraw"} <= wanted
    assert wanted <= {line.partition(": ")[0] for line in lines}


async def test_what_cannot_be_done_now_is_not_offered() -> None:
    app = Host()
    async with app.run_test() as pilot:
        assert not any("Eat" in line for line in await shown(pilot))


async def test_a_command_found_by_its_words_is_done_where_it_belongs() -> None:
    app = Host()
    async with app.run_test() as pilot:
        assert (await shown(pilot, "every plant"))[0].startswith("Water")
        await pilot.press("enter")
        await pilot.pause()
        garden = app.screen
        assert isinstance(garden, Garden)
        assert garden.watered == "well"


async def test_a_command_of_the_focused_field_is_done_there() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await shown(pilot, "prune")
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.query_one(Plant).value == "pruned"


async def test_a_remapped_key_is_shown_as_it_is_now() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.save_settings(AppSettings(keymap={"garden.water": "f9"}))
        assert "Water: Give every plant water | key f9" in await shown(pilot)


async def test_a_command_whose_key_was_lost_is_still_there() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.save_settings(AppSettings(keymap={"app.back": "w"}))
        assert any(line.startswith("Water") for line in await shown(pilot))


async def test_a_run_is_opened_by_its_name(make_run: Callable[..., RunDirectory]) -> None:
    make_run("warm-words", steps=3)
    make_run("cold-words", steps=3, phase=Phase.STOPPED)
    app = Host()
    async with app.run_test() as pilot:
        lines = await shown(pilot, "open run cold")
        assert lines[0] == "Open run cold-words | stopped, step 3 of 30, bundled"
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == ["cold-words"]


async def test_a_run_that_is_gone_by_then_is_an_error_in_words(
    make_run: Callable[..., RunDirectory],
) -> None:
    run = make_run("warm-words", steps=3)
    app = Host()
    async with app.run_test() as pilot:
        await shown(pilot, "open run warm")
        run.config_path.unlink()
        run.state_path.unlink()
        await pilot.press("enter")
        await pilot.pause()
        assert type(app.screen).__name__ == "ShowError"


async def test_a_name_with_markup_and_escapes_is_literal(
    make_run: Callable[..., RunDirectory],
) -> None:
    make_run("[red]x[", steps=1).path.rename(Path(str(make_run("b", steps=1).path) + "[b]\x1b[2J"))
    app = Host()
    async with app.run_test() as pilot:
        lines = await shown(pilot, "b[b]")
    assert any(line.startswith("Open run b[b]\\x1b[2J | ") for line in lines)


async def test_a_theme_is_put_on_and_kept() -> None:
    app = Host()
    async with app.run_test() as pilot:
        lines = await shown(pilot, "theme light")
        assert lines[0] == "Theme ppo-light | Colours: light"
        await pilot.press("enter")
        await pilot.pause()
        assert app.theme == "ppo-light"
    assert load_settings().theme == "ppo-light"


async def test_the_theme_that_is_worn_is_not_offered() -> None:
    app = Host()
    async with app.run_test() as pilot:
        lines = await shown(pilot, "theme ppo")
    assert not any(line.startswith("Theme ppo-dark") for line in lines)


async def test_escape_leaves_everything_as_it_was() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await shown(pilot, "water")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Garden)
        assert app.screen.watered == ""


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_it_fits(size: tuple[int, int]) -> None:
    app = Host()
    async with app.run_test(size=size) as pilot:
        await shown(pilot)
        check_golden(app, "palette")
