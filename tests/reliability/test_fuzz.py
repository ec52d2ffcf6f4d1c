"""Some thousands of the inputs of `make fuzz`, and that its bounds hold."""

import pytest
from hypothesis import strategies as st

from ppo_tui.errors import RunError
from tools.fuzz.__main__ import feed
from tools.fuzz.parts import Part, parts, refused

INPUTS = 3000
SEED = 11

PARTS = parts()


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_damaged_files_are_taken_or_refused_in_a_sentence(part, tmp_path):
    fed = feed(part, int(INPUTS * part.share), SEED, tmp_path)
    assert fed.failure == ""
    assert fed.inputs >= INPUTS * part.share


def test_the_shares_of_the_parts_make_a_whole():
    assert sum(part.share for part in PARTS) == pytest.approx(1.0)


def stumbling(read):
    return Part("stumbling", 1.0, st.binary(max_size=4), read)


def test_a_reader_that_raises_anything_else_is_found(tmp_path):
    def read(folder, data):
        with refused():
            data.decode("ascii")

    assert "UnicodeDecodeError" in feed(stumbling(read), 200, SEED, tmp_path).failure


def test_a_message_that_is_no_single_line_is_found(tmp_path):
    class Loud(RunError):
        def __init__(self):
            super().__init__("quiet")
            self.message = "one\ntwo"

    def read(folder, data):
        with refused():
            raise Loud

    assert "not fit for a terminal" in feed(stumbling(read), 1, SEED, tmp_path).failure


def test_a_reader_that_goes_round_in_a_circle_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.fuzz.bounds.SECONDS", 0.05)

    def read(folder, data):
        while True:
            pass

    assert "it hangs" in feed(stumbling(read), 1, SEED, tmp_path).failure


def test_a_reader_that_takes_gigabytes_is_found(tmp_path):
    def read(folder, data):
        bytearray(2 << 30)

    assert "MemoryError" in feed(stumbling(read), 1, SEED, tmp_path).failure
