from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult

from ppo_tui.runs.catalog import RunSummary
from ppo_tui.runs.phase import Phase
from ppo_tui.screens.widgets.cells import fitted
from ppo_tui.screens.widgets.run_columns import layout_for
from ppo_tui.screens.widgets.run_rows import Order, age, arrange, select, state_words, step_words
from ppo_tui.screens.widgets.run_table import RunTable

from .goldens import screen_text

NOW = 2_000_000.0


def summary(name: str, **given: Any) -> RunSummary:
    known = {"phase": Phase.STOPPED, "model": "bundled", "preset": "demo", "step": 3, "total": 10}
    return RunSummary(name, Path("/runs") / name, **{**known, "started": NOW - 60.0, **given})


class Host(App[None]):
    def __init__(self, runs: list[RunSummary]) -> None:
        super().__init__()
        self.given = runs
        self.messages: list[Any] = []

    def compose(self) -> ComposeResult:
        yield RunTable()

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    def show(self, runs: list[RunSummary], order: Order | None = None) -> None:
        self.table.show(runs, order or Order(), now=NOW)

    def on_mount(self) -> None:
        self.table.focus()

    def on_ready(self) -> None:
        self.show(self.given)

    def on_run_table_opened(self, message: RunTable.Opened) -> None:
        self.messages.append(("opened", message.run.name))

    def on_run_table_headed(self, message: RunTable.Headed) -> None:
        self.messages.append(("headed", message.column))

    def on_run_table_highlighted(self, message: RunTable.Highlighted) -> None:
        self.messages.append(("highlighted", message.run.name if message.run else None))


def lines(app: App[Any]) -> list[str]:
    return screen_text(app).splitlines()


THREE = [
    summary("night", phase=Phase.UPDATE, alive=True, reward=0.5, rewards=(0.1, 0.5), preset="glad"),
    summary(
        "noon", phase=Phase.FAILED, reward=0.7, started=NOW - 7200.0, model="Qwen/Qwen2.5-0.5B"
    ),
    summary("dawn", phase=Phase.FINISHED, reward=None, step=10, started=NOW - 90_000.0),
]


async def test_a_line_has_state_name_model_reward_curve_step_and_age() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        shown = lines(app)
        assert shown[0].split() == ["state", "run", "model", "reward", "step", "age▲"]
        assert shown[1].split() == [
            "▸",
            "●",
            "update",
            "night",
            "bundled",
            "0.500",
            "▁█",
            "3/10",
            "1m",
        ]
        assert shown[2].split()[:3] == ["✗", "failed", "noon"]
        assert shown[3].split()[-3:] == ["–", "10/10", "1d"]


async def test_a_wide_table_shows_the_preset_too() -> None:
    app = Host(THREE)
    async with app.run_test(size=(120, 10)) as pilot:
        await pilot.pause()
        assert "preset" in lines(app)[0]
        assert "glad" in lines(app)[1]


async def test_the_cursor_stays_on_its_run_when_the_order_changes() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        await pilot.press("down")
        assert app.table.highlighted is THREE[1]
        app.show([THREE[2], THREE[0], THREE[1]], Order("run"))
        assert app.table.highlighted is THREE[1]
        await pilot.press("up")
        assert app.table.highlighted is THREE[0]


async def test_when_its_run_is_gone_the_cursor_stays_where_it_was() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        await pilot.press("down")
        app.show([THREE[0], THREE[2]])
        assert app.table.highlighted is THREE[2]
        app.show([])
        assert app.table.highlighted is None


async def test_keys_move_by_lines_by_pages_and_to_both_ends() -> None:
    runs = [summary(f"run-{number:03d}") for number in range(300)]
    app = Host(runs)
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        seen = []
        for key in ("pagedown", "down", "end", "pageup", "up", "home"):
            await pilot.press(key)
            seen.append(app.table.highlighted.name if app.table.highlighted else "")
            assert seen[-1] in screen_text(app)
        assert seen == ["run-010", "run-011", "run-299", "run-289", "run-288", "run-000"]


async def test_space_marks_a_run_and_goes_on_to_the_next() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        await pilot.press("space", "space")
        assert app.table.marked == {THREE[0].path, THREE[1].path}
        assert [line[:2] for line in lines(app)[1:4]] == [" *", " *", "▸ "]
        await pilot.press("home", "space")
        assert app.table.marked == {THREE[1].path}


async def test_a_click_chooses_a_second_one_opens_and_one_on_a_head_orders() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        app.messages.clear()
        await pilot.click(RunTable, offset=(20, 2))
        await pilot.click(RunTable, offset=(20, 3), times=2)
        await pilot.click(RunTable, offset=(5, 0))
        await pilot.pause()
        assert app.messages == [
            ("highlighted", "noon"),
            ("highlighted", "dawn"),
            ("opened", "dawn"),
            ("headed", "state"),
        ]


async def test_a_click_on_the_place_of_the_mark_marks() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        await pilot.click(RunTable, offset=(0, 2))
        assert app.table.marked == {THREE[1].path}


