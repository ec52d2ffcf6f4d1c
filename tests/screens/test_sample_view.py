"""One sample in full: its numbers, its text, its tokens; alone in a tiny app."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ppo_tui.runs.records import Sample, TokenRecord
from ppo_tui.screens.widgets.sample_view import SampleView, legend, token_words
from ppo_tui.screens.widgets.token_text import TokenText, levels, shown, wrapped

from .goldens import screen_text
from .host import Host

TOKENS = (
    TokenRecord(" a", -0.1, -0.1, 0.2, 0.5),
    TokenRecord(" great", -0.2, -4.2, 0.4, 1.0),
    TokenRecord(" film", -1.0, -0.5, 0.6, -2.0),
    TokenRecord("</s>", math.nan, -1.0, 0.8, 0.0),
)


def sample(**changes: Any) -> Sample:
    known = {
        "prompt": "The evening was",
        "response": " a great film",
        "score": 0.75,
        "terms": {"sentiment": 1.0, "len": -0.25},
        "kl": 3.5,
        "length": 4,
        "finished": True,
        "tokens": TOKENS,
        "time": 1.0,
    }
    return Sample(id="12-3", step=12, **{**known, **changes})


def lines(app: Host) -> list[str]:
    return screen_text(app).splitlines()


async def test_a_sample_is_shown_with_its_numbers_its_text_and_a_legend_in_words():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(80, 14)) as pilot:
        view.show(sample())
        await pilot.pause()

        assert lines(app) == [
            "score 0.750 · KL 3.50 nats · 4 tokens, ended by itself · step 12",
            "by term: sentiment 1.00   len -0.250",
            "prompt",
            "The evening was",
            "",
            "response",
            " a great film</s>",
            "  ▇▇▇▇▇▇▔▔▔▔▔",
            "",
            "",
            "token 1 of 4: “ a”  90 % now, 90 % in the base · KL 0.000 · value 0.200 ·",
            "advantage 0.500",
            "shaded by KL: ▁▃▅▇ likelier than in the base, up to 4.00; ▔▀ less likely, down",
            "to -0.500",
        ]


async def test_keys_go_through_the_tokens_and_tell_their_numbers():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(120, 14)) as pilot:
        view.show(sample())
        view.query_one(TokenText).focus()
        await pilot.press("right")
        await pilot.pause()
        assert lines(app)[-2] == (
            "token 2 of 4: “ great”  82 % now, 1.50 % in the base · KL 4.00 · value 0.400 · "
            "advantage 1.00"
        )
        await pilot.press("end", "right")
        await pilot.pause()
        assert lines(app)[-2].startswith("token 4 of 4: “</s>”  – now, 37 % in the base · KL –")
        await pilot.press("home", "left")
        await pilot.pause()
        assert lines(app)[-2].startswith("token 1 of 4")


async def test_a_key_shades_by_advantage_then_value_then_nothing():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(120, 14)) as pilot:
        view.show(sample())
        view.query_one(TokenText).focus()
        seen = []
        for _ in range(4):
            await pilot.press("b")
            await pilot.pause()
            seen.append((lines(app)[7], lines(app)[-1]))

    assert seen == [
        (
            "▁▁▃▃▃▃▃▃▀▀▀▀▀",
            "shaded by advantage: ▁▃▅▇ better than expected, up to 1.00; ▔▀ worse, down to -2.00",
        ),
        (
            "▁▁▃▃▃▃▃▃▅▅▅▅▅▇▇▇▇",
            "shaded by value, the score the critic expects: ▁▃▅▇ from 0.200 to 0.800",
        ),
        ("", "not shaded; b: shade by KL, advantage or value"),
        (
            "  ▇▇▇▇▇▇▔▔▔▔▔",
            "shaded by KL: ▁▃▅▇ likelier than in the base, up to 4.00; ▔▀ less likely, "
            "down to -0.500",
        ),
    ]


async def test_a_click_points_at_a_token():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(80, 14)) as pilot:
        view.show(sample())
        await pilot.pause()
        await pilot.click(TokenText, offset=(10, 4))
        assert view.query_one(TokenText).token == 2
        await pilot.click(TokenText, offset=(40, 0))
        assert view.query_one(TokenText).token == 2


async def test_a_sample_without_tokens_says_so_and_has_nothing_to_go_through():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(100, 12)) as pilot:
        view.show(sample(tokens=None, finished=False))
        view.query_one(TokenText).focus()
        await pilot.press("right", "b")
        await pilot.pause()

        assert "cut off at its longest" in lines(app)[0]
        assert lines(app)[6] == " a great film"
        assert lines(app)[-1] == (
            "This sample was recorded as a whole; the best and the worst of each step have tokens."
        )


async def test_a_copy_is_of_the_response_as_it_was_written():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(80, 12)) as pilot:
        view.show(sample(response="a\x1b[0m b\n"))
        view.query_one(TokenText).focus()
        await pilot.press("y")

        assert app.clipboard == "a\x1b[0m b\n"


async def test_foreign_text_is_shown_literally_in_prompt_response_terms_and_tokens():
    view = SampleView()
    app = Host(view)
    tokens = (
        TokenRecord("[/b]\x1b[1m", -1.0, -1.0, 0.0, 0.0),
        TokenRecord("\n", -1.0, -1.0, 0.0, 0.0),
        TokenRecord("", -1.0, -1.0, 0.0, 0.0),
        TokenRecord("\u0301", -1.0, -1.0, 0.0, 0.0),
        TokenRecord("字", -1.0, -1.0, 0.0, 0.0),
    )
    async with app.run_test(size=(100, 14)) as pilot:
        view.show(sample(prompt="[red]p[/\x07\nq", terms={"[x/": 1.0}, tokens=tokens))
        await pilot.pause()

        assert lines(app)[1] == "by term: [x/ 1.00"
        assert lines(app)[3:5] == [r"[red]p[/\x07", "q"]
        assert lines(app)[7] == r"[/b]\x1b[1m⏎"
        assert lines(app)[9] == "▯◌\u0301字"
        view.show(sample(response="[red]r[/\x07", tokens=None))
        await pilot.pause()
        assert r"[red]r[/\x07" in screen_text(app)


async def test_the_cursor_stays_in_view_in_a_long_response():
    view = SampleView()
    app = Host(view)
    tokens = tuple(TokenRecord(f" w{index}", -1.0, -1.5, 0.0, 0.0) for index in range(2000))
    async with app.run_test(size=(60, 14)) as pilot:
        view.show(sample(tokens=tokens))
        view.query_one(TokenText).focus()
        await pilot.press("end")
        await pilot.pause()
        assert " w1999" in screen_text(app)
        await pilot.press("home")
        await pilot.pause()
        assert " w0 w1" in screen_text(app)
        assert " w1999" not in screen_text(app)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("letter", ["x", "字", "\x00", " y"])
async def test_a_response_of_a_hundred_thousand_characters_is_shown_to_its_end(letter: str):
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(80, 14)) as pilot:
        view.show(sample(response=letter * 100_000 + "END", tokens=None))
        await pilot.pause()
        text = view.query_one(TokenText)
        text.scroll_end(animate=False, immediate=True)
        await pilot.pause()

        assert "END" in screen_text(app)


async def test_another_width_breaks_the_lines_anew():
    view = SampleView()
    app = Host(view)
    async with app.run_test(size=(80, 14)) as pilot:
        view.show(sample(prompt="one two three four five six", tokens=None))
        await pilot.resize_terminal(20, 20)
        await pilot.pause()

        assert "one two three four" in lines(app)
        assert "five six" in lines(app)


def test_levels_rise_from_nothing_both_ways():
    assert levels([0.0, 1.0, 2.0, 3.0, 4.0, -4.0, -0.5, 0.1, math.nan]) == [
        0, 1, 2, 3, 4, -4, -1, 0, 0,
    ]  # fmt: skip


def test_levels_of_a_value_go_from_the_lowest_to_the_highest():
    assert levels([-1.0, 0.0, 1.0, 2.0], relative=True) == [1, 2, 3, 4]
    assert levels([0.5, 0.5], relative=True) == [1, 1]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)))
def test_levels_are_never_beyond_their_marks(numbers: list[float]):
    assert all(-4 <= level <= 4 for level in levels(numbers))
    assert all(0 <= level <= 4 for level in levels(numbers, relative=True))


@given(st.text(max_size=200), st.integers(2, 40))
def test_wrapped_lines_fit_and_nothing_that_can_be_seen_is_lost(text: str, width: int):
    wrapped_lines = wrapped(text, width)

    assert all(cell_len(line) <= width for line in wrapped_lines)
    seen, meant = (
        "".join(lines).replace(" ", "") for lines in (wrapped_lines, wrapped(text, 10_000))
    )
    assert seen == meant


@given(st.text(max_size=8))
def test_every_token_has_a_width(text: str):
    assert cell_len(shown(text)) > 0


def test_a_legend_leaves_out_the_side_that_has_nothing():
    assert legend("kl", TOKENS[:2]) == "shaded by KL: ▁▃▅▇ likelier than in the base, up to 4.00"
    assert legend("kl", TOKENS[:1]) == "shaded by KL: all 0"
    assert legend("value", (TokenRecord("x", 0.0, 0.0, math.nan, 0.0),)) == "value: not recorded"


def test_a_very_small_chance_is_not_told_as_none():
    token = TokenRecord(" x", -0.001, -12.0, 0.0, 0.0)

    assert "100 % now, 0.001 % in the base" in token_words(0, [token]).plain
