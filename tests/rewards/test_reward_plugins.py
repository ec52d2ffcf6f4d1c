"""Rewards of other packages, found by entry point."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trusting import confirmed

from ppo_tui.config.rewards import BUILT_IN_TERMS, PluginTerm, RewardTerm
from ppo_tui.errors import ExitCode, ResourceError, RewardError
from ppo_tui.rewards import Sample, WeightedSum, build

Install = Callable[..., None]

SHOUT = """
class Shout:
    def __init__(self, sign="!"):
        self.sign = sign

    def __call__(self, samples):
        return [sample.response.count(self.sign) for sample in samples]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one module that provides the reward `shout`, the way pip does."""

    def make(source: str, package: str, reference: str = "Shout") -> None:
        site = tmp_path / package
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{package}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[ppo_tui.rewards]\nshout = {package}:{reference}\n"
        )
        monkeypatch.syspath_prepend(site)

    return make


def test_an_installed_package_joins_the_registry(install: Install) -> None:
    install(SHOUT, "shout_plain")
    reward = WeightedSum([PluginTerm(kind="shout", options={"sign": "?"}, weight=0.5)])
    scores = reward.score([Sample("", "what??", True)])
    assert scores.terms == {"shout": (2.0,)}
    assert scores.total == (1.0,)


def test_a_configuration_names_a_plugin_without_importing_it(install: Install) -> None:
    install("raise RuntimeError", "shout_unimported")
    assert PluginTerm(kind="shout").label == "shout"


def test_a_plugin_that_cannot_be_imported_is_one_sentence(install: Install) -> None:
    install("import nothing_of_that_name", "shout_broken")
    with pytest.raises(RewardError) as caught:
        build(PluginTerm(kind="shout"))
    assert caught.value.code == "reward.plugin"
    assert caught.value.message == (
        "The reward 'shout' of shout_broken:Shout (package shout_broken) cannot be imported: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'."
    )


def test_a_plugin_that_is_not_in_its_package_is_one_sentence(install: Install) -> None:
    install(SHOUT, "shout_elsewhere", reference="Whisper")
    with pytest.raises(RewardError, match="cannot be imported: AttributeError"):
        build(PluginTerm(kind="shout"))


def test_a_plugin_that_refuses_its_options_is_one_sentence(install: Install) -> None:
    install(SHOUT, "shout_strict")
    with pytest.raises(RewardError, match=r"with the options given: TypeError: .*'volume'"):
        build(PluginTerm(kind="shout", options={"volume": 11}))


def test_a_plugin_that_makes_no_reward_is_refused(install: Install) -> None:
    install("def make(): return 3", "shout_number", reference="make")
    with pytest.raises(RewardError, match=r"made a int, which cannot be called with samples\."):
        build(PluginTerm(kind="shout"))


def test_a_plugin_that_raises_on_a_batch_names_its_term(install: Install) -> None:
    install("def make(): return lambda samples: 1 / 0", "shout_raises", reference="make")
    reward = WeightedSum([PluginTerm(kind="shout", name="loud")])
    with pytest.raises(RewardError) as caught:
        reward.score([Sample("", "", True)])
    assert caught.value.code == "reward.raised"
    assert caught.value.message == (
        "Reward term 'loud': it raised ZeroDivisionError: division by zero."
    )


def test_a_plugin_uninstalled_since_is_a_missing_resource() -> None:
    term = PluginTerm.model_construct(kind="sentimant", weight=1.0, name=None, options={})
    with pytest.raises(ResourceError) as caught:
        build(term)
    assert caught.value.exit_code is ExitCode.MISSING
    assert caught.value.code == "reward.plugin_missing"
    assert caught.value.message == (
        "No installed package provides the reward 'sentimant' (did you mean 'sentiment'?)."
    )


def test_two_packages_with_the_same_reward_are_refused(install: Install) -> None:
    install(SHOUT, "shout_one")
    install(SHOUT, "shout_two")
    with pytest.raises(RewardError, match=r"More than one .*: shout_one:Shout, shout_two:Shout\."):
        build(PluginTerm(kind="shout"))


def test_every_built_in_kind_of_the_configuration_can_be_built(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def reward(prompts, responses): return [0 for _ in responses]")
    options = {
        "length": {"target": 1, "tolerance": 1},
        "regex": {"pattern": "a"},
        "keywords": {"wanted": ["a"]},
        "python": {"path": str(confirmed(path))},
    }
    # A reward adapter is a folder of weights; its own tests make one.
    kinds = {kind: term for kind, term in BUILT_IN_TERMS.items() if kind != "adapter"}
    for kind, term in kinds.items():
        reward = build(term.model_validate(options.get(kind, {})))
        assert len(reward([Sample("", "a", True)])) == 1


def test_a_term_of_no_known_class_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="no reward is built from a RewardTerm"):
        build(RewardTerm(kind="sentiment"))
