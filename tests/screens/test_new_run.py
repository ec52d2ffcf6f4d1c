"""The form of a new run: choose, see whether it fits, change, start."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from prepare.model_folders import model_folder
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from ppo_tui.config.presets import load_preset
from ppo_tui.config.resolve import resolve
from ppo_tui.prepare.resume import copied_settings, stored_config
from ppo_tui.runs.catalog import list_runs
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import last_launch
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.base import StatusLine
from ppo_tui.screens.dialogs import Ask, Confirm
from ppo_tui.screens.new_run import NewRunScreen
from ppo_tui.screens.run_as_text import RunAsText
from ppo_tui.screens.widgets.config_form import ConfigForm, SettingList
from ppo_tui.screens.widgets.field_editor import LineInput
from ppo_tui.screens.widgets.memory_panel import MemoryPanel
from ppo_tui.screens.widgets.model_picker import ModelList, ModelPicker
from ppo_tui.screens.widgets.preset_picker import PresetPicker

from .goldens import check_golden, screen_text

GIB = 2**30


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer of 16 GiB without a card, and an empty model cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    give_memory(monkeypatch, 16 * GIB)


def give_memory(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=total))


@pytest.fixture
def app() -> PpoTuiApp:
    return PpoTuiApp()


async def opened(app: PpoTuiApp, pilot: Pilot[None], *arguments: object) -> NewRunScreen:
    """The form, once all that it reads is there."""
    await pilot.pause()
    app.open_new_run(*arguments)  # type: ignore[arg-type]
    await pilot.pause()
    await settled(app, pilot)
    assert isinstance(app.screen, NewRunScreen)
    return app.screen


async def settled(app: PpoTuiApp, pilot: Pilot[None]) -> None:
    for _ in range(3):  # what a thread finds may send another one
        await app.workers.wait_for_complete()
        await pilot.pause()


def draft(screen: NewRunScreen):
    assert screen._draft is not None
    return screen._draft


def problem(screen: NewRunScreen) -> str:
    return str(screen.query_one("#problem", Static).content)


def memory(screen: NewRunScreen) -> str:
    return str(screen.query_one(MemoryPanel).content)


def told(app: PpoTuiApp) -> list[str]:
    return [note.message for note in app._notifications]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_form_at_first(app, size):
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        check_golden(app, "new-run")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_form_with_a_setting_that_cannot_be(app, size):
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("3")
        await pilot.pause()
        screen.query_one(ConfigForm).edit("rollout.batch_size")
        await pilot.press("1", "0", "0")
        await settled(app, pilot)
        check_golden(app, "new-run-conflict")


async def test_the_models_at_80_columns(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("2")
        await settled(app, pilot)
        check_golden(app, "new-run-models")


async def test_a_run_that_does_not_fit_at_80_columns(app, monkeypatch):
    give_memory(monkeypatch, 7 * 2**20)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("3")
        await settled(app, pilot)
        check_golden(app, "new-run-too-large")


async def test_the_same_run_as_text(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("ppo.kl_coef", 0.1)
        await pilot.press("c")
        await pilot.pause()
        check_golden(app, "new-run-text")


async def test_nothing_is_cut_off_at_200_by_60(app):
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot)
        text = screen_text(app)
        for words in ("1 Preset", "2 Model", "3 Settings", "Memory ✓ fits", "response_tokens"):
            assert words in text


async def test_the_demo_is_what_a_run_begins_from(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        assert draft(screen).source == "demo"
        assert str(screen.query_one(StatusLine).content) == "New run from demo"
        assert screen.query_one(PresetPicker).has_focus
        assert memory(screen).startswith("Memory ✓ fits: ")


async def test_enter_takes_a_preset_and_goes_on_to_the_models(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("end", "enter")
        await settled(app, pilot)
        assert draft(screen).source == "sentiment"
        assert screen.query_one(ModelList).has_focus
        assert "sentiment" in str(screen.query_one(StatusLine).content)
        assert memory(screen).startswith("Memory: no plan: openai-community/gpt2 is neither")


async def test_what_was_changed_stays_when_another_preset_is_taken_and_it_says_so(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("seed", 7)
        await pilot.press("end", "space")
        await settled(app, pilot)
        assert draft(screen).changes == {"seed": 7}
        assert str(screen.query_one(StatusLine).content) == (
            "New run from sentiment · 1 change of yours, kept whichever preset you take"
        )


async def test_a_model_of_a_folder_is_taken_and_planned_for(app, tmp_path):
    folder = model_folder(tmp_path / "mine")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("2", "o")
        await pilot.pause()
        app.screen.query_one(Input).value = str(folder)
        await pilot.press("enter")
        await settled(app, pilot)
        assert draft(screen).value("model.name") == str(folder)
        for _ in range(500):  # the focus goes there once the pane has been laid out
            if screen.query_one(SettingList).has_focus:
                break
            await pilot.pause(0.01)
        assert screen.query_one(SettingList).has_focus
        assert memory(screen).startswith("Memory ✓ fits")


@pytest.mark.parametrize(("key", "target"), [("1", PresetPicker), ("3", SettingList)])
async def test_a_digit_goes_to_its_pane(app, key, target):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("2", key)
        await pilot.pause()
        assert screen.query_one(target).has_focus
        assert screen.query_one(target).region.height > 5
        assert not screen.query_one(ModelPicker).region


async def test_a_click_on_a_step_shows_its_pane(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.click("#step-settings")
        await pilot.pause()
        assert screen.query_one(SettingList).has_focus


async def test_the_plan_moves_as_a_setting_is_typed(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        before = screen.query_one(MemoryPanel).plan
        screen.query_one(ConfigForm).edit("rollout.response_tokens")
        await pilot.press("6", "4")
        await pilot.pause()
        after = screen.query_one(MemoryPanel).plan
        assert before is not None
        assert after is not None
        assert after.total > before.total


async def test_the_plan_waits_while_settings_are_in_conflict(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("rollout.batch_size", 100)
        await pilot.pause()
        assert memory(screen) == "Memory: the plan waits until the settings go together"
        assert problem(screen) == (
            "✗ rollout.batch_size (100) must be a multiple of ppo.minibatches (8)."
        )
        screen._change("ppo.minibatches", 10)
        await pilot.pause()
        assert memory(screen).startswith("Memory ✓ fits")
        assert problem(screen) == ""


async def test_f_makes_the_change_that_helps(app, monkeypatch):
    give_memory(monkeypatch, 150 * 2**20)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        assert memory(screen).startswith("Memory ✓ fits")
        screen._change("engine.checkpointing", "never")
        screen._change("engine.micro_batch_tokens", 3072)
        await pilot.pause()
        assert memory(screen).startswith("Memory ✗ does not fit")
        assert "f sets engine.micro_batch_tokens to 1536" in memory(screen)
        await pilot.press("f")
        await pilot.pause()
        assert draft(screen).changes["engine.micro_batch_tokens"] == 1536
        assert memory(screen).startswith("Memory ✓ fits")
        assert told(app) == ["engine.micro_batch_tokens is 1536 now."]
        await pilot.press("f")
        await pilot.pause()
        assert told(app)[-1] == "It fits as it is."


async def test_u_undoes_all_changes_after_a_question(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("seed", 7)
        await pilot.press("u", "n")
        await pilot.pause()
        assert draft(screen).changes == {"seed": 7}
        await pilot.press("u", "y")
        await pilot.pause()
        assert draft(screen).changes == {}
        await pilot.press("u")
        assert told(app)[-1] == "Nothing was changed."


async def test_c_shows_the_command_and_copies_it(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("ppo.kl_coef", 0.1)
        await pilot.press("c", "c")
        await pilot.pause()
        assert isinstance(app.screen, RunAsText)
        assert app.clipboard == "ppo-tui train demo --set ppo.kl_coef=0.1"
        await pilot.press("y")
        assert "  kl_coef: 0.1  # --set\n" in app.clipboard
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is screen


async def test_s_saves_a_preset_and_begins_from_it(app, home):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("steps", 5)
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press(*"mine", "enter")
        await settled(app, pilot)
        assert load_preset("mine").values["steps"] == 5
        assert told(app) == [f"Saved as preset mine: {home / 'presets' / 'mine.yaml'}"]
        assert draft(screen).source == "mine"
        assert draft(screen).changes == {}


async def test_a_preset_that_is_there_is_replaced_only_after_a_question(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("steps", 5)
        await pilot.press("s", *"demo", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("enter")  # no is in focus
        await settled(app, pilot)
        assert load_preset("demo").shipped
        await pilot.press("s", *"demo", "enter", "y")
        await settled(app, pilot)
        assert load_preset("demo").values["steps"] == 5


async def test_a_name_that_cannot_be_one_is_refused_while_it_is_typed(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("s", *"a/b", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        assert "cannot name a preset" in str(app.screen.query_one(".problem", Static).content)


async def test_leaving_asks_only_when_something_was_changed(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("seed", 7)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n", "escape", "y")
        await pilot.pause()
        assert not isinstance(app.screen, NewRunScreen)
        await opened(app, pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, NewRunScreen)


async def test_another_runs_settings_are_what_a_run_begins_from(app, make_run):
    run = make_run(settings=["steps=7", "ppo.kl_coef=0.2"])
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, copied_settings(run), "[b]Copied[/b] from a run.")
        assert str(screen.query_one("#note", Static).content) == "[b]Copied[/b] from a run."
        assert draft(screen).value("steps") == 7
        assert draft(screen).source is None
        assert draft(screen).changes == {}
        assert "copy of run first-run" in str(screen.query_one(StatusLine).content)
        await pilot.press("c", "c")
        await pilot.pause()
        assert app.clipboard == "ppo-tui train demo --set steps=7 --set ppo.kl_coef=0.2"


async def test_a_conflict_is_not_started_and_its_setting_is_shown(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("rollout.batch_size", 100)
        await pilot.press("f5")
        await settled(app, pilot)
        assert screen.query_one(SettingList).has_focus
        highlighted = screen.query_one(ConfigForm).highlighted
        assert highlighted is not None
        assert highlighted.key == "rollout.batch_size"
        assert list_runs() == []


async def test_prompts_that_are_not_there_are_told_and_their_setting_is_shown(app, tmp_path):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("data.prompts", str(tmp_path / "gone.txt"))
        await pilot.press("f5")
        await settled(app, pilot)
        assert "gone.txt" in problem(screen)
        highlighted = screen.query_one(ConfigForm).highlighted
        assert highlighted is not None
        assert highlighted.key == "data.prompts"
        assert list_runs() == []


async def test_too_little_memory_is_asked_about(app, monkeypatch):
    give_memory(monkeypatch, 7 * 2**20)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("f5")
        await settled(app, pilot)
        assert isinstance(app.screen, Confirm)
        assert app.screen._detail.startswith("It will hardly fit: it needs ")
        assert app.screen.query_one("#no").has_focus
        await pilot.press("escape")
        await settled(app, pilot)
        assert list_runs() == []


def end_worker(run: RunDirectory) -> None:
    launch = last_launch(run)
    assert launch is not None
    os.kill(launch.process.pid, signal.SIGKILL)


async def test_f5_makes_the_run_starts_its_worker_and_opens_it(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen._change("steps", 5)
        await pilot.press("f5")
        await settled(app, pilot)
        (summary,) = list_runs()
        run = RunDirectory(summary.path)
        end_worker(run)
        assert stored_config(run).steps == 5
        assert summary.preset == "demo"
        assert type(app.screen).__name__ == "TrainingScreen"
        assert screen not in app.screen_stack


async def test_what_is_being_typed_is_part_of_the_run_that_f5_starts(app, tmp_path):
    folder = model_folder(tmp_path / "tiny")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen.query_one(ConfigForm).edit("model.name")
        await pilot.pause()
        screen.query_one(LineInput).value = str(folder)
        await pilot.press("f5")
        await settled(app, pilot)
        (summary,) = list_runs()
        end_worker(RunDirectory(summary.path))
        assert summary.model == str(folder)
        assert type(app.screen).__name__ == "TrainingScreen"


async def test_f5_starts_nothing_while_what_is_typed_is_not_valid(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen.query_one(ConfigForm).edit("steps")
        await pilot.press("x", "f5")
        await settled(app, pilot)
        assert list_runs() == []
        assert app.screen is screen
        assert screen.query_one(LineInput).has_focus
        assert told(app) == ["What is typed for steps is not valid yet."]


async def test_the_form_can_be_left_in_the_middle_of_a_word(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen.query_one(ConfigForm).edit("steps")
        await pilot.press("x", "escape", "escape")
        await settled(app, pilot)
        assert screen not in app.screen_stack
        assert app.broken_by is None


async def test_a_value_longer_than_its_line_is_seen(app):
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        screen._change("description", "word " * 40)
        await pilot.pause()
        line = screen.query_one(LineInput)
        assert line.virtual_size.width > line.size.width
        assert '\u203a "word word word' in screen_text(app)


async def test_a_copy_of_a_run_names_no_preset_as_its_origin(app, make_run):
    origin = make_run(settings=["steps=7"])
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, copied_settings(origin))
        await pilot.press("ctrl+r")
        await settled(app, pilot)
        made = [run for run in list_runs() if run.name != "first-run"]
        run = RunDirectory(made[0].path)
        end_worker(run)
        assert made[0].preset == ""
        assert "steps: 7  # run first-run\n" in run.config_path.read_text()


async def test_a_broken_preset_of_ones_own_is_shown_with_its_reason(app, home):
    (home / "presets").mkdir()
    (home / "presets" / "[b]x.yaml").write_text("stepz: 3\n")
    async with app.run_test(size=(100, 32)) as pilot:
        screen = await opened(app, pilot)
        presets = screen.query_one(PresetPicker)
        rows = [str(option.prompt) for option in presets.options]
        row = next(row for row in rows if "[b]x (your own)" in row)
        assert "there is no setting 'stepz'; did you mean 'steps'?" in row
        presets.highlighted = rows.index(row)
        await pilot.press("enter")
        await pilot.pause()
        assert "[b]x cannot be taken" in problem(screen)
        assert draft(screen).source == "demo"


async def test_hostile_text_leaves_the_screen_whole(app, home):
    (home / "presets").mkdir()
    hostile = "[/] [bold] \\e]0;x\\a \\x1b[31m 漢字 " + "x" * 100_000
    (home / "presets" / "evil.yaml").write_text(f'description: "{hostile}"\n')
    start = replace(resolve("evil"), name="\x1b[2J[b]" + "名" * 300)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, start, "[/b]\x1b[31m" + "x" * 100_000)
        for key in ("1", "2", "3", "c"):
            await pilot.press(key)
            await settled(app, pilot)
            assert "\x1b" not in screen_text(app)
        await pilot.press("escape")
        assert "Memory" in screen_text(app)
        assert screen.query_one(PresetPicker) is not None


async def test_no_key_of_the_form_is_taken_from_what_is_typed(app):
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        screen.query_one(ConfigForm).edit("description")
        await pilot.press(*"curfs123")
        await pilot.pause()
        assert screen.query_one(LineInput).value == "curfs123"
        screen.query_one(ConfigForm).edit("reward.terms")
        await pilot.press(*"curs")
        await pilot.pause()
        assert screen.query_one(TextArea).text.startswith("curs")
