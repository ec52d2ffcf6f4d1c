"""What reaches a person who looks elsewhere: the words, and how often they are sent."""

import pytest
from textual.app import App
from textual.widgets._toast import Toast

from ppo_tui.config.settings import AppSettings
from ppo_tui.runs.diagnosis import Finding
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo
from ppo_tui.screens.notify import News, Notifier, news_of, title_of

HOSTILE = "\x1b]2;gone\x07\x1b[31m[bold]x[/\u202e\u200d\n\x9b2J"


def finding(step: int, level: str, cause: str) -> Finding:
    return Finding("diagnosis.test", level, "Test", cause, "", None, step)


@pytest.mark.parametrize(
    ("phase", "step", "total", "reward", "title"),
    [
        (None, 0, 0, None, "ppo-tui"),
        (Phase.CREATED, 0, 50, None, "not started · warm · ppo-tui"),
        (Phase.LOADING, 0, 50, None, "loading · warm · ppo-tui"),
        (Phase.ROLLOUT, 0, 50, None, "training · warm · ppo-tui"),
        (Phase.ROLLOUT, 21, 50, 0.6123, "42 % training · reward 0.612 · warm · ppo-tui"),
        (Phase.SCORING, 21, 50, 0.6123, "42 % training · reward 0.612 · warm · ppo-tui"),
        (Phase.UPDATE, 21, 50, 0.6123, "42 % training · reward 0.612 · warm · ppo-tui"),
        (Phase.SAVING, 21, 50, 0.6123, "42 % training · reward 0.612 · warm · ppo-tui"),
        (Phase.EVALUATING, 50, 50, 1.0, "evaluating 100 % · reward 1.00 · warm · ppo-tui"),
        (Phase.PAUSED, 21, 50, -0.5, "paused 42 % · reward -0.500 · warm · ppo-tui"),
        (Phase.AWAITING_RATINGS, 5, 50, None, "waits for your ratings 10 % · warm · ppo-tui"),
        (Phase.FINISHED, 50, 50, 0.9, "✓ finished · reward 0.900 · warm · ppo-tui"),
        (Phase.STOPPED, 5, 50, None, "■ stopped 10 % · warm · ppo-tui"),
        (Phase.FAILED, 5, 50, None, "✗ failed 10 % · warm · ppo-tui"),
        (Phase.CRASHED, 5, 0, None, "✗ crashed · warm · ppo-tui"),
    ],
)
def test_the_title_tells_state_percentage_and_reward(
    phase: Phase | None, step: int, total: int, reward: float | None, title: str
) -> None:
    assert title_of(phase, step, total, reward, "warm") == title


@pytest.mark.parametrize("phase", list(Phase))
def test_a_title_holds_no_control_character(phase: Phase) -> None:
    title = title_of(phase, 1, 2, float("nan"), HOSTILE)
    assert title.isprintable()
    assert "\\x1b]2;gone" in title


def test_a_long_name_is_cut() -> None:
    assert len(title_of(Phase.ROLLOUT, 1, 2, 0.5, "n" * 1000)) < 90


@pytest.mark.parametrize("phase", list(Phase))
def test_at_the_first_look_nothing_is_news(phase: Phase) -> None:
    assert news_of("warm", None, phase) == ()


@pytest.mark.parametrize("phase", list(Phase))
def test_a_phase_that_stays_is_no_news(phase: Phase) -> None:
    assert news_of("warm", phase, phase) == ()


def test_only_ends_and_questions_are_news() -> None:
    told = {phase for phase in Phase if news_of("warm", Phase.ROLLOUT, phase)}
    assert told == {
        Phase.FINISHED,
        Phase.STOPPED,
        Phase.FAILED,
        Phase.CRASHED,
        Phase.AWAITING_RATINGS,
    }


def test_a_failure_says_why() -> None:
    error = ErrorInfo("memory", "The GPU's memory is too small for the smallest step.")
    assert news_of("warm", Phase.UPDATE, Phase.FAILED, error=error) == (
        News(
            "✗ Failed",
            "warm has failed: The GPU's memory is too small for the smallest step.",
            "error",
        ),
    )