async def test_only_lines_whose_words_changed_are_painted_again() -> None:
    app = Host(THREE)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        drawn = dict(app.table._drawn)
        app.show([THREE[0], summary("noon", phase=Phase.CRASHED), THREE[2]])
        await pilot.pause()
        again = app.table._drawn
        assert [again[row] is drawn[row] for row in (0, 1, 2)] == [True, False, True]
        assert "crashed" in lines(app)[2]


async def test_hostile_and_endless_names_are_shown_literally_in_their_columns() -> None:
    hostile = "[bold]\x1b[2J\r\n" + "名" * 100_000
    app = Host([summary(hostile, model=hostile, preset=hostile), THREE[0]])
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        first = lines(app)[1]
        assert "[bold]\\x1b[2J" in first
        assert first.endswith("3/10   1m")
        assert "\x1b" not in screen_text(app)


async def test_a_broken_directory_says_why_in_the_room_of_the_other_columns() -> None:
    problem = "/runs/torn is not a run directory: it has no config.yaml"
    app = Host([RunSummary("torn", Path("/runs/torn"), problem=problem)])
    async with app.run_test(size=(100, 10)) as pilot:
        await pilot.pause()
        assert "✗ unusable" in lines(app)[1]
        assert lines(app)[1].endswith("is not a run directory: it has no config.yaml")


async def test_a_table_of_any_width_fits_its_lines_into_it() -> None:
    for width in (20, 40, 60, 79, 100, 139, 200):
        app = Host(THREE)
        async with app.run_test(size=(width, 8)) as pilot:
            await pilot.pause()
            assert all(len(line) <= width for line in lines(app))


@pytest.mark.parametrize("width", [19, 39, 60, 80, 100, 140, 200])
def test_the_columns_fill_a_width_but_for_the_mark(width: int) -> None:
    layout = layout_for(width, 20)
    assert sum(layout.widths) + len(layout.widths) - 1 == width - 3


@pytest.mark.parametrize(
    ("width", "names", "run"),
    [
        (79, ("state", "run", "model", "reward", "curve", "step", "age"), 20),
        (59, ("state", "run", "model", "reward", "step", "age"), 10),
        (39, ("state", "run", "step"), 14),
        (24, ("state", "run"), 9),
        (19, ("state", "run"), 14),
    ],
)
def test_where_there_is_no_room_the_runs_name_is_what_stays(
    width: int, names: tuple[str, ...], run: int
) -> None:
    layout = layout_for(width, 20)
    assert layout.names == names
    assert layout.widths[1] == run


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["night", "noon", "dawn"]),
        ("QWEN", ["noon"]),
        ("state:failed", ["noon"]),
        ("state:live", ["night"]),
        ("state:ended -state:failed", ["dawn"]),
        ("model:bundled preset:demo", ["dawn"]),
        ("run:n", ["night", "noon", "dawn"]),
        ("-n", []),
        ("preset:glad night", ["night"]),
        ("unknown:thing", []),
        ("-", ["night", "noon", "dawn"]),
        ("-state:", ["night", "noon", "dawn"]),
    ],
)
def test_a_filter_keeps_what_fits_all_its_words(query: str, names: list[str]) -> None:
    assert [run.name for run in select(THREE, query)] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (Order("age"), ["night", "noon", "dawn"]),
        (Order("age", falling=True), ["dawn", "noon", "night"]),
        (Order("run"), ["dawn", "night", "noon"]),
        (Order("reward", falling=True), ["noon", "night", "dawn"]),
        (Order("reward"), ["night", "noon", "dawn"]),
        (Order("step", falling=True), ["dawn", "night", "noon"]),
        (Order("state"), ["noon", "dawn", "night"]),
        (Order("model"), ["night", "dawn", "noon"]),
        (Order("preset", falling=True), ["night", "noon", "dawn"]),
    ],
)
def test_a_list_is_ordered_by_any_column_and_what_has_no_value_comes_last(
    order: Order, names: list[str]
) -> None:
    assert [run.name for run in arrange(THREE, order)] == names


def test_the_same_column_again_turns_the_order_round() -> None:
    assert Order("run").turned_to("run") == Order("run", falling=True)
    assert Order("run").turned_to("reward") == Order("reward", falling=True)
    assert Order("reward").turned_to("run") == Order("run")


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "now"), (61, "1m"), (7199, "1h"), (86_400 * 400, "400d")]
)
def test_an_age_takes_four_cells(seconds: float, words: str) -> None:
    assert age(summary("a", started=NOW - seconds), NOW) == words


def test_a_run_that_was_never_started_has_no_age() -> None:
    assert age(RunSummary("a", Path("/a")), NOW) == ""


def test_steps_that_do_not_fit_are_told_as_a_share() -> None:
    run = summary("a", step=50_000, total=100_000)
    assert step_words(run, 13) == "50000/100000"
    assert step_words(run, 9) == "50 %"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_state_has_a_sign_and_a_word_that_fits(phase: Phase) -> None:
    sign, word = state_words(summary("a", phase=phase))
    assert len(sign) == 1
    assert 0 < len(word) <= 10


def test_text_is_cut_by_the_cells_it_takes() -> None:
    assert fitted("名前名前", 5) == "名前…"
    assert fitted("ab", 4, right=True) == "  ab"
    assert fitted("abc", 0) == ""
