import subprocess
import sys
from collections.abc import Callable

import pytest

from ppo_tui.config.rewards import KeywordsTerm, LengthTerm, RegexTerm, SentimentTerm
from ppo_tui.errors import RewardError
from ppo_tui.rewards import Sample, TermScores, WeightedSum

Make = Callable[..., list[Sample]]


def test_the_total_is_the_weighted_sum_and_the_terms_are_not_weighted(samples: Make) -> None:
    reward = WeightedSum(
        [
            RegexTerm(pattern="a", weight=2),
            LengthTerm(target=1, tolerance=1, weight=-0.5, name="short"),
        ]
    )
    assert reward.score(samples("a", "b", "a b")) == TermScores(
        total=(1.5, -0.5, 2.0),
        terms={"regex": (1.0, 0.0, 1.0), "short": (1.0, 1.0, 0.0)},
    )


def test_terms_of_one_kind_are_kept_apart_by_their_names(samples: Make) -> None:
    reward = WeightedSum(
        [RegexTerm(pattern="a", name="a"), RegexTerm(pattern="b", name="b", weight=0)]
    )
    assert reward.labels == ("a", "b")
    assert reward.score(samples("ab")).terms == {"a": (1.0,), "b": (1.0,)}


def test_no_samples_have_no_scores_and_call_no_reward(
    python_reward: Callable[[str], WeightedSum],
) -> None:
    reward = python_reward("def reward(prompts, responses): return 1 / 0")
    assert reward.score([]) == TermScores(total=(), terms={"python": ()})


def test_a_term_that_fails_is_named_by_its_label(samples: Make) -> None:
    reward = WeightedSum([SentimentTerm(), RegexTerm(pattern="(a|aa)+$", name="slow")])
    with pytest.raises(RewardError, match=r"^Reward term 'slow': the pattern") as caught:
        reward.score(samples("a" * 100 + "b"))
    assert caught.value.code == "reward.timeout"


def test_a_sum_beyond_what_float32_can_square_is_refused(samples: Make) -> None:
    reward = WeightedSum([RegexTerm(pattern="a", count=True, weight=1e308)])
    with pytest.raises(RewardError, match=r"is 1e\+308 for responses\[0\] = 'a'; use smaller"):
        reward.score(samples("a", "aaa"))


def test_two_terms_cannot_share_a_label() -> None:
    with pytest.raises(ValueError, match="the same label"):
        WeightedSum([KeywordsTerm(wanted=("a",)), KeywordsTerm(wanted=("b",))])


def test_rewards_load_neither_torch_nor_a_lexicon_before_they_are_asked() -> None:
    check = (
        "import sys, ppo_tui.rewards\n"
        "from ppo_tui.config.rewards import SentimentTerm\n"
        "ppo_tui.rewards.WeightedSum([SentimentTerm()])\n"
        "print(sorted({'torch', 'transformers', 'vaderSentiment'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
