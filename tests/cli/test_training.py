"""The whole way, with the real worker and the bundled model."""

import os

import pytest

SMALL = [
    *("--set", "steps=2", "--set", "rollout.batch_size=4", "--set", "ppo.minibatches=1"),
    *("--set", "rollout.response_tokens=4", "--set", "eval.prompts=2", "--set", "eval.samples=2"),
    *("--set", "eval.reference_samples=2"),
]

pytestmark = pytest.mark.slow


def test_the_demo_trains_evaluates_and_leaves_an_adapter(ppo_tui, home):
    said = ppo_tui("demo", "--headless", *SMALL)
    assert said.code == 0
    assert "finished after step 2 of 2" in said.out
    assert "Mean score on prompts it was not trained on" in said.out
    assert "Share of the optimum" in said.out
    assert "What next" in said.out
    (run,) = (home / "runs").iterdir()
    adapter = run / "checkpoints" / "step-000002" / "policy"
    assert str(adapter) in said.out
    assert (adapter / "adapter_config.json").is_file()


def test_the_demo_as_json_prints_one_object(ppo_tui, tmp_path):
    said = ppo_tui(
        "demo", "--seed", "3", "--run-dir", str(tmp_path / "a" / "run"), "--json", *SMALL
    )
    assert said.code == 0
    assert said.json["run_dir"] == str(tmp_path / "a" / "run")
    assert (said.json["state"], said.json["step"]) == ("finished", 2)
    assert "reward/score" in said.json["metrics"]
    assert "share_of_optimum" in said.json
    assert "seed: 3  # --set" in (tmp_path / "a" / "run" / "config.yaml").read_text()


def test_a_detached_run_is_watched_and_not_resumed_once_finished(ppo_tui):
    detached = ppo_tui("train", "demo", "--detach", "--json", *SMALL)
    assert set(detached.json) == {"run_dir", "pid"}
    assert ppo_tui("watch", detached.json["run_dir"], "--json").json["state"] == "finished"
    again = ppo_tui("resume", detached.json["run_dir"])
    assert again.code == 0
    assert "nothing to go on with" in again.err


def test_a_reward_that_raises_ends_in_a_sentence_and_leaves_nothing(ppo_tui, home, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def reward(prompts, responses):\n    raise ValueError('no')\n"
    )
    terms = "reward.terms=[{kind: python, path: mine.py}]"
    said = ppo_tui("train", "demo", *SMALL, "--set", terms, "--trust", "mine.py", cwd=tmp_path)
    assert said.code == 1
    assert "error: " in said.err
    assert "Traceback" not in said.err
    assert not (home / "runs").exists() or os.listdir(home / "runs") == []


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_and_nothing_is_left(ppo_tui, tmp_path):
    said = ppo_tui(
        "train", "demo", *SMALL, "--set", "device=cuda", "--run-dir", str(tmp_path / "r")
    )
    assert said.code == 4
    assert "cuda" in said.err
    assert not (tmp_path / "r").exists()
