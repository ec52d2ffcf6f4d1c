"""The memory plan of a run being put together, alone in a tiny app."""

import pytest
from prepare.model_folders import model_folder

from ppo_tui.config.resolve import resolve
from ppo_tui.screens.widgets.memory_panel import MemoryPanel

from .host import Host


@pytest.fixture(autouse=True)
def no_card(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def config(*settings):
    return resolve("demo", settings).config


async def settled(app, pilot):
    await app.workers.wait_for_complete()
    await pilot.pause()


async def test_the_first_plan_comes_when_the_model_was_read_and_the_next_at_once():
    app = Host(MemoryPanel())
    async with app.run_test(size=(80, 12)) as pilot:
        panel = app.query_one(MemoryPanel)
        panel.plan_run(config())
        assert panel.plan is None
        await settled(app, pilot)
        assert panel.plan is not None
        first = panel.plan.total
        panel.plan_run(config("rollout.response_tokens=64"))
        assert panel.plan.total > first


async def test_the_plan_is_of_the_last_configuration_that_was_given():
    app = Host(MemoryPanel())
    async with app.run_test(size=(80, 12)) as pilot:
        panel = app.query_one(MemoryPanel)
        panel.plan_run(config())
        panel.plan_run(config("ppo.micro_batch_size=4"))
        await settled(app, pilot)
        assert panel.plan is not None
        assert panel.plan.micro_batch == 4


async def test_a_model_that_comes_later_is_read_when_it_is_asked_for_anew(tmp_path):
    folder = tmp_path / "model"
    wanted = config(f"model.name={folder}")
    app = Host(MemoryPanel())
    async with app.run_test(size=(200, 12)) as pilot:
        panel = app.query_one(MemoryPanel)
        panel.plan_run(wanted)
        await settled(app, pilot)
        assert str(panel.content) == f"Memory: no plan: There is no model folder {folder}."
        model_folder(folder)
        panel.plan_run(wanted)
        await settled(app, pilot)
        assert panel.plan is None
        panel.forget()
        panel.plan_run(wanted)
        await settled(app, pilot)
        assert panel.plan is not None


async def test_what_was_measured_too_late_is_not_shown():
    app = Host(MemoryPanel())
    async with app.run_test(size=(80, 12)) as pilot:
        panel = app.query_one(MemoryPanel)
        panel.plan_run(config())
        panel.wait("the plan waits")
        await settled(app, pilot)
        assert str(panel.content) == "Memory: the plan waits"
