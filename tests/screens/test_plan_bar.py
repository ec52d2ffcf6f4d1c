"""The memory plan in words and signs, whatever the card and the width."""

from dataclasses import replace

import pytest
from textual.app import App, ComposeResult

from ppo_tui.config.resolve import resolve
from ppo_tui.plan import MemoryPlan, plan_memory, read_architecture
from ppo_tui.screens.widgets.plan_bar import PlanBar, plan_content, what_helps

GIB = 2**30


@pytest.fixture(scope="module")
def shape():
    return read_architecture(resolve("demo").config.model)


@pytest.fixture
def plan(shape):
    def make(budget, *settings) -> MemoryPlan:
        return plan_memory(shape, resolve("demo", settings).config, budget, "cuda")

    return make


def lines(plan: MemoryPlan, width: int = 78) -> list[str]:
    return plan_content(plan, width).plain.splitlines()


def test_a_run_that_fits_says_so_and_needs_no_advice(plan):
    shown = lines(plan(8 * GIB))
    assert shown[0].startswith("Memory ✓ fits: 1.")
    assert shown[0].endswith("GiB of 8.00 GiB, the GPU (peak: update)")
    assert what_helps(plan(8 * GIB)) is None
    assert not any(" sets " in line for line in shown)


def test_every_part_is_named_with_its_size_and_its_own_sign(plan):
    made = plan(8 * GIB)
    legend = " ".join(lines(made)[2:])
    signs = []
    for part in made.peak_parts:
        before, _, after = legend.partition(f" {part.name} ")
        signs.append(before[-1])
        assert after.split()[1] in ("GiB", "MiB")
    assert len(set(signs)) == len(signs) == len(made.peak_parts)
    assert "· free" in legend


def test_the_bar_is_as_wide_as_the_room_and_shows_the_shares(plan):
    made = plan(8 * GIB)
    for width in (20, 78, 200):
        bar = lines(made, width)[1]
        assert len(bar) == width
        assert abs(bar.count("·") / width - (1 - made.total / made.budget)) < 0.1


def test_a_run_that_is_too_large_shows_where_the_card_ends(plan):
    made = plan(1 * GIB)
    shown = lines(made)
    assert shown[0].startswith("Memory ✗ does not fit")
    bar = shown[1]
    assert bar.index("┃") == round(78 * made.budget / made.total)
    assert "┃ " in " ".join(shown[2:])
    assert " too much" in " ".join(shown[2:])


def test_a_tight_run_proposes_what_leaves_the_result_as_it_is(plan):
    pinned = ("engine.micro_batch_tokens=3072", "engine.checkpointing=never")
    held = ("engine.rollout=plain", "rollout.response_tokens=32")
    made = plan(int(1.05 * plan(None, *pinned, *held).total), *pinned, *held)
    assert made.verdict == "tight"
    best = what_helps(made)
    assert best is not None
    assert best.setting.startswith("engine.")
    assert lines(made)[-1].startswith(f"f sets {best.setting} to {best.value}: saves ")


def test_the_bar_says_what_was_chosen(plan):
    assert "Chosen: 32 sequences at a time, decoding 256 responses on a merged copy, kept" in lines(
        plan(8 * GIB)
    )
    small = [line for line in lines(plan(1 * GIB)) if line.startswith("Chosen: ")]
    assert small[0].startswith("Chosen: 96 tokens with recomputation, decoding ")
    assert small[0].endswith(" without a copy")


def test_a_budget_that_was_stated_is_named_as_such(plan):
    shown = lines(plan(8 * GIB, "engine.memory_gib=4"))
    assert "GiB of 4.00 GiB allowed, the GPU" in shown[0]
    assert "allowed" not in lines(plan(2 * GIB, "engine.memory_gib=4"))[0]


def test_where_nothing_makes_it_fit_the_largest_saving_is_proposed(plan):
    made = plan(GIB // 8)
    best = what_helps(made)
    assert best is not None
    assert best == made.suggestions[0]
    assert "then" not in lines(made)[-1].partition(". ")[0]


def test_an_unknown_card_is_no_verdict(plan):
    assert lines(plan(None))[0].startswith("Memory ? unknown: it takes 1.")


def test_an_estimate_says_so(plan):
    assert lines(replace(plan(None), estimated=True))[0].endswith("(peak: update; an estimate)")


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield PlanBar()


async def test_the_widget_draws_the_plan_for_its_width_and_again_after_a_resize(plan):
    app = Host()
    async with app.run_test(size=(60, 12)) as pilot:
        bar = app.query_one(PlanBar)
        bar.show_plan(plan(8 * GIB))
        await pilot.pause()
        assert len(str(bar.content).splitlines()[1]) == 58
        await pilot.resize_terminal(100, 12)
        await pilot.pause()
        assert len(str(bar.content).splitlines()[1]) == 98


async def test_words_stand_in_place_of_a_plan_and_are_literal(plan):
    app = Host()
    async with app.run_test(size=(60, 12)) as pilot:
        bar = app.query_one(PlanBar)
        bar.show_words("[/bold] \x1b[31m is no model")
        await pilot.pause()
        assert str(bar.content) == "Memory: [/bold] \\x1b[31m is no model"
        assert bar.plan is None
