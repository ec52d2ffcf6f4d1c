"""What is said of a run that goes wrong, and that nothing is said of one that goes well.

The files in `recorded/` are metrics of real runs of the demo: as it is, with a batch of 32, with a
reward for longer answers, with kl_coef 0, and with ten times its learning rate.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from ppo_tui.config.schema import RunConfig
from ppo_tui.runs.diagnosis import Change, Diagnostician, Finding, from_health
from ppo_tui.runs.records import health_event

HEALTHY: Mapping[str, float] = {
    "reward/score": 0.5,
    "kl/ref": 3.0,
    "kl/coef": 0.05,
    "policy/loss": -0.01,
    "policy/approx_kl": 0.005,
    "policy/clip_fraction": 0.05,
    "policy/ratio_first": 1.0,
    "policy/entropy": 2.0,
    "value/loss": 0.1,
    "value/explained_variance": 0.4,
    "response/length": 40.0,
    "response/eos_rate": 0.9,
    "response/distinct_2": 0.8,
    "optim/lr": 1e-4,
    "optim/grad_norm": 0.5,
}


def recorded(name: str) -> list[tuple[int, dict[str, float]]]:
    with (Path(__file__).parent / "recorded" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    return [(int(row.pop("step")), {key: float(row[key]) for key in row}) for row in rows]


def codes(found: Iterable[Finding]) -> list[str]:
    return [finding.code.removeprefix("diagnosis.") for finding in found]


def after(
    doctor: Diagnostician, steps: int, first: int = 1, **changes: float
) -> tuple[Finding, ...]:
    """What is found after so many more steps that differ from healthy ones in these metrics."""
    names = {name.replace("__", "/"): value for name, value in changes.items()}
    for step in range(first, first + steps):
        # The reward moves as a healthy one does: on its own account, and a little up and down.
        metrics = {**HEALTHY, "reward/score": step / 20 + 0.01 * (-1) ** step, **names}
        doctor.observe(step, metrics)
    return doctor.findings()


def found(**changes: float) -> Finding:
    """The one finding of a run that begins healthy and goes over into these metrics."""
    doctor = Diagnostician()
    assert after(doctor, 10) == ()
    findings = after(doctor, 40, first=11, **changes)
    assert len(findings) == 1, codes(findings)
    return findings[0]


# ---- runs that were really made


@pytest.mark.parametrize("name", ["healthy", "healthy_small_batch", "healthy_longer"])
@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_said_of_a_run_that_goes_well_at_any_of_its_steps(name: str, known: bool):
    steps = recorded(name)
    config = RunConfig(steps=len(steps)) if known else None
    doctor = Diagnostician(config, budget_gib=8.0 if known else None)

    for step, metrics in steps:
        doctor.observe(step, metrics)
        assert doctor.findings() == (), step


def test_a_run_without_a_kl_penalty_is_found_out():
    doctor = Diagnostician()
    for step, metrics in recorded("without_kl_penalty"):
        doctor.observe(step, metrics)
        if step == 12:
            assert codes(doctor.findings()) == ["kl_runaway", "clip_fraction"]

    assert codes(doctor.findings()) == [
        "kl_runaway",
        "eos_lost",
        "reward_hacked",
        "length_drift",
        "value_useless",
    ]
    kl = doctor.findings()[0]
    assert kl.level == "error"
    assert kl.since_step == 10
    assert kl.cause.startswith("The policy is 268 nats a response away from the base model, 8.3")
    assert kl.change == Change("kl_coef", 0.05, live=True)


def test_a_learning_rate_that_is_too_high_is_found_out():
    doctor = Diagnostician()
    said: set[str] = set()
    for step, metrics in recorded("learning_rate_too_high"):
        doctor.observe(step, metrics)
        said |= set(codes(doctor.findings()))

    assert said == {
        "clip_fraction",
        "kl_runaway",
        "length_drift",
        "entropy_collapse",
        "reward_flat",
    }


# ---- one ailment at a time


def test_kl_running_away_is_told_with_twice_the_coefficient():
    assert found(kl__ref=50.0) == Finding(
        code="diagnosis.kl_runaway",
        level="warning",
        title="KL running away",
        cause="The policy is 50.00 nats a response away from the base model, 1.25 a token; beyond "
        "40, or 1 a token, answers tend to get worse while their score still rises.",
        remedy="Raise the KL coefficient; if the answers read badly, go back to an earlier "
        "checkpoint.",
        change=Change("kl_coef", 0.1, live=True),
        since_step=13,
    )


def test_in_short_answers_kl_runs_away_earlier():
    doctor = Diagnostician()
    after(doctor, 10, response__length=10.0)

    assert codes(after(doctor, 10, first=11, response__length=10.0, kl__ref=12.0)) == ["kl_runaway"]


@pytest.mark.parametrize(
    ("changes", "code", "title", "change"),
    [
        (
            {"kl__ref": -2.0},
            "kl_negative",
            "KL is negative",
            None,
        ),
        (
            {"policy__entropy": 0.3},
            "entropy_collapse",
            "Entropy collapse",
            Change("kl_coef", 0.1, live=True),
        ),
        (
            {"response__length": 110.0},
            "length_drift",
            "Answers grow longer",
            Change("kl_coef", 0.1, live=True),
        ),
        (
            {"response__length": 12.0},
            "length_drift",
            "Answers grow shorter",
            Change("kl_coef", 0.1, live=True),
        ),
        (
            {"response__eos_rate": 0.3},
            "eos_lost",
            "Answers no longer end",
            Change("rollout.missing_eos_penalty", 1.0, live=False),
        ),
        (
            {"value__explained_variance": -0.2},
            "value_useless",
            "Value function useless",
            Change("ppo.value", "adapter", live=False),
        ),
        (
            {"response__distinct_2": 0.25},
            "reward_hacked",
            "Reward hacked by repetition",
            Change("kl_coef", 0.1, live=True),
        ),
        (
            {"policy__ratio_first": 1.03},
            "ratio_first",
            "Ratio not 1 at the start",
            Change("model.dtype", "float32", live=False),
        ),
        (
            {"optim__grad_norm": 20.0},
            "grad_norm",
            "Gradients explode",
            Change("lr", 5e-5, live=True),
        ),
        (
            {"policy__clip_fraction": 0.4},
            "clip_fraction",
            "Steps too large",
            Change("lr", 5e-5, live=True),
        ),
        (
            {"policy__approx_kl": 0.2},
            "clip_fraction",
            "Steps too large",
            Change("lr", 5e-5, live=True),
        ),
        (
            {"reward__score": -3.0},
            "reward_flat",
            "Reward is falling",
            Change("lr", 5e-5, live=True),
        ),
    ],
)
def test_an_ailment_is_named_with_what_would_help(
    changes: dict[str, float], code: str, title: str, change: Change | None
):
    finding = found(**changes)

    assert (finding.code, finding.title) == (f"diagnosis.{code}", title)
    assert (finding.level, finding.change) == ("warning", change)
    assert finding.cause.endswith(".")
    assert finding.remedy.endswith(".")


def test_a_number_that_is_none_is_told_at_once_and_only_while_it_lasts():
    doctor = Diagnostician()
    after(doctor, 10)

    (finding,) = after(doctor, 1, first=11, policy__loss=math.nan)
    assert (finding.code, finding.level) == ("diagnosis.not_finite", "error")
    assert finding.cause == "policy/loss is not a finite number."
    assert after(doctor, 1, first=12) == ()


def test_a_reward_that_never_moves_is_flat_and_a_higher_rate_is_offered_near_the_base():
    doctor = Diagnostician()

    assert after(doctor, 29, reward__score=0.5, kl__ref=0.1) == ()
    (finding,) = after(doctor, 10, first=30, reward__score=0.5, kl__ref=0.1)
    assert finding.title == "Reward is flat"
    assert finding.cause == (
        "The reward was 0.500 at the start and is 0.500 after 39 steps, with the policy still "
        "close to the base model."
    )
    assert finding.change == Change("lr", 2e-4, live=True)


def test_a_reward_that_stays_where_it_has_risen_to_is_not_flat():
    doctor = Diagnostician()
    after(doctor, 20)

    assert after(doctor, 100, first=21, reward__score=1.0) == ()


def test_answers_that_never_ended_have_lost_nothing():
    assert after(Diagnostician(), 30, response__eos_rate=0.0) == ()


def test_a_length_that_a_term_of_the_reward_asks_for_is_no_drift():
    doctor = Diagnostician()
    after(doctor, 10, reward__length=0.1)

    assert after(doctor, 20, first=11, response__length=120.0, reward__length=0.9) == ()


def test_a_critic_with_an_adapter_of_its_own_is_offered_a_higher_rate():
    config = RunConfig.model_validate({"ppo": {"value": "adapter"}, "optim": {"lr": 1e-3}})
    (finding,) = after(Diagnostician(config), 40, value__explained_variance=-0.2)

    assert finding.change == Change("optim.value_lr", 2e-3, live=False)


def test_a_sampler_that_is_cut_is_named_as_the_remedy_of_a_negative_kl():
    config = RunConfig.model_validate({"rollout": {"top_p": 0.9}})
    (finding,) = after(Diagnostician(config), 40, kl__ref=-2.0)

    assert finding.change == Change("rollout.top_p", 1.0, live=False)


def test_without_a_kl_coefficient_a_usual_one_is_offered():
    doctor = Diagnostician()
    after(doctor, 10)
    (finding,) = after(doctor, 20, first=11, kl__ref=90.0, kl__coef=0.0)

    assert finding.level == "error"
    assert finding.change == Change("kl_coef", 0.05, live=True)


# ---- memory


def test_memory_near_the_budget_is_told_with_less_of_it():
    doctor = Diagnostician(RunConfig(), budget_gib=12.0)

    assert after(doctor, 5, memory__peak_gib=10.9) == ()
    (finding,) = after(doctor, 1, first=6, memory__peak_gib=11.5)
    assert finding.title == "Memory near its limit"
    assert finding.cause == "11.5 of 12.0 GiB were in use at the highest."
    assert finding.change == Change("engine.memory_gib", 9.2, live=False)
    assert finding.level == "warning"
    assert after(doctor, 1, first=7, memory__peak_gib=11.9)[0].level == "error"


def test_more_memory_than_planned_is_told_without_a_budget():
    doctor = Diagnostician()

    assert after(doctor, 5, memory__peak_gib=0.9, memory__planned_gib=0.2) == ()
    (finding,) = after(doctor, 1, first=6, memory__peak_gib=7.0, memory__planned_gib=5.0)
    assert finding.title == "More memory than planned"
    assert finding.cause == "7.0 GiB were in use at the highest, and 5.0 GiB were planned."


# ---- over time


def test_one_odd_step_is_no_news():
    doctor = Diagnostician()
    after(doctor, 10)
    odd = {"kl__ref": 500.0, "policy__entropy": 0.0, "policy__clip_fraction": 1.0}

    assert after(doctor, 1, first=11, **odd) == ()
    assert after(doctor, 8, first=12) == ()


def test_a_finding_goes_when_the_run_is_well_again():
    doctor = Diagnostician()
    after(doctor, 10)

    assert codes(after(doctor, 10, first=11, kl__ref=50.0)) == ["kl_runaway"]
    assert codes(after(doctor, 2, first=21)) == ["kl_runaway"]
    assert after(doctor, 5, first=23) == ()


def test_a_metric_at_its_threshold_makes_no_finding_come_and_go():
    doctor = Diagnostician()
    after(doctor, 10)
    said = [
        codes(after(doctor, 1, first=step, policy__clip_fraction=0.3 + 0.02 * (-1) ** (step // 4)))
        for step in range(11, 80)
    ]

    changes = sum(before != now for before, now in pairwise(said))
    assert changes == 1
    assert said[-1] == ["clip_fraction"]


def test_errors_come_before_warnings():
    doctor = Diagnostician()
    after(doctor, 10)
    findings = after(doctor, 10, first=11, policy__clip_fraction=0.4, response__eos_rate=0.01)

    assert [(finding.code, finding.level) for finding in findings] == [
        ("diagnosis.eos_lost", "error"),
        ("diagnosis.clip_fraction", "warning"),
    ]


def test_a_journal_that_was_cut_back_begins_anew():
    doctor = Diagnostician()
    after(doctor, 10)
    assert after(doctor, 20, first=11, kl__ref=90.0)

    doctor.observe(1, HEALTHY)
    assert doctor.findings() == ()


def test_a_long_run_that_is_opened_at_once_is_judged_by_its_end():
    doctor = Diagnostician()
    for step in range(1, 20_001):
        kl = 3.0 if step < 15_000 else 50.0
        doctor.observe(step, {**HEALTHY, "reward/score": step / 20, "kl/ref": kl})

    (finding,) = doctor.findings()
    assert finding.code == "diagnosis.kl_runaway"
    assert finding.since_step is not None
    assert 15_000 <= finding.since_step <= 15_200


def test_a_journal_of_other_metrics_is_no_trouble():
    doctor = Diagnostician()
    for step in range(50):
        doctor.observe(step, {"something/else": 1.0})

    assert doctor.findings() == ()


# ---- the worker's own checks


def test_a_health_event_takes_the_same_form():
    event = health_event(0, "health.no_kl_penalty", "Nothing holds it.", hint="Set ppo.kl_coef.")

    assert from_health(event) == Finding(
        "health.no_kl_penalty",
        "warning",
        "No KL penalty",
        "Nothing holds it.",
        "Set ppo.kl_coef.",
        Change("kl_coef", 0.05, live=True),
        0,
    )


def test_what_the_metrics_show_as_well_has_one_code():
    event = health_event(3, "health.ratio_first", "It differs.", level="error")

    assert from_health(event).code == "diagnosis.ratio_first"
    assert from_health(event).level == "error"


@pytest.mark.parametrize(
    ("rollout", "change"),
    [
        ({"top_p": 0.9}, Change("rollout.top_p", 1.0, False)),
        ({"top_k": 5}, Change("rollout.top_k", 0, False)),
    ],
)
def test_a_cut_sampler_is_mended_by_the_setting_that_cuts_it(
    rollout: dict[str, float], change: Change
):
    event = health_event(0, "health.sampler_cut", "It is cut.")
    config = RunConfig.model_validate({"rollout": rollout})

    assert from_health(event, config).change == change


def test_a_health_event_of_a_newer_worker_keeps_its_words():
    finding = from_health(health_event(5, "health.disk_slow", "It is slow.", hint="Wait."))

    assert (finding.title, finding.cause, finding.remedy) == ("Disk slow", "It is slow.", "Wait.")
    assert finding.change is None
