"""Code that a run names is shown and asked about before it is executed, wherever it is started."""

import hashlib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from trusting import confirmed

from ppo_tui.confirmations import read_store, store_path
from ppo_tui.runs.catalog import list_runs
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.code_question import CodeQuestion
from ppo_tui.screens.dialogs import ShowError
from ppo_tui.screens.new_run import NewRunScreen

from .conftest import MakeRun
from .goldens import screen_text
from .home import Home, settle


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A reward file that leaves a mark when it is executed."""
    path = tmp_path / "score.py"
    path.write_text(
        f"# \x1b[31mred\n__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()\n"
        + "# more\n" * 20
        + "def reward(prompts, responses): return [0.0] * len(prompts)\n"
    )
    return path


def terms(script: Path) -> list[str]:
    return [f"reward.terms=[{{kind: python, path: {script}}}]"]


def ran(script: Path) -> bool:
    return script.with_name("ran").exists()


async def settled(app: PpoTuiApp, pilot: Pilot[None]) -> None:
    for _ in range(3):  # what a thread finds may send another one
        await app.workers.wait_for_complete()
        await pilot.pause()


async def form(app: PpoTuiApp, pilot: Pilot[None], script: Path) -> NewRunScreen:
    """The form of a new run that names the reward file."""
    await pilot.pause()
    app.open_new_run()
    await pilot.pause()
    await settled(app, pilot)
    assert isinstance(app.screen, NewRunScreen)
    app.screen._change("reward.terms", [{"kind": "python", "path": str(script)}])
    return app.screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_question_shows_what_would_run_and_no_is_the_first_answer(
    script: Path, size: tuple[int, int]
) -> None:
    app = PpoTuiApp()
    async with app.run_test(size=size) as pilot:
        await form(app, pilot, script)
        await pilot.press("f5")
        await settled(app, pilot)
        assert isinstance(app.screen, CodeQuestion)
        text = screen_text(app)
        assert "Run this code?" in text
        assert hashlib.sha256(script.read_bytes()).hexdigest() in text
        assert r"│ # \x1b[31mred" in text
        assert "\x1b" not in text
        assert app.screen.query_one("#no").has_focus
        assert "… and 11 more" not in text
        await pilot.press(*["down"] * 12)
        assert "… and 11 more" in screen_text(app)


async def test_no_runs_nothing_and_remembers_nothing(script: Path) -> None:
    app = PpoTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await form(app, pilot, script)
        for answer in ("enter", "n", "escape"):
            await pilot.press("f5")
            await settled(app, pilot)
            assert isinstance(app.screen, CodeQuestion)
            await pilot.press(answer)
            await settled(app, pilot)
            assert app.screen is screen
            assert screen.busy == ""
        assert list_runs() == []
        assert not store_path().exists()
        assert not ran(script)


async def test_yes_is_remembered_starts_the_run_and_is_not_asked_again(
    script: Path, launched: None, make_run: MakeRun
) -> None:
    app = Home()
    run = make_run("night", 12, Phase.STOPPED, settings=terms(script))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert isinstance(app.screen, CodeQuestion)
        assert not run.launch_path.exists()
        await pilot.press("y")
        await settled(app, pilot)
        assert run.launch_path.exists()
        (entry,) = read_store().entries
        assert entry.sha256 == hashlib.sha256(script.read_bytes()).hexdigest()

        another = make_run("another", 12, Phase.STOPPED, settings=terms(script))
        app.home.resume(another)
        await settled(app, pilot)
        assert not isinstance(app.screen, CodeQuestion)
        assert another.launch_path.exists()


async def test_a_new_run_is_made_after_a_yes(script: Path, launched: None, home: Path) -> None:
    from ppo_tui.config.resolve import resolve

    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.home.start_run(resolve("demo", terms(script)), "demo", "starting …")
        await settled(app, pilot)
        assert isinstance(app.screen, CodeQuestion)
        assert list_runs() == []
        await pilot.press("y")
        await settled(app, pilot)
        ((kind, name),) = app.went
        assert kind == "run"
        assert RunDirectory.open(home / "runs" / name).launch_path.exists()


async def test_what_changes_while_it_is_asked_is_asked_anew(
    script: Path, launched: None, make_run: MakeRun
) -> None:
    run = make_run("night", 12, Phase.STOPPED, settings=terms(script))
    seen = hashlib.sha256(script.read_bytes()).hexdigest()
    app = Home()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        script.write_text("def reward(prompts, responses): return 1 / 0\n")
        await pilot.press("y")
        await settled(app, pilot)
        assert isinstance(app.screen, CodeQuestion)
        assert hashlib.sha256(script.read_bytes()).hexdigest() in screen_text(app)
        assert [entry.sha256 for entry in read_store().entries] == [seen]
        assert not run.launch_path.exists()


async def test_code_of_a_model_is_asked_about_by_its_name(
    launched: None, make_run: MakeRun
) -> None:
    settings = ["model.name=org/model", "model.revision=v1", "model.trust_remote_code=true"]
    make_run("night", 12, Phase.STOPPED, settings=settings)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert isinstance(app.screen, CodeQuestion)
        text = screen_text(app)
        assert "Python code that comes with the model org/model, revision v1" in text


async def test_opening_and_copying_somebodys_run_asks_and_executes_nothing(
    script: Path, make_run: MakeRun
) -> None:
    make_run("theirs", 12, Phase.STOPPED, settings=terms(script))
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("c")
        await settle(pilot)
        assert [went[0] for went in app.went] == ["new"]
        await pilot.press("enter")
        await settle(pilot)
        assert [went[0] for went in app.went] == ["new", "run"]
        assert not isinstance(app.screen, CodeQuestion)
        assert not ran(script)
        assert not store_path().exists()


async def test_a_reward_file_that_is_gone_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("night", 12, Phase.STOPPED, settings=terms(tmp_path / "gone.py"))
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert isinstance(app.screen, ShowError)
        assert "The reward file " in screen_text(app)
        assert app.screen._error.code == "reward.file_missing"


async def test_confirmed_code_is_not_asked_about(
    script: Path, launched: None, make_run: MakeRun
) -> None:
    confirmed(script)
    run = make_run("night", 12, Phase.STOPPED, settings=terms(script))
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert not isinstance(app.screen, CodeQuestion)
        assert run.launch_path.exists()
