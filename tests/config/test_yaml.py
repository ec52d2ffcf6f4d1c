"""YAML is read as plain data, or refused in one sentence that names the place."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ppo_tui.config.yaml_io import MAX_BYTES, dump_yaml, load_yaml, read_yaml
from ppo_tui.errors import ConfigError, ExitCode


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "run.yaml")
    assert caught.value.code == "config.yaml"
    assert caught.value.exit_code == ExitCode.CONFIG
    assert caught.value.message.startswith("run.yaml is not valid YAML")
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("-3e5", -3e5),
        ("1.5e-4", 1.5e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("3e+2", 300.0),
        ("7", 7),
    ],
)
def test_what_looks_like_a_number_is_one(text, number):
    value = load_yaml(text, "x")
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize("text", ["e4", "1e", "1e4x", "v1.5", "1.2.3", "-", "+", "."])
def test_what_only_begins_like_a_number_is_a_text(text):
    if text == "-":  # an empty list entry
        assert load_yaml(text, "x") == [None]
    else:
        assert load_yaml(text, "x") == text


def test_an_alias_is_refused():
    assert "alias" in problem("a: &x [1]\nb: *x\n")


def test_a_bomb_of_aliases_is_refused_at_once():
    bomb = "a: &a [x]\n" + "".join(
        f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"
        for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    problem(bomb)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['true']", "!secret x", "!!binary AA=", "!!set {a}"]
)
def test_a_tag_is_refused(tag):
    problem(f"a: {tag}\n")


def test_a_key_that_stands_twice_is_refused_with_its_line():
    assert problem("steps: 1\nseed: 2\nsteps: 3\n").endswith(
        "(line 3, column 1): the key 'steps' stands twice."
    )


def test_a_key_that_stands_twice_inside_a_group_is_refused():
    problem("ppo: {clip: 0.1, clip: 0.2}")


@pytest.mark.parametrize("text", ["1: a", "true: a", "? [a]\n: b", "null: 1"])
def test_a_key_that_is_no_text_is_refused(text):
    problem(text)


@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "\ta: 1", "a: '", "--- 1\n--- 2\n", "a\0b", "\x07"]
)
def test_what_is_no_yaml_is_refused(text):
    problem(text)


def test_a_date_a_lone_equals_sign_and_a_merge_key_are_texts():
    assert load_yaml("{a: 2024-01-01, b: =, <<: {c: 1}}", "x") == {
        "a": "2024-01-01",
        "b": "=",
        "<<": {"c": 1},
    }


def test_deep_nesting_is_refused():
    problem("[" * 100_000)


@given(st.text())
@example("=")
@example("0o9")
@example("0x")
@example("2024-01-01")
@example("1:99")
@example("- ? - a")
def test_any_text_is_plain_data_or_refused(text):
    refusal, data = "", None
    try:
        data = load_yaml(text, "x")
    except ConfigError as error:
        refusal = error.message
    assert "\n" not in refusal
    assert_plain(data)


def assert_plain(data) -> None:
    if isinstance(data, dict):
        assert all(isinstance(key, str) for key in data)
        for value in data.values():
            assert_plain(value)
    elif isinstance(data, list):
        for value in data:
            assert_plain(value)
    else:
        assert data is None or type(data) in (str, int, float, bool)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_is_read_back(data):
    assert load_yaml(dump_yaml(data), "x") == data


def code_of(path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return caught.value.code


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfsteps: 3\n")
    assert read_yaml(path) == {"steps": 3}


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert code_of(tmp_path / "none.yaml") == "config.missing"


def test_a_folder_is_named(tmp_path):
    assert code_of(tmp_path) == "config.is_folder"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert code_of(path) == "config.too_large"


@pytest.mark.parametrize("content", [b"\xff\xfea\0", b"description: caf\xe9\n", b"\x80"])
def test_a_file_that_is_not_utf8_is_refused(tmp_path, content):
    path = tmp_path / "latin.yaml"
    path.write_bytes(content)
    assert code_of(path) == "config.not_utf8"


def test_a_file_with_a_nul_in_it_is_refused(tmp_path):
    path = tmp_path / "nul.yaml"
    path.write_bytes(b"steps: 1\0\n")
    assert code_of(path) == "config.yaml"


def test_a_path_with_a_nul_in_it_is_refused():
    from pathlib import Path

    with pytest.raises(ConfigError):
        read_yaml(Path("a\0b.yaml"))


def test_a_device_is_not_read(tmp_path):
    from pathlib import Path

    with pytest.raises(ConfigError):
        read_yaml(Path("/dev/zero"))
