"""The playground: prompts out, answers in, and a process that ends with the screen."""

import sys
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input, OptionList

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.conversation import Ask, Done, Failure, Ready, Status
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.process import identify
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.dialogs import Choose, ShowError
from ppo_tui.screens.model_process import ModelProcess
from ppo_tui.screens.playground import MOST_EXCHANGES, PlaygroundScreen
from ppo_tui.screens.widgets.exchange import Exchange
from ppo_tui.screens.widgets.prompt_input import PromptInput
from ppo_tui.screens.widgets.sampling_fields import SamplingFields
from ppo_tui.text.diff import word_diff

from .goldens import check_golden, screen_text

STAND_IN = Path(__file__).with_name("model_stand_in.py")
LOOKS = 12_000


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, run: RunDirectory, mode: str = "ready") -> None:
        super().__init__()
        self.command = [sys.executable, str(STAND_IN), mode]
        self.playground = PlaygroundScreen(run, lambda _: self.command)

    def open_home(self) -> None:
        self.push_screen(self.playground)


@pytest.fixture
def run(make_run):
    return make_run("talker", steps=1)


async def until(pilot, condition):
    """Wait until something is so; what it is then."""
    for _ in range(LOOKS):
        if answer := condition():
            await pilot.pause()
            return answer
        await pilot.pause(0.01)
    raise AssertionError(f"waited in vain; on the screen is\n{screen_text(pilot.app)}")


async def until_shown(pilot, words):
    await until(pilot, lambda: words in screen_text(pilot.app))


async def ask(pilot, prompt, *, seed="7"):
    """Ask, and wait until that is answered."""
    screen = pilot.app.playground
    screen.query_one("#seed", Input).value = seed
    screen.query_one(PromptInput).put(prompt)
    screen.query_one(PromptInput).focus()
    await pilot.press("enter")
    await until(pilot, lambda: list(screen.query(Exchange)) and newest(pilot).over)
    # The words that differ are marked in a thread.
    while any(worker.group == "marking" for worker in pilot.app.workers if worker.is_running):
        await pilot.pause(0.01)
    await pilot.pause()


def newest(pilot):
    return list(pilot.app.playground.query(Exchange))[-1]


def notes(app):
    return [note.message for note in app._notifications]


def status(app):
    return screen_text(app).splitlines()[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_both_answers_stand_beside_each_other(run, size):
    app = Host(run)
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "tuned: step 30")
        check_golden(app, "playground-ready")
        await ask(pilot, "The film was")
        check_golden(app, "playground")


async def test_words_that_differ_are_underlined(run):
    app = Host(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await ask(pilot, "The film was")
        text = newest(pilot).query_one("#text-tuned").render()
        marked = [text.plain[s.start : s.end] for s in text.spans if "underline" in str(s.style)]
        assert marked == ["wonderful."]


async def test_while_it_loads_it_says_so_in_words_and_takes_questions(run):
    app = Host(run, "loading")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Loading a copy of bundled onto cpu")
        check_golden(app, "playground-loading")
        await ask(pilot, "The film was")
        assert "wonderful" in screen_text(app)


async def test_a_question_before_the_process_has_started_is_answered_too(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, "The film was")
        assert "wonderful" in screen_text(app)


async def test_without_a_checkpoint_it_says_why_and_what_to_do(run):
    app = Host(run, "fatal")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "✗ run has no checkpoint yet")
        check_golden(app, "playground-broken")
        app.playground.query_one(PromptInput).value = "hello"
        await pilot.press("enter")
        assert notes(app) == ["There is no model to answer; F5 loads it again."]


