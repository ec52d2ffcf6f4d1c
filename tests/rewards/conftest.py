from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from trusting import confirmed

from ppo_tui.config.rewards import PythonTerm
from ppo_tui.rewards import Sample, WeightedSum


@pytest.fixture
def samples() -> Callable[..., list[Sample]]:
    """Samples of an empty prompt with the responses given."""

    def make(*responses: str) -> list[Sample]:
        return [Sample(prompt="", response=response, finished=True) for response in responses]

    return make


@pytest.fixture
def python_reward(tmp_path: Path) -> Callable[[str], WeightedSum]:
    """A reward of one python term, from the source of its file, which is confirmed."""

    def make(source: str) -> WeightedSum:
        path = tmp_path / "mine.py"
        path.write_text(source, encoding="utf-8")
        return WeightedSum([PythonTerm(path=str(confirmed(path)))])

    return make


@pytest.fixture
def answering(
    python_reward: Callable[[str], WeightedSum], samples: Callable[..., list[Sample]]
) -> Callable[[str], Sequence[float]]:
    """The scores of "one", "two" and "three" where the function returns an expression."""

    def score(expression: str) -> Sequence[float]:
        reward = python_reward(f"def reward(prompts, responses):\n    return {expression}\n")
        return reward.score(samples("one", "two", "three")).terms["python"]

    return score
