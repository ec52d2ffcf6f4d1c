"""Settings of the app: their file, their bounds, and what they cost at the start."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_tui.config.settings import (
    DOCUMENTATION,
    AppSettings,
    checked,
    load_settings,
    save_settings,
    settings_path,
)
from ppo_tui.errors import ConfigError, StorageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, at a terminal that says nothing of itself."""
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    for name in ("SSH_CONNECTION", "SSH_TTY", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def written(text: str) -> Path:
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_settings_are_the_defaults() -> None:
    assert load_settings() == AppSettings(
        theme="ppo-dark",
        refresh_hz=4.0,
        smoothing=0.6,
        bell=True,
        title=True,
        animations=True,
        keymap={},
    )


def test_loading_defaults_makes_no_folder(home: Path) -> None:
    load_settings()
    assert not home.exists()


def test_over_ssh_it_repaints_twice_a_second_and_nothing_glides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 22")
    settings = load_settings()
    assert (settings.refresh_hz, settings.animations) == (2.0, False)


@pytest.mark.parametrize(
    ("answer", "theme"),
    [
        ("0;15", "ppo-light"),
        ("0;7", "ppo-light"),
        ("0;default;15", "ppo-light"),
        ("15;0", "ppo-dark"),
        ("15;default", "ppo-dark"),
        ("nonsense", "ppo-dark"),
        ("", "ppo-dark"),
    ],
)
def test_the_theme_is_light_where_the_terminal_says_so(
    answer: str, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORFGBG", answer)
    assert load_settings().theme == theme


def test_what_is_saved_is_loaded_again() -> None:
    chosen = AppSettings(
        theme="ppo-high-contrast",
        refresh_hz=0.5,
        smoothing=0.99,
        bell=False,
        title=False,
        animations=False,
        keymap={"runs.delete": "f8,delete", "runs.new": "5", "app.help": "question_mark"},
    )
    save_settings(chosen)
    assert load_settings() == chosen


def test_only_what_differs_from_the_defaults_is_written() -> None:
    save_settings(AppSettings(smoothing=0.9))
    assert settings_path().read_text() == "schema_version: 1\nsmoothing: 0.9\n"


def test_a_theme_saved_over_ssh_does_not_fix_the_slow_refresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_TTY", "/dev/pts/1")
    save_settings(dataclasses.replace(load_settings(), theme="ppo-light"))
    monkeypatch.delenv("SSH_TTY")
    assert load_settings() == AppSettings(theme="ppo-light", refresh_hz=4.0)


def test_an_empty_file_is_no_choice() -> None:
    written("")
    assert load_settings() == AppSettings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("thema: ppo-dark\n", "there is no setting 'thema'; did you mean 'theme'?"),
        ("theme: ppo-drak\n", "The setting theme is 'ppo-drak'; did you mean 'ppo-dark'?"),
        ("refresh_hz: 9\n", "The setting refresh_hz is 9; it must be from 0.5 to 4."),
        ("refresh_hz: .nan\n", "The setting refresh_hz is nan; it must be from 0.5 to 4."),
        (f"refresh_hz: {'9' * 400}\n", "it must be from 0.5 to 4."),
        (f"refresh_hz: 0x{'f' * 5000}\n", "holds a number that no setting can be."),
        ("smoothing: much\n", "The setting smoothing is 'much'; it must be from 0 to 0.99."),
        ("smoothing: true\n", "The setting smoothing is True; it must be from 0 to 0.99."),
        ("bell: 1\n", "The setting bell is 1; it must be true or false."),
        ("keymap: [f5]\n", "The setting keymap is ['f5']; it must be a list of"),
        ("keymap: {Runs Delete: x}\n", "keymap has 'Runs Delete', which is no id"),
        ("keymap: {runs.delete: 'a b'}\n", "keymap.runs.delete is 'a b'; it must be a key"),
        ("keymap: {runs.delete: null}\n", "keymap.runs.delete is None; it must be a key"),
        ("schema_version: 2\n", "a newer ppo-tui wrote them"),
        ("schema_version: 2\nglow: 3\n", "a newer ppo-tui wrote them"),
        ("- theme\n", "holds no settings"),
        ("theme: [\n", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    path = written(text)
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert sentence in refused.value.message
    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message


def test_a_folder_in_the_place_of_the_file_is_refused() -> None:
    settings_path().mkdir(parents=True)
    with pytest.raises(ConfigError, match="is a folder"):
        load_settings()


def test_a_key_that_is_a_digit_needs_no_quotes() -> None:
    written("keymap:\n  training.panel: 5\n")
    assert load_settings().keymap == {"training.panel": "5"}


def test_a_name_that_cannot_be_a_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPO_TUI_HOME", "/" + "long" * 200)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        load_settings()


def test_an_unreadable_file_is_kept_when_settings_are_saved() -> None:
    path = written("schema_version: 2\nfuture: true\n")
    kept = save_settings(AppSettings(bell=False))
    assert kept == path.with_name("settings.unreadable.yaml")
    assert kept.read_text() == "schema_version: 2\nfuture: true\n"
    assert load_settings() == AppSettings(bell=False)


def test_saving_where_it_is_not_allowed_says_so(home: Path) -> None:
    home.parent.joinpath("home").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="could not be written"):
        save_settings(AppSettings())


def test_no_code_can_change_the_keys_of_settings() -> None:
    keys = {"runs.delete": "f8"}
    settings = AppSettings(keymap=keys)
    keys["runs.delete"] = "x"
    assert settings.keymap == {"runs.delete": "f8"}
    with pytest.raises(TypeError):
        settings.keymap["runs.delete"] = "x"  # type: ignore[index]


@pytest.mark.parametrize("name", ["refresh_hz", "smoothing"])
def test_the_documented_bounds_are_the_ones_that_are_checked(name: str) -> None:
    about = DOCUMENTATION[name]
    assert about.low is not None
    assert about.high is not None
    assert checked(name, about.low) == about.low
    assert checked(name, about.high) == about.high
    for outside in (about.low - 0.01, about.high + 0.01):
        with pytest.raises(ConfigError):
            checked(name, outside)


def test_every_setting_a_person_can_change_is_documented() -> None:
    names = {field.name for field in dataclasses.fields(AppSettings)} - {"schema_version"}
    assert set(DOCUMENTATION) == names
    assert all(about.title and about.words.endswith(".") for about in DOCUMENTATION.values())


def test_defaults_are_loaded_without_pydantic_and_yaml(home: Path) -> None:
    code = (
        "from ppo_tui.config.settings import load_settings; load_settings(); import sys;"
        "print('pydantic' in sys.modules, 'yaml' in sys.modules, 'textual' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
