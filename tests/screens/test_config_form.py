"""The list of settings and its editor, alone in a tiny app that keeps the draft."""

from dataclasses import replace

import pytest
from textual.widgets import Static

from ppo_tui.config.draft import Draft, draft_of
from ppo_tui.config.resolve import resolve
from ppo_tui.screens.widgets.config_form import ConfigForm, SettingList
from ppo_tui.screens.widgets.field_editor import (
    FieldEditor,
    LineInput,
    TermsArea,
    kind_at,
    terms_explained,
)
from ppo_tui.screens.widgets.find_input import FindInput

from .host import Host


class FormHost(Host):
    """Keeps the draft, as the screen does."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(ConfigForm())
        self.draft = draft

    def on_mount(self) -> None:
        self.query_one(ConfigForm).show(self.draft)

    def on_config_form_changed(self, event: ConfigForm.Changed) -> None:
        self.draft = self.draft.with_value(event.key, event.value)
        self.query_one(ConfigForm).show(self.draft)

    @property
    def form(self) -> ConfigForm:
        return self.query_one(ConfigForm)

    def text_of(self, selector: str) -> str:
        return str(self.query_one(selector, Static).content)

    def row(self, key: str) -> str:
        return str(self.query_one(SettingList).get_option(key).prompt)

    @property
    def keys(self) -> list[str]:
        return [option.id for option in self.query_one(SettingList).options if option.id]


@pytest.fixture
def app() -> FormHost:
    return FormHost(draft_of(resolve("demo"), "demo"))


async def test_every_setting_stands_in_the_list_under_its_group(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert len(app.keys) > 60
        assert app.keys[:4] == ["description", "steps", "seed", "device"]
        heading = app.query_one(SettingList).options[0]
        assert str(heading.prompt).startswith("run How long")
        assert heading.disabled
        assert app.row("optim.lr") == "  lr                    0.002"


async def test_the_highlighted_setting_is_explained_with_its_limits(app):
    async with app.run_test(size=(100, 24)) as pilot:
        app.form.select("adapter.rank")
        await pilot.pause()
        assert app.text_of("#field-title") == (
            "adapter.rank  a whole number, at least 1, at most 1024; default 16"
        )
        assert app.text_of("#field-words Static") == (
            "Rank of the update; 1 to 32 is enough for reinforcement learning."
        )


async def test_a_valid_text_is_taken_as_it_is_typed_and_marked(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        app.form.select("steps")
        await pilot.press("enter", "end", "0")
        await pilot.pause()
        assert app.draft.value("steps") == 360
        assert app.row("steps") == "* steps                 360"
        assert "was 36" in app.text_of("#field-title")


async def test_a_text_that_cannot_be_is_told_and_not_taken(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        app.form.select("steps")
        await pilot.press("enter", "0")
        await pilot.pause()
        assert app.text_of("#field-problem") == ("✗ Must be 1 or more (given: 0).")
        assert app.draft.value("steps") == 36
        await pilot.press("escape")
        await pilot.pause()
        assert app.query_one(LineInput).value == "36"
        assert app.query_one(SettingList).has_focus
        assert [note.message for note in app._notifications] == [
            "steps stays as it was: what was typed is not valid."
        ]


async def test_half_of_a_number_is_not_left_behind_as_the_value(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.edit("optim.lr")
        await pilot.press("1")
        await pilot.pause()
        assert app.draft.value("optim.lr") == 1
        await pilot.press("e")
        await pilot.pause()
        assert app.draft.value("optim.lr") == 0.002
        assert app.row("optim.lr") == "  lr                    0.002"
        assert app.query_one(LineInput).value == "1e"
        await pilot.press("minus", "3")
        await pilot.pause()
        assert app.draft.value("optim.lr") == 0.001
        await pilot.press("x", "escape")
        await pilot.pause()
        assert app.draft.value("optim.lr") == 0.002
        assert app.query_one(LineInput).value == "0.002"


async def test_a_conflict_is_told_while_the_value_is_taken(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.edit("rollout.batch_size")
        await pilot.press("1", "0", "0")
        await pilot.pause()
        assert app.draft.value("rollout.batch_size") == 100
        assert app.text_of("#field-problem") == (
            "! rollout.batch_size (100) must be a multiple of ppo.minibatches (8)."
        )


async def test_space_takes_the_next_choice_and_turns_a_switch(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        app.form.select("ppo.kl_estimator")
        await pilot.press("space")
        assert app.draft.value("ppo.kl_estimator") == "k2"
        await pilot.press("left", "left")
        assert app.draft.value("ppo.kl_estimator") == "k3"
        await pilot.press("right")
        assert app.draft.value("ppo.kl_estimator") == "k1"
        app.form.select("reward.whiten")
        await pilot.press("space")
        assert app.draft.value("reward.whiten") is True


async def test_space_on_a_number_begins_to_edit_it(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        app.form.select("steps")
        await pilot.press("space")
        await pilot.pause()
        assert app.query_one(LineInput).has_focus


@pytest.mark.parametrize("key", ["r", "delete"])
async def test_a_setting_is_put_back_to_the_presets_value(app, key):
    app.draft = app.draft.with_value("steps", 5)
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        app.form.select("steps")
        await pilot.press(key)
        await pilot.pause()
        assert app.draft.changes == {}
        assert app.row("steps") == "  steps                 36"
        assert app.query_one(LineInput).value == "36"


async def test_settings_are_found_by_name_and_by_explanation(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(SettingList).focus()
        await pilot.press("slash", *"gradient accum")
        await pilot.pause()
        assert app.keys == ["ppo.micro_batch_size"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.keys) > 60
        assert app.query_one(SettingList).has_focus


async def test_a_star_finds_what_was_changed(app):
    app.draft = app.draft.with_value("steps", 5).with_value("seed", 7)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("*")
        await pilot.pause()
        assert app.keys == ["steps", "seed"]
        await pilot.press("down")
        await pilot.pause()
        assert app.query_one(SettingList).has_focus


async def test_words_that_find_nothing_say_so(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"xyzzy")
        await pilot.pause()
        assert app.keys == []
        only = app.query_one(SettingList).options[0]
        assert str(only.prompt) == "No setting is called or explained so."
        assert not app.query_one(FieldEditor).display
        await pilot.press("escape")
        await pilot.pause()
        assert app.query_one(FieldEditor).display


async def test_selecting_a_setting_shows_it_whatever_was_looked_for(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"xyzzy")
        app.form.select("optim.lr")
        await pilot.pause()
        assert app.query_one(FindInput).value == ""
        assert app.form.highlighted is not None
        assert app.form.highlighted.key == "optim.lr"


async def test_a_models_name_is_taken_only_when_it_is_finished(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.edit("model.name")
        await pilot.press("x")
        await pilot.pause()
        assert app.draft.changes == {}
        await pilot.press("enter")
        await pilot.pause()
        assert app.draft.value("model.name") == "x"
        assert app.query_one(SettingList).has_focus


async def test_the_reward_is_edited_as_yaml_and_explained_term_by_term(app):
    async with app.run_test(size=(80, 30)) as pilot:
        app.form.edit("reward.terms")
        await pilot.pause()
        area = app.query_one(TermsArea)
        assert area.has_focus
        assert area.text == "- kind: sentiment\n"
        await pilot.press("down", *"- kind: repetition")
        await pilot.pause()
        assert app.draft.value("reward.terms")[1] == {"kind": "repetition"}
        assert app.row("reward.terms") == "* terms                 sentiment + repetition"
        assert "ngram: Length of the word n-grams" in app.text_of("#field-words Static")
        await pilot.press("x")
        await pilot.pause()
        assert app.text_of("#field-problem").startswith(
            "✗ 1.kind: unknown reward kind 'repetitionx'"
        )
        await pilot.press("escape")
        await pilot.pause()
        assert area.text == "- kind: sentiment\n- kind: repetition\n"


@pytest.mark.parametrize(
    ("row", "kind"), [(0, "length"), (1, "length"), (2, "regex"), (3, "regex"), (4, "")]
)
def test_the_kind_of_the_term_under_the_cursor_is_found(row, kind):
    lines = ["- target: 3", "  kind: length", '- kind: "regex"', "  pattern: a", "- "]
    assert kind_at(lines, row) == kind


def test_all_kinds_are_named_whichever_is_explained():
    assert terms_explained("nonsense") == (
        "Kinds: sentiment, length, regex, keywords, repetition, python, human, adapter. "
        "All have weight and name."
    )
    assert "tolerance: Distance from the target" in terms_explained("length")


@pytest.mark.parametrize(
    "text", ["[/bold] [red]", "\x1b]0;title\x07", "漢字🎉" * 20, "e\u0301\u202e", "x" * 100_000]
)
async def test_hostile_text_is_shown_literally(app, text):
    app.draft = app.draft.with_value("description", text).with_value("model.name", text)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "\x1b" not in app.row("description")
        assert len(app.row("description")) < 300
        assert "\x1b" not in app.query_one(LineInput).value
        app.form.edit("description")
        await pilot.press("escape")
        await pilot.pause()
        assert app.draft.value("description") == text


async def test_another_draft_changes_the_rows_that_differ(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.select("steps")
        other = draft_of(resolve("sentiment"), "sentiment")
        app.form.show(replace(other, changes={"seed": 3}))
        await pilot.pause()
        assert app.row("steps") == "  steps                 200"
        assert app.row("seed") == "* seed                  3"
        assert app.query_one(LineInput).value == "200"
