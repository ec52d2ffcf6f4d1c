"""What a newer ppo-tui wrote is refused in one sentence, everywhere, and hides nothing else."""

import json

import pytest

from ppo_tui.cli.entry import run as command
from ppo_tui.config.settings import load_settings, settings_path
from ppo_tui.errors import ConfigError, PpoTuiError
from ppo_tui.runs.checkpoints import good_checkpoints
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.taste.artefact import RECORD, load_artefact
from screens.goldens import screen_text


def said(capsys, *arguments):
    capsys.readouterr()
    code = command(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("runs", "show", "newer"), 1),
        (("watch", "newer", "--plain"), 1),
        (("resume", "newer"), 1),
        (("pause", "newer"), 1),
        (("continue", "newer"), 1),
        (("checkpoint", "newer"), 1),
        (("stop", "newer"), 1),
        (("export", "newer", "--to", "out"), 1),
        (("rate", "newer"), 3),
        (("chat", "newer", "--prompt", "p"), 3),
        (("ratings", "import", "first", "newer"), 1),
        (("reward", "fit", "newer", "--to", "out"), 1),
        (("train", "{run}/config.yaml"), 3),
        (("plan", "{run}/config.yaml"), 3),
        (("config", "validate", "{run}/config.yaml"), 3),
        (("presets", "validate", "{run}/config.yaml"), 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_every_command_refuses_it(first, newer, tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    arguments = [each.replace("{run}", str(newer.path)) for each in arguments]
    before = sorted(path for path in tmp_path.rglob("*"))
    got, out, err = said(capsys, *arguments)
    assert got == code
    errors = [line for line in (out + err).splitlines() if line.startswith("error: ")]
    if arguments[0] == "presets":
        assert "newer ppo-tui" in out + err
    else:
        assert len(errors) == 1
        assert "newer ppo-tui" in errors[0]
    assert "Traceback" not in out + err
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_the_list_still_shows_the_others(first, newer, capsys):
    code, out, _ = said(capsys, "runs", "list", "--json")
    assert code == 0
    listed = {run["name"]: run for run in json.loads(out)["runs"]}
    assert listed["first"]["state"] == "stopped"
    assert "newer ppo-tui" in listed["newer"]["problem"]


def test_a_comparison_says_so_in_its_column(first, newer, capsys):
    code, out, _ = said(capsys, "runs", "compare", "first", "newer", "--json")
    assert code == 0
    assert "newer ppo-tui" in out


def test_a_checkpoint_alone_is_refused(newer):
    with pytest.raises(PpoTuiError, match="newer ppo-tui") as caught:
        next(good_checkpoints(newer))
    assert caught.value.code == "checkpoint.newer_schema"


def test_a_run_can_be_deleted_that_cannot_be_read(newer, capsys):
    assert said(capsys, "runs", "delete", "newer", "--yes")[0] == 0
    assert not newer.path.exists()


@pytest.mark.parametrize("place", ["home", "run"])
async def test_the_app_says_so_and_lives_on(first, newer, place):
    app = PpoTuiApp()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        if place == "run":
            app.open_run(newer)
            for _ in range(3):
                await pilot.pause()
                await app.workers.wait_for_complete()
            await pilot.pause()
        text = " ".join(screen_text(app).split())
        assert "newer ppo-tui" in text
        if place == "home":
            assert "first" in text
        assert app.is_running


def test_settings_are_refused(home):
    settings_path().write_text("schema_version: 99\nglow: 3\n")
    with pytest.raises(ConfigError, match="newer ppo-tui wrote them") as caught:
        load_settings()
    assert caught.value.code == "settings.version"


@pytest.mark.parametrize("version", ["0", "-1", "one", "1.5", "true", "[1]", "null"])
def test_settings_of_no_version_are_refused_in_other_words(home, version):
    settings_path().write_text(f"schema_version: {version}\n")
    with pytest.raises(ConfigError, match="it must be 1") as caught:
        load_settings()
    assert caught.value.code == "settings.version"


def test_a_saved_reward_is_refused(tmp_path):
    (tmp_path / RECORD).write_text(json.dumps({"v": 99, "kind": "human"}))
    with pytest.raises(PpoTuiError, match="newer ppo-tui") as caught:
        load_artefact(tmp_path)
    assert caught.value.code == "reward.artefact_newer"
