"""The list of presets, alone in a tiny app."""

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.screens.widgets.preset_picker import Base, PresetPicker, read_bases

from .host import Host


def heard(app: Host) -> list[str]:
    return [m.base.name for m in app.heard if isinstance(m, PresetPicker.Chosen)]


class PickerHost(Host):
    def on_preset_picker_chosen(self, event: PresetPicker.Chosen) -> None:
        self.heard.append(event)


def test_what_runs_anywhere_comes_first_and_numbers_are_in_order():
    names = [base.name for base in read_bases(None)]
    chat = ["chat-8gb", "chat-12gb", "chat-16gb", "chat-24gb"]
    assert names == ["demo", "taste", *chat, "sentiment"]


def test_settings_that_were_handed_in_stand_above_the_presets():
    first = read_bases(resolve("sentiment", ["steps=30"]))[0]
    assert first.name == "copy of sentiment"
    assert first.source is None


@pytest.mark.parametrize("key", ["enter", "space"])
async def test_a_preset_is_taken_by_key(key):
    app = PickerHost(PresetPicker())
    async with app.run_test(size=(60, 20)) as pilot:
        app.query_one(PresetPicker).show(read_bases(None), "demo")
        await pilot.press("down", key)
        await pilot.pause()
        assert heard(app) == ["taste"]


async def test_a_preset_is_taken_with_a_click():
    app = PickerHost(PresetPicker())
    async with app.run_test(size=(60, 20)) as pilot:
        app.query_one(PresetPicker).show(read_bases(None), "demo")
        await pilot.pause()
        await pilot.click(PresetPicker, offset=(3, 3))
        await pilot.pause()
        assert heard(app) == ["taste"]


async def test_nothing_can_be_taken_before_the_presets_are_read():
    app = PickerHost(PresetPicker())
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("down", "enter")
        await pilot.pause()
        assert heard(app) == []


async def test_the_chosen_one_is_marked_and_text_is_literal():
    bases = [
        Base("[b]one", "one", "[/] \x1b[31m", None, own=True),
        Base("two", "two", "", None, problem="It is [broken]."),
    ]
    app = PickerHost(PresetPicker())
    async with app.run_test(size=(60, 20)) as pilot:
        presets = app.query_one(PresetPicker)
        presets.show(bases, "[b]one")
        await pilot.pause()
        assert [str(option.prompt) for option in presets.options] == [
            "● [b]one (your own)\n  [/] \\x1b[31m",
            "  two\n  ✗ It is [broken].",
        ]
