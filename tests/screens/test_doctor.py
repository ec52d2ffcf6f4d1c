"""The doctor's screen: findings as they come, in words, and what can be done with them."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from ppo_tui.prepare.checkup import Finding, Level, findings, verdict
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.dialogs import ShowError
from ppo_tui.screens.doctor import DoctorScreen, as_text

from .goldens import check_golden, screen_text

SEEN = (
    Finding("python", Level.OK, "3.11.7, Linux"),
    Finding("bitsandbytes", Level.PROBLEM, "not installed", "`pip install bitsandbytes` adds it."),
    Finding("GPU 0", Level.OK, "[red]Card[/ \\x1b[31m, 23.99 GiB, 20.00 GiB free, bfloat16"),
    Finding(
        "disk",
        Level.WARNING,
        "3.10 GiB free for runs in /home/a/folder/with/a/rather/long/name/that/goes/on/and/on/runs",
        "Checkpoints take space; $PPO_TUI_HOME moves runs to another disk.",
    ),
)


def seen(terminal: Finding, cancelled: Callable[[], bool]) -> Iterator[Finding]:
    yield from (*SEEN, terminal)


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")
    look = staticmethod(seen)

    def open_home(self) -> None:
        self.push_screen(DoctorScreen(self.look))


async def settled(app: PpoTuiApp) -> None:
    await app.workers.wait_for_complete()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_findings_are_told_in_words(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.__stdout__", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    app = Host()
    async with app.run_test(size=size) as pilot:
        await settled(app)
        await pilot.pause()
        check_golden(app, "doctor")


async def test_findings_are_there_before_the_last_one_is() -> None:
    go_on = threading.Event()

    def slow(terminal: Finding, cancelled: Callable[[], bool]) -> Iterator[Finding]:
        yield SEEN[0]
        go_on.wait()
        yield SEEN[1]

    app = Host()
    app.look = slow  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        while "python" not in screen_text(app):
            await pilot.pause()
        first = screen_text(app)
        go_on.set()
        await settled(app)
        await pilot.pause()
        last = screen_text(app)
    assert "Doctor: looking…" in first
    assert "Looking; torch takes a few seconds…" in first
    assert "bitsandbytes" not in first
    assert "Doctor: There is a problem." in last
    assert "Looking" not in last


async def test_looking_again_starts_anew_and_stops_the_look_before() -> None:
    looks: list[Callable[[], bool]] = []
    held = threading.Event()

    def look(terminal: Finding, cancelled: Callable[[], bool]) -> Iterator[Finding]:
        looks.append(cancelled)
        if len(looks) == 1:
            while not cancelled():
                held.wait(0.01)
        yield SEEN[len(looks) - 1]

    app = Host()
    app.look = look  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        while not looks:
            await pilot.pause()
        await pilot.press("r")
        await settled(app)
        await pilot.pause()
        text = screen_text(app)
    assert looks[0]()
    assert "bitsandbytes" in text
    assert "python" not in text


async def test_a_look_that_breaks_off_says_so() -> None:
    def broken(terminal: Finding, cancelled: Callable[[], bool]) -> Iterator[Finding]:
        yield SEEN[0]
        raise OSError("no more file descriptors")

    app = Host()
    app.look = broken  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        await settled(app)
        await pilot.pause()
        text = screen_text(app)
    assert "The look broke off: no more file descriptors" in text
    assert "python" in text


async def test_a_fault_in_the_look_itself_is_told_and_not_a_traceback() -> None:
    def faulty(terminal: Finding, cancelled: Callable[[], bool]) -> Iterator[Finding]:
        yield SEEN[0]
        raise KeyError("cuda")

    app = Host()
    app.look = faulty  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        while "broke off" not in screen_text(app):
            await pilot.pause()
        assert "The look broke off: KeyError: 'cuda'" in screen_text(app)


async def test_c_copies_all_findings_as_text() -> None:
    app = Host()
    async with app.run_test(notifications=True) as pilot:
        await settled(app)
        await pilot.press("c")
        await pilot.pause()
        assert app.screen.query_one(Toast).render().plain.startswith("Copied")
        lines = app.clipboard.splitlines()
    assert lines[0] == "ok       python        3.11.7, Linux"
    assert lines[1] == "problem  bitsandbytes  not installed"
    assert lines[2] == "                       `pip install bitsandbytes` adds it."
    assert lines[-1] == "There is a problem."


async def test_w_writes_them_to_a_file(home: Path) -> None:
    app = Host()
    async with app.run_test() as pilot:
        await settled(app)
        await pilot.press("w")
        await pilot.pause()
        text = app.screen._text()  # type: ignore[attr-defined]
    assert (home / "doctor.txt").read_text() == text


async def test_a_file_that_cannot_be_written_is_an_error_in_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = home / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("PPO_TUI_HOME", str(blocked / "inside"))
    app = Host()
    async with app.run_test() as pilot:
        await settled(app)
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(app.screen, ShowError)
        assert "could not be written" in screen_text(app)


def test_text_of_others_is_harmless_in_a_copy() -> None:
    text = as_text([Finding("GPU 0", Level.OK, "evil \x1b[2J card")], "This machine can train.")
    assert text == "ok       GPU 0  evil \\x1b[2J card\n\nThis machine can train.\n"


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ("ok", "This machine can train."),
        ("ok warning", "This machine can train; one thing is worth a look."),
        ("warning warning", "This machine can train; 2 things are worth a look."),
        ("ok problem warning", "There is a problem."),
        ("problem problem", "There are 2 problems."),
    ],
)
def test_the_verdict_counts_what_is_wrong(levels: str, words: str) -> None:
    assert verdict([Finding("x", Level(level), "") for level in levels.split()]) == words


def test_a_look_that_is_not_wanted_any_more_ends_the_process_that_asks_torch() -> None:
    found = list(findings(cancelled=lambda: True))
    assert [finding.subject for finding in found][:2] == ["python", "ppo-tui"]
    assert {"memory", "CPU", "torch works"}.isdisjoint(finding.subject for finding in found)


@pytest.mark.slow
async def test_this_machine_is_looked_at_for_real() -> None:
    class Real(Host):
        def open_home(self) -> None:
            self.push_screen(DoctorScreen())

    app = Real()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app)
        await pilot.pause()
        text = screen_text(app)
    assert "✓ ok        torch " in text
    assert "120 x 40" in text
    assert "looking" not in text