def test_a_health_error_is_news_and_a_warning_is_not() -> None:
    findings = [
        finding(3, "warning", "All responses scored 0."),
        finding(4, "error", "The ratio is 0.4 away from 1."),
    ]
    assert news_of("warm", Phase.UPDATE, Phase.ROLLOUT, findings) == (
        News("▲ Health", "warm: The ratio is 0.4 away from 1.", "error"),
    )


class Listener(App[None]):
    """Counts what would reach the terminal."""

    def __init__(self, settings: AppSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or AppSettings(bell=True, title=True)
        self.rung = 0
        self.sent: list[str] = []
        self.notifier = Notifier(self, self.sent.append)

    def bell(self) -> None:
        self.rung += 1


async def test_a_toast_shows_foreign_text_as_it_is() -> None:
    app = Listener()
    async with app.run_test(notifications=True) as pilot:
        app.notifier.tell("[red]x[/", Phase.UPDATE, Phase.FAILED, (), ErrorInfo("e", HOSTILE))
        await pilot.pause()
        text = app.screen.query_one(Toast).render().plain
    assert text.startswith("✗ Failed\n[red]x[/ has failed: \\x1b]2;gone\\x07\\x1b[31m[bold]x[/")
    assert "\x1b" not in text


async def test_the_bell_rings_once_for_all_that_happened() -> None:
    app = Listener()
    async with app.run_test():
        worse = [finding(1, "error", "KL runs away."), finding(1, "error", "No EOS.")]
        assert len(app.notifier.tell("warm", Phase.UPDATE, Phase.FAILED, worse)) == 3
    assert app.rung == 1


async def test_without_news_the_bell_is_silent() -> None:
    app = Listener()
    async with app.run_test():
        app.notifier.tell("warm", Phase.ROLLOUT, Phase.UPDATE)
    assert app.rung == 0


async def test_the_bell_can_be_turned_off() -> None:
    app = Listener(AppSettings(bell=False))
    async with app.run_test():
        assert app.notifier.tell("warm", Phase.ROLLOUT, Phase.FINISHED)
    assert app.rung == 0


def test_the_first_title_keeps_the_terminals_own() -> None:
    app = Listener()
    app.notifier.retitle(Phase.PAUSED, 1, 2, None, "warm")
    assert app.sent == ["\x1b[22;2t\x1b]2;paused 50 % · warm · ppo-tui\x07"]


def test_ten_thousand_steps_write_the_title_once_a_percent() -> None:
    app = Listener()
    for step in range(1, 10_001):
        app.notifier.retitle(Phase.UPDATE, step, 10_000, step / 7, "warm")
        app.notifier.retitle(Phase.ROLLOUT, step, 10_000, step / 7, "warm")
    assert len(app.sent) == 101


def test_at_the_end_the_terminal_gets_its_title_back_once() -> None:
    app = Listener()
    app.notifier.retitle(Phase.PAUSED, 1, 2, None, "warm")
    app.notifier.close()
    app.notifier.close()
    assert app.sent[1:] == ["\x1b]2;\x07\x1b[23;2t"]


def test_a_title_that_was_never_set_is_not_restored() -> None:
    app = Listener()
    app.notifier.close()
    assert app.sent == []


def test_titles_turned_off_give_the_old_one_back() -> None:
    app = Listener()
    app.notifier.retitle(Phase.PAUSED, 1, 2, None, "warm")
    app.settings = AppSettings(title=False)
    app.notifier.retitle(Phase.PAUSED, 2, 2, None, "warm")
    assert app.sent[1:] == ["\x1b]2;\x07\x1b[23;2t"]


def test_a_hostile_name_cannot_end_the_sequence() -> None:
    app = Listener()
    app.notifier.retitle(Phase.ROLLOUT, 1, 2, 0.5, HOSTILE)
    (sent,) = app.sent
    inside = sent.removeprefix("\x1b[22;2t\x1b]2;").removesuffix("\x07")
    assert inside.isprintable()


async def test_an_app_without_a_terminal_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    app = Listener()
    async with app.run_test():
        notifier = Notifier(app)
        notifier.retitle(Phase.PAUSED, 1, 2, None, "warm")
        notifier.close()
    assert "\x1b]2;" not in capfd.readouterr().out
