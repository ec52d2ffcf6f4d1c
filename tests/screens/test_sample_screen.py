"""One sample, opened: its text and the same prompt over time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.records import Sample, TokenRecord
from ppo_tui.runs.samples import SampleBook
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.sample import SampleScreen
from ppo_tui.screens.widgets.sample_list import SampleList
from ppo_tui.screens.widgets.token_text import TokenText

from .conftest import LONG_AGO, MakeRun
from .goldens import check_golden, screen_text

PROMPT = "The soup was"


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")
    begin_with: SampleScreen

    def open_home(self) -> None:
        self.push_screen(self.begin_with)


def host(run: RunDirectory, sample: Sample) -> Host:
    app = Host()
    app.begin_with = SampleScreen(run, sample)
    return app


@pytest.fixture
def run(make_run: MakeRun) -> RunDirectory:
    made = make_run("first-run", steps=5)
    words = (" wonderful", ",", " and", " I", " would", " go", " again", ".", "</s>")
    tokens = tuple(
        TokenRecord(word, -0.1 * index, -0.1 * index - (2 - index / 4), 0.1 * index, 1 - index / 4)
        for index, word in enumerate(words)
    )
    with JournalWriter(made.samples_path) as book:
        best = Sample(
            id="6-0", step=6, prompt=PROMPT, response="".join(words[:-1]), score=0.95,
            terms={"sentiment": 0.9, "length": 0.05}, kl=4.2, length=9, finished=True,
            tokens=tokens, time=LONG_AGO,
        )  # fmt: skip
        book.append(best.to_json())
    return made


def newest(run: RunDirectory) -> Sample:
    return SampleBook(run.samples_path).of_step(6)[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_sample_beside_its_prompt_over_time(run: RunDirectory, size: tuple[int, int]):
    app = host(run, newest(run))
    async with app.run_test(size=size) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()

        check_golden(app, "sample")


async def test_the_same_prompt_is_found_at_every_step(run: RunDirectory):
    app = host(run, newest(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        listed = app.screen.query_one(SampleList)

        assert [one.step for one in listed.samples] == [6, 5, 4, 3, 2, 1]
        assert {one.prompt for one in listed.samples} == {PROMPT}
        assert listed.highlighted == newest(run)


async def test_keys_go_to_earlier_and_later_samples_of_the_prompt(run: RunDirectory):
    app = host(run, newest(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        seen = []
        for key in ("full_stop", "comma", "comma", "full_stop", *["comma"] * 9):
            await pilot.press(key)
            screen = app.screen
            assert isinstance(screen, SampleScreen)
            seen.append(screen.sample.step)
        await pilot.pause()

        assert seen == [6, 5, 4, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1]
        assert screen_text(app).startswith(" Sample 1-0 of first-run · The soup was")


async def test_one_of_the_list_is_opened_by_enter(run: RunDirectory):
    app = host(run, newest(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("tab", "down", "down", "enter")
        await pilot.pause()

        assert screen_text(app).startswith(" Sample 4-0 of")
        assert isinstance(app.focused, TokenText)


async def test_tokens_are_read_with_the_arrow_keys(run: RunDirectory):
    app = host(run, newest(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("right", "right")
        await pilot.pause()

        assert "token 3 of 9: “ and”" in screen_text(app)


async def test_a_journal_that_is_gone_leaves_the_opened_sample(run: RunDirectory):
    sample = newest(run)
    run.samples_path.unlink()
    app = host(run, sample)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()

        assert "This prompt over time · 1 ·" in screen_text(app)
        assert " wonderful, and I would go again." in screen_text(app)


async def test_a_journal_that_cannot_be_read_is_told_in_words(run: RunDirectory):
    sample = newest(run)
    run.samples_path.unlink()
    run.samples_path.mkdir()
    app = host(run, sample)
    async with app.run_test(size=(200, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()

        assert "cannot be read:" in screen_text(app)


async def test_a_sample_that_the_search_did_not_come_by_is_in_the_list_all_the_same(
    run: RunDirectory,
):
    lost = Sample(
        id="3-99", step=3, prompt=PROMPT, response=" elsewhere", score=0.0, terms={}, kl=0.0,
        length=1, finished=True, time=LONG_AGO,
    )  # fmt: skip
    app = host(run, lost)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        listed = app.screen.query_one(SampleList)

        assert [one.step for one in listed.samples] == [6, 5, 4, 3, 3, 2, 1]
        assert listed.highlighted is not None
        assert listed.highlighted.id == "3-99"


async def test_escape_goes_back(run: RunDirectory):
    app = host(run, newest(run))
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(SampleScreen(run, newest(run)))
        await pilot.pause()
        before = len(app.screen_stack)
        await pilot.press("escape")
        await pilot.pause()

        assert len(app.screen_stack) == before - 1
