"""Configurations and presets that are none: one sentence, exit code 3, and nothing is left."""

from pathlib import Path

import pytest

from .broken import FILES, check_refusal, check_refusal_as_json, everything_in

# What is no configuration by its bytes; an empty file is one, of defaults.
NOT_YAML = [name for name in FILES if name not in ("empty", "blank", "null", "an empty device")]

SETTINGS = {
    "an unknown setting": "stepps: 3",
    "a wrong type": "steps: many",
    "out of range": "steps: -1",
    "not finite": "optim: {lr: .nan}",
    "a list for a group": "ppo: [1, 2]",
    "a text for a group": "model: 'bundled'",
    "a number that is too long": f"seed: {'9' * 5000}",
    "a hexadecimal number that is too long": f"seed: 0x{'f' * 5000}",
    "an alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "a tag": "model: !!python/object/apply:os.system [id]",
    "a key twice": "steps: 3\nsteps: 4",
    "a key that is no text": "? [1, 2]\n: 3",
    "a merge": "<<: {steps: 3}",
    "two documents": "steps: 3\n---\nsteps: 4\n",
    "a tab": "model:\n\tname: bundled",
    "a newer version": "schema_version: 99",
    "no version": "schema_version: zero",
    "a control character": "description: \x07bell",
    "a column for text": "data: {column: prompt}",
    "terms of nothing": "reward: {terms: []}",
    "a reward without a kind": "reward: {terms: [{weight: 1}]}",
    "a pattern that is none": "reward: {terms: [{kind: regex, pattern: '(['}]}",
    "a batch that does not divide": "rollout: {batch_size: 7}",
    "a huge key": f"{'k' * 100_000}: 1",
    "half a surrogate": r'description: "\ud800"' + "\nstepps: 1",
    "markup": "'[red]x[/red]': 1",
}


@pytest.mark.parametrize("name", NOT_YAML)
@pytest.mark.parametrize("verb", ["train", "plan"])
def test_a_file_that_is_no_configuration(say, tmp_path: Path, name: str, verb: str) -> None:
    path = tmp_path / "mine.yaml"
    FILES[name](path)
    before = everything_in(tmp_path)
    check_refusal(*say(verb, str(path)), exits=(3,))
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("name", NOT_YAML)
def test_the_same_as_json(say, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.yaml"
    FILES[name](path)
    code, out, _ = say("config", "validate", str(path), "--json")
    check_refusal_as_json(code, out, exits=(3,))


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be(say, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SETTINGS[name], encoding="utf-8", errors="surrogatepass")
    before = everything_in(tmp_path)
    check_refusal(*say("train", str(path)), exits=(3, 4))
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("name", NOT_YAML)
def test_a_preset_of_ones_own_that_is_none(say, home: Path, name: str) -> None:
    FILES[name](home / "presets" / "mine.yaml")
    before = everything_in(home)
    check_refusal(*say("train", "mine"), exits=(3,))
    assert everything_in(home) == before


@pytest.mark.parametrize("name", FILES)
def test_the_list_of_presets_lives_with_it(say, home: Path, name: str) -> None:
    FILES[name](home / "presets" / "mine.yaml")
    code, out, err = say("presets", "list")
    assert code == 0
    assert "demo" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "source", ["", " ", "\0", "a\0b.yaml", "x" * 5000, "x" * 300 + ".yaml", "../demo", "~nobody/x"]
)
def test_a_name_that_is_none(say, home: Path, source: str) -> None:
    before = everything_in(home)
    check_refusal(*say("train", source), exits=(3,))
    assert everything_in(home) == before


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "=",
        "=3",
        "steps",
        "steps=",
        "steps=[",
        "a.b.c=1",
        ".=1",
        "steps=\0",
        "seed=" + "9" * 9000,
    ],
)
def test_a_setting_on_the_command_line_that_is_none(say, home: Path, setting: str) -> None:
    before = everything_in(home)
    check_refusal(*say("train", "demo", "--set", setting), exits=(2, 3))
    assert everything_in(home) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["endless zeros", "2 GB", "a long line", "deep lists"])
def test_what_is_endless_takes_little_memory(say_in_little_memory, tmp_path, name) -> None:
    path = tmp_path / "mine.yaml"
    FILES[name](path)
    check_refusal(*say_in_little_memory("train", str(path)), exits=(3,))
