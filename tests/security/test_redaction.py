"""Tokens and passwords are known by the environment, by a file and by their shape."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.errors import ConfigError, PpoTuiError
from ppo_tui.text.secrets import REDACTED, holds_secret, redacted

TOKEN = "hf_" + "aB3" * 11

SHAPES = [
    TOKEN,
    "sk-proj-abcdef0123456789abcdef",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABCDEFG0" * 4,
    "glpat-" + "a1B2" * 5,
    "AKIA" + "ABCDEFGH01234567",
    "AIza" + "a1B2c" * 7,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl",
]


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No secrets but those of the test."""
    for name in list(os.environ):
        if any(word in name.upper() for word in ("TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize("around", ["{}", "it said {}.", "'{}'", "?token={}&x=1", "a\n{}\nb"])
def test_what_looks_like_a_token_is_taken_out(secret, around):
    assert redacted(around.format(secret)) == around.format(REDACTED)
    assert holds_secret(around.format(secret))


def test_a_bearer_keeps_its_word_and_an_address_its_place():
    assert redacted("Bearer abcdef0123456789abcdef/+==") == f"Bearer {REDACTED}"
    said = redacted("https://ada:s3cret@example.org/models")
    assert said == f"https://{REDACTED}@example.org/models"


def test_a_private_key_is_taken_out_whole_even_if_its_end_is_missing():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    assert redacted(f"a {key} b") == f"a {REDACTED} b"
    assert redacted(f"a {key[:40]}") == f"a {REDACTED}"


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "PGPASSWORD", "apikey"],
)
def test_what_a_variable_calls_secret_is_taken_out_wherever_it_stands(monkeypatch, name):
    monkeypatch.setenv(name, "correct horse 'ü' \\ battery")
    assert redacted("it is correct horse 'ü' \\ battery!") == f"it is {REDACTED}!"
    assert redacted(repr("correct horse 'ü' \\ battery")[1:-1]) == REDACTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false-but-long"),
        ("HF_TOKEN_PATH", "home-of-token"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/ada/key.json"),
        ("KEYBOARD", "qwertzuiop"),
        ("MAX_TOKENS", "100000000"),
        ("DB_PASSWORD", "short"),
    ],
)
def test_other_variables_are_left_alone(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert redacted(f"it is {value}.") == f"it is {value}."


def test_the_token_that_hugging_face_keeps_in_a_file_is_known(monkeypatch, tmp_path):
    place = tmp_path / "hf"
    place.mkdir()
    (place / "token").write_text("an-odd-token-of-theirs\n")
    assert redacted("x an-odd-token-of-theirs y") == f"x {REDACTED} y"
    (place / "token").write_text("another-token-of-theirs-now\n")
    assert redacted("x another-token-of-theirs-now y") == f"x {REDACTED} y"
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "elsewhere"))
    assert redacted("x another-token-of-theirs-now y") == "x another-token-of-theirs-now y"
    (tmp_path / "elsewhere").write_text("the-third-of-them")
    assert redacted("x the-third-of-them y") == f"x {REDACTED} y"


def test_the_beginning_of_a_secret_where_a_sentence_was_cut_is_taken_out(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "correct-horse-battery")
    assert redacted("given: correct-horse-b...") == f"given: {REDACTED}..."
    assert redacted("given: correct-horse-b…") == f"given: {REDACTED}…"
    assert redacted("given: correct-horse") == f"given: {REDACTED}"
    assert redacted("a correct-horse race") == "a correct-horse race"


WORDS = st.text(string.ascii_letters + string.digits + " .,:;/()[]{}'\"=-_\n\t", max_size=400)
ORDINARY = """
the model Qwen/Qwen2.5-0.5B-Instruct of step 120 in /home/ada/.cache/hub/models--x
sk-learn task-oriented risk-averse hf_transfer hf_hub_download high-five ghost_writer
bearer Bearer of good news https://example.org:8080/a?b=c@d mailto:ada@example.org
http://[::1]:80/ user@host:path 12:30 {prompt} eos_token </s> AKIA token tokens
step-000120 reward/score 1e-4 ppo.kl_coef=0.1 sha256:0123456789abcdef eyJ
"""
PROSE = st.lists(st.sampled_from(ORDINARY.split()), max_size=60).map(" ".join)


@given(PROSE)
def test_ordinary_text_is_left_as_it_is(text):
    assert redacted(text) == text
    assert not holds_secret(text)


@given(WORDS)
def test_it_is_done_at_once(text):
    once = redacted(text)
    assert redacted(once) == once


@given(st.text(max_size=50), st.sampled_from(SHAPES), st.text(max_size=50))
def test_no_surroundings_hide_a_token(before, secret, after):
    # A letter or digit that touches it makes another word of it.
    assert secret not in redacted(f"{before} {secret}\u2028{after}")


@pytest.mark.parametrize("part", ["sk-", "hf_", "eyJ", "://a:", "Bearer ", "gho_", "eyJaaaaaaaa.x"])
def test_a_text_of_many_beginnings_takes_no_longer_than_its_length(part):
    # With the square of it the test's own limit of time is passed.
    text = part * 200_000
    assert redacted(text) == text


def test_no_error_holds_a_token():
    error = PpoTuiError(f"no model {TOKEN}", hint=f"log in again; {TOKEN} is known to nobody")
    told = [str(error), repr(error), error.message, error.hint, *error.to_dict().values()]
    assert not any(TOKEN in each for each in told)
    assert error.message == f"no model {REDACTED}"
    assert TOKEN not in str(ConfigError(TOKEN))