async def test_a_process_that_dies_leaves_its_last_words_and_f5_starts_another(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await ask(pilot, "The film was")
        await ask(pilot, "die")
        await until_shown(pilot, "The process with the model is gone: it ended with exit code 3.")
        assert "what it said last" in screen_text(app)
        assert "It was not answered." in screen_text(app)
        await pilot.press("f5")
        await until_shown(pilot, "tuned: step 30")
        await ask(pilot, "The room was")
        assert len(app.playground.query(Exchange)) == 3


async def test_a_question_that_cannot_be_answered_says_why(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(pilot, "refuse")
        assert "✗ The prompt is too long. Shorten it." in screen_text(app)


async def test_f8_stops_the_answers(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await pilot.press("f8")
        assert notes(app) == ["Nothing is being written."]
        app.playground.query_one(PromptInput).value = "slow"
        await pilot.press("enter")
        await until_shown(pilot, "wonderful")
        assert "writing" in screen_text(app)
        await pilot.press("f8")
        await until(pilot, lambda: newest(pilot).over)
        assert "stopped" in screen_text(app)


async def test_f3_lets_one_of_them_answer_alone(run):
    app = Host(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "asks base and tuned")
        await pilot.press("f3")
        await until_shown(pilot, "asks base alone")
        await pilot.press("f3")
        await until_shown(pilot, "asks tuned alone")
        await ask(pilot, "The film was")
        assert "wonderful" in screen_text(app)
        assert "dull" not in screen_text(app)
        await pilot.press("f3")
        await until_shown(pilot, "asks base and tuned")


async def test_temperature_length_and_seed_go_with_the_question(run):
    app = Host(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        app.playground.query_one("#temperature", Input).value = "0.3"
        app.playground.query_one("#tokens", Input).value = "9"
        await ask(pilot, "settings", seed="5")
        assert newest(pilot).answers["base"] == "0.3 9 5"


async def test_a_wrong_setting_is_refused_in_words(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        app.playground.query_one("#temperature", Input).value = "0"
        app.playground.query_one(PromptInput).value = "x"
        await pilot.press("enter")
        assert notes(app) == [
            "The temperature is 0; it must be a number above 0, up to 1000, such as 0.7."
        ]
        assert not app.playground.query(Exchange)


async def test_f4_keeps_the_last_seed_and_lets_it_go(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await ask(pilot, "settings", seed="")
        drawn = newest(pilot).seed
        await pilot.press("f4")
        assert app.playground.query_one(SamplingFields).seed == drawn
        await pilot.press("f4")
        assert app.playground.query_one(SamplingFields).seed is None


async def test_f2_offers_the_runs_own_prompts(make_run, home):
    prompts = home / "prompts.txt"
    prompts.write_text("The first\nThe [second]\n")
    app = Host(make_run("own", steps=1, settings=[f"data.prompts={prompts}"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        assert app.screen.query_one(OptionList).option_count == 2
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.screen is app.playground)
        assert app.playground.query_one(PromptInput).value == "The [second]"
        assert app.focused is app.playground.query_one(PromptInput)


async def test_prompts_that_cannot_be_read_are_an_error_in_words(make_run, home):
    app = Host(make_run("own", steps=1, settings=[f"data.prompts={home / 'gone.txt'}"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, ShowError))
        await until_shown(pilot, "does not exist")


async def test_f6_copies_an_answer(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await pilot.press("f6")
        assert notes(app) == ["There is no answer yet."]
        await ask(pilot, "The film was")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press("enter")
        assert app.clipboard == "rather wonderful."
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press("down", "enter")
        assert app.clipboard == "The film was\n\nbase: rather dull.\n\ntuned: rather wonderful."


async def test_hostile_answers_are_shown_literally(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        await ask(pilot, "hostile")
        assert r"[red]x[/] [/ \x1b[31m" in screen_text(app)
        await ask(pilot, "long")
        await until_shown(pilot, "characters)")


async def test_old_questions_are_forgotten(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        for number in range(MOST_EXCHANGES + 2):
            await app.playground._add(Ask(f"q{number}", f"prompt {number}"))
        asked = [exchange.ask.prompt for exchange in app.playground.query(Exchange)]
        assert len(asked) == MOST_EXCHANGES
        assert asked[0] == "prompt 2"


async def test_the_process_ends_with_the_screen(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(second := PlaygroundScreen(run, lambda _: app.command))
        await until(pilot, lambda: second._ready)
        process = identify(second._process.pid)
        assert process.is_running()
        await pilot.press("escape")
        await until(pilot, lambda: not process.is_running())
        assert app.screen is app.playground


async def test_the_process_ends_with_the_app(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "tuned: step 30")
        process = identify(app.playground._process.pid)
    assert not process.is_running()


async def test_a_program_that_is_not_there_is_a_failure_in_words():
    heard = []
    await ModelProcess(["/no/such/python"], heard.append).run()
    assert [reply.code for reply in heard] == ["playground.start"]
    assert heard[0].message.endswith("cannot be started: No such file or directory.")


async def test_a_reply_of_a_newer_version_is_passed_over():
    heard = []
    code = 'print(\'{"kind":"mood"}\'); print(\'{"kind":"status","message":"x"}\')'
    await ModelProcess([sys.executable, "-c", code], heard.append).run()
    assert heard[0] == Status("x")
    assert isinstance(heard[1], Failure)
    assert heard[1].message == "The process with the model is gone: it ended with exit code 0."


class Widgets(App[None]):
    """The screen's widgets alone."""

    def compose(self) -> ComposeResult:
        yield PromptInput(id="prompt")
        yield SamplingFields()
        yield Exchange(Ask("1", "two\nlines"), {"base": "base", "tuned": "tuned"})


async def test_the_prompt_keeps_line_ends_and_remembers():
    app = Widgets()
    async with app.run_test(size=(80, 24)) as pilot:
        line = app.query_one(PromptInput)
        line.focus()
        line.post_message(events.Paste("one\ntwo\x1b"))
        await pilot.pause()
        assert line.value == "one⏎two\\x1b"
        assert line.prompt == "one\ntwo\\x1b"
        line.put("odd\x1b\nprompt")
        assert line.prompt == "odd\x1b\nprompt"
        line.remember(line.prompt)
        line.remember("second")
        assert line.value == ""
        await pilot.press("up")
        assert line.prompt == "second"
        await pilot.press("up", "up")
        assert line.prompt == "odd\x1b\nprompt"
        await pilot.press("down", "down")
        assert line.value == ""


async def test_the_fields_say_what_an_empty_one_means():
    app = Widgets()
    async with app.run_test(size=(80, 24)):
        fields = app.query_one(SamplingFields)
        fields.show_defaults(Ready("bundled", "cpu", 1, 0.7, 32))
        assert app.query_one("#temperature", Input).placeholder == "0.7"
        assert (fields.temperature, fields.tokens, fields.seed) == (None, None, None)
        for name, value, part in (
            ("temperature", "warm", "temperature is warm"),
            ("temperature", "nan", "temperature is nan"),
            ("tokens", "0", "tokens holds 0"),
            ("seed", "-1", "seed holds -1"),
            ("seed", "²", "seed holds ²"),
            ("seed", "9" * 5000, f"seed holds {'9' * 19}…; it must be a whole number from 0 to"),
        ):
            app.query_one(f"#{name}", Input).value = value
            assert part in fields.problem()
            app.query_one(f"#{name}", Input).value = ""
        assert fields.problem() == ""


async def test_an_exchange_says_how_each_answer_ended():
    app = Widgets()
    async with app.run_test(size=(160, 24)) as pilot:
        exchange = app.query_one(Exchange)
        exchange.add("base", "some")
        exchange.paint()
        exchange.end(Done("1", "tuned", "all of it", 1, False, False, 3))
        await pilot.pause()
        shown = screen_text(app)
        assert "base, writing" in shown
        assert "tuned, 1 token, cut at its longest, seed 3" in shown
        assert not exchange.over
        exchange.end(Done("1", "base", "some more", 2, True, False, 3))
        base, tuned = word_diff(*exchange.answers.values())
        exchange.mark({"base": base, "tuned": tuned})
        await pilot.pause()
        assert exchange.over
        assert "base, 2 tokens, seed 3" in screen_text(app)
        assert "some more" in screen_text(app)


@pytest.mark.slow
async def test_a_real_model_answers(home, model_folder, small_config):
    from playground.tuned import save_tuned

    config = small_config(rollout={"response_tokens": 12})
    run = RunDirectory.create(home / "runs" / "real", config_to_yaml(config), total=4)
    save_tuned(run, config, [3])
    app = Host(run)
    app.playground = PlaygroundScreen(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.playground._ready or app.playground._broken)
        assert app.playground._ready == Ready(config.model.name, "cpu", 3, 1.0, 12)
        await ask(pilot, "the cat sat")
        answers = newest(pilot).answers
        assert answers["base"] != answers["tuned"]
