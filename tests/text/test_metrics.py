"""The words about the numbers: none is forgotten, none is a half-sentence."""

import re
from pathlib import Path

import ppo_tui
from ppo_tui.text.metrics import EXPLANATIONS, explain

PACKAGE = Path(ppo_tui.__file__).parent
GROUPS = "reward|kl|policy|value|response|optim|time|throughput|memory|eval"


def test_every_number_that_a_run_writes_is_explained() -> None:
    sources = ("training/metrics.py", "training/update.py", "training/session.py")
    text = "".join((PACKAGE / name).read_text() for name in (*sources, "evaluation/compare.py"))
    written = set(re.findall(rf'"((?:{GROUPS})/[a-z0-9_]+)"', text))
    assert len(written) > 25
    assert written - set(EXPLANATIONS) == set()


def test_the_seconds_of_every_phase_are_explained() -> None:
    phases = re.findall(r'clock\.time\("(\w+)"\)', (PACKAGE / "training/trainer.py").read_text())
    assert sorted(set(phases)) == ["reward", "rollout", "score", "update"]
    assert all(f"time/{phase}" in EXPLANATIONS for phase in phases)


def test_every_explanation_is_made_of_sentences() -> None:
    for name, explanation in EXPLANATIONS.items():
        assert explanation.words.endswith("."), name
        assert explanation.healthy.endswith("."), name
        assert 3 <= len(explanation.title) <= 24, name


def test_no_two_numbers_have_one_title() -> None:
    titles = [explanation.title for explanation in EXPLANATIONS.values()]
    assert len(set(titles)) == len(titles)


def test_a_reward_term_is_explained_by_its_own_name() -> None:
    explanation = explain("reward/politeness")
    assert explanation is not None
    assert explanation.title == "reward: politeness"


def test_the_score_is_no_reward_term() -> None:
    assert explain("reward/score") is EXPLANATIONS["reward/score"]


def test_an_unknown_number_has_no_explanation() -> None:
    assert explain("weather/wind") is None


def test_a_human_term_of_another_name_is_explained_as_one() -> None:
    assert explain("anna/outside") is EXPLANATIONS["human/outside"]


def test_what_the_human_reward_reports_is_explained() -> None:
    text = "".join(
        (PACKAGE / name).read_text() for name in ("rewards/human.py", "training/taste.py")
    )
    written = set(re.findall(r'^ +"(\w+)": float\(', text, re.M))
    written |= set(re.findall(r'\{self\._label\}/(\w+)"', text))
    assert written >= {"mean", "std", "penalty", "outside", "ratings", "agreement"}
    assert all(f"human/{name}" in EXPLANATIONS for name in written)


def test_the_page_of_the_docs_says_the_same() -> None:
    from tools.metrics_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page()
