"""A configuration that holds a token or password is refused, and the value is not repeated."""

import pytest

from ppo_tui.config.resolve import parse_config, resolve
from ppo_tui.errors import ConfigError, ExitCode

TOKEN = "hf_" + "aB3" * 11


def refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "mine.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"model: {{name: ada/{TOKEN}}}", "model.name"),
        (f"description: with {TOKEN}", "description"),
        (f"reward: {{terms: [{{kind: any, options: {{x: [1, {TOKEN}]}}}}]}}", "reward.terms.0"),
        (f"{TOKEN}: 1", ""),
        ("data: {prompts: 'https://ada:s3cret0@example.org/p.txt'}", "data.prompts"),
        ("reward: {terms: [{kind: any, options: {api_key: mine}}]}", "options.api_key"),
        ("reward: {terms: [{kind: any, options: {judge: {password: mine}}}]}", "judge.password"),
        ("reward: {terms: [{kind: any, options: {hf_token: mine}}]}", "options.hf_token"),
        ("reward: {terms: [{kind: any, options: {client-secret: mine}}]}", "client-secret"),
    ],
)
def test_a_secret_is_refused_by_its_key_or_its_shape(text, key):
    error = refused(text)
    assert (error.code, error.exit_code) == ("config.secret", ExitCode.CONFIG)
    assert "mine.yaml: " in error.message
    assert key in error.message
    assert "environment variable" in error.message
    assert not any(secret in error.message for secret in (TOKEN, "s3cret0", ": mine"))
    assert "\n" not in error.message


def test_what_this_process_knows_to_be_secret_is_refused(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct-horse-battery")
    assert refused("model: {name: x/correct-horse-battery}").code == "config.secret"


@pytest.mark.parametrize(
    "options",
    [
        "{eos_token: </s>, max_tokens: 5, tokenizer: gpt2, key: value, keyboard: qwerty}",
        "{api_key: $OPENAI_API_KEY, password: '${DB_PASSWORD}', secret: ''}",
        "{api_key_env: OPENAI_API_KEY, token: 5}",
    ],
)
def test_a_name_of_a_variable_and_other_tokens_are_none(options):
    # The kind is unknown, which is found after the secrets.
    assert (
        refused(f"reward: {{terms: [{{kind: any, options: {options}}}]}}").code != "config.secret"
    )


def test_a_pattern_that_finds_addresses_is_none():
    pattern = r"https?://[^\s:]+:[^@]+@"
    found = parse_config(f"reward: {{terms: [{{kind: regex, pattern: '{pattern}'}}]}}", "mine.yaml")
    assert found.reward.terms[0].pattern == pattern


def test_the_command_line_is_no_way_round():
    with pytest.raises(ConfigError) as caught:
        resolve("demo", [f"model.revision={TOKEN}"])
    assert caught.value.code == "config.secret"
    assert TOKEN not in caught.value.message
