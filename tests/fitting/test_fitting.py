"""The process that fits with the model: readings that were missing, and reward adapters."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from models import load_roles
from training.toys import VOWELS, trained_weights

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.config.rewards import AdapterTerm
from ppo_tui.errors import ModelError, RewardError
from ppo_tui.fit_messages import Failure, Read, Status, Trained, adapter_command, read_reply
from ppo_tui.fitting import Fitting, _as_ours
from ppo_tui.plan.identity import base_identity
from ppo_tui.rewards.adapter import AdapterReward
from ppo_tui.rewards.protocol import Sample
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.ratings import About, RatingsFile, new_pair, new_rating
from ppo_tui.taste.artefact import load_artefact
from ppo_tui.taste.reading import decode
from ppo_tui.training.judged_texts import encode_texts
from ppo_tui.training.setup import build_trainer

GOOD, BAD = ["good", "the sea"], ["bad", "a mat"]


def texts(count):
    """Good ones and bad ones in turn; which word a text holds is what the person goes by."""
    made = []
    for i in range(count):
        word = (GOOD, BAD)[i % 2][i // 2 % 2]
        made.append((f"{i} the cat", f" {word} dog {i}"))
    return made


@pytest.fixture
def make_run(tmp_path, small_config):
    """A run on a tiny model whose texts were rated without a reading, as in an older run."""

    def make(architecture="llama", count=24, pairs=0, **changes):
        config = small_config(architecture, **changes)
        run = RunDirectory.create(tmp_path / architecture, config_to_yaml(config), total=4)
        base = base_identity(config.model)
        head = ("ann", config.model.name, base, run.name)
        abouts = [About(p, r, f"1-{i}", 1) for i, (p, r) in enumerate(texts(count + 2 * pairs))]
        given = [
            new_rating(*head, each, 5 if i % 2 == 0 else 1) for i, each in enumerate(abouts[:count])
        ]
        rest = abouts[count:]
        given += [new_pair(*head, rest[2 * i], rest[2 * i + 1], 1.0) for i in range(pairs)]
        RatingsFile(run.ratings_path).append(*given)
        return run

    return make


def trained(run, to, *, epochs=4):
    heard = []
    Fitting([str(run.path)], heard.append).train(to, epochs, 0, overwrite=False)
    return heard


# ---- readings


def test_ratings_of_an_older_run_get_the_readings_that_they_lack(make_run):
    heard = []
    run = make_run()
    Fitting([str(run.path)], heard.append).read()
    read = [reply for reply in heard if isinstance(reply, Read)]
    assert [(reply.prompt, reply.response) for reply in read] == texts(24)
    assert len(decode(read[0].reading)) == 5 * 64 + 1
    said = [reply.message for reply in heard if isinstance(reply, Status)]
    assert said[-1] == "24 rated texts have no reading yet; the base model reads them."


def test_a_base_that_is_not_there_any_more_is_told(make_run, tmp_path):
    run = make_run()
    text = run.ratings_path.read_text()
    base = json.loads(text.splitlines()[0])["base"]
    run.ratings_path.write_text(text.replace(base, f"sha256:{'c' * 64}"))
    with pytest.raises(ModelError, match="its weights are others by now") as refused:
        Fitting([str(run.path)], lambda _: None)
    assert refused.value.code == "reward.base_missing"


# ---- reward adapters


@pytest.mark.parametrize(
    ("architecture", "quantization", "pairs"),
    [("llama", "none", 8), ("gpt2", "none", 0), ("llama", "nf4", 0)],
)
def test_an_adapter_is_saved_and_scores_in_a_run_of_another_rank(
    make_run, model_folder, tmp_path, architecture, quantization, pairs
):
    run = make_run(architecture, pairs=pairs, model={"quantization": quantization})
    heard = trained(run, tmp_path / "reward")
    artefact = load_artefact(tmp_path / "reward")
    assert (artefact.kind, artefact.ratings, artefact.pairs) == ("adapter", 24, pairs)
    assert artefact.more["held_out"] == 24 + pairs
    (told,) = [reply for reply in heard if isinstance(reply, Trained)]
    assert set(told.adapter) == set(told.taste) == {"correlation", "accuracy"}
    assert (told.adapter["accuracy"] is None) == (pairs == 0)
    assert told.better in ("", "adapter", "taste")

    reward = AdapterReward(AdapterTerm(path=str(tmp_path / "reward"), name="ann"))
    roles = load_roles(model_folder(architecture), quantization=quantization, rank=4)
    roles.load_reward_adapter(reward.reading, reward.adapter)
    pooled = roles.pooled("ann", encode_texts(roles.base, texts(24), chat=False)).numpy()
    samples = [
        Sample(prompt, response, True, {"ann": row})
        for (prompt, response), row in zip(texts(24), pooled, strict=True)
    ]
    scores = np.array(reward(samples))
    assert scores.min() >= 1
    assert scores.max() <= 5
    assert scores[::2].mean() > scores[1::2].mean() + 2


def test_an_adapter_of_another_base_is_refused_where_it_scores(make_run, tmp_path):
    trained(make_run(), tmp_path / "reward", epochs=1)
    reward = AdapterReward(AdapterTerm(path=str(tmp_path / "reward")))
    with pytest.raises(RewardError, match="it was trained on another base") as refused:
        reward([Sample("a", "b", True, {"adapter": np.zeros(32, np.float32)})])
    assert refused.value.code == "reward.other_base"


def test_a_taste_is_no_adapter_and_a_damaged_head_says_so(make_run, tmp_path):
    trained(make_run(), tmp_path / "reward", epochs=1)
    head = tmp_path / "reward" / "head.safetensors"
    head.write_bytes(head.read_bytes()[:50])
    with pytest.raises(RewardError, match="cannot be read") as refused:
        AdapterReward(AdapterTerm(path=str(tmp_path / "reward")))
    assert refused.value.code == "reward.artefact_damaged"
    record = tmp_path / "reward" / "reward.json"
    record.write_text(record.read_text().replace('"adapter"', '"human"', 1))
    with pytest.raises(RewardError):
        AdapterReward(AdapterTerm(path=str(tmp_path / "reward")))


def test_a_run_trains_the_same_beside_a_reward_adapter(make_run, small_config, tmp_path):
    trained(make_run(), tmp_path / "reward", epochs=1)
    asked = {"kind": "adapter", "path": str(tmp_path / "reward"), "weight": 0.0}
    steps = []
    for terms in ([VOWELS], [VOWELS, asked]):
        config = small_config("llama", reward={"terms": terms}, adapter={"targets": ["q_proj"]})
        trainer = build_trainer(config, lambda _: None)
        records = list(itertools.islice(trainer.steps(), 2))
        steps.append((records[1], trained_weights(trainer), torch.get_rng_state()))
    (plain, weights, state), (beside, others, after) = steps
    assert all(torch.equal(one, other) for one, other in zip(weights, others, strict=True))
    assert torch.equal(state, after)
    assert plain.metrics["reward/score"] == beside.metrics["reward/score"]
    assert 1 <= beside.metrics["reward/adapter"] <= 5


def test_memory_that_is_too_small_is_said_in_a_sentence():
    ours = _as_ours(torch.OutOfMemoryError("CUDA out of memory"))
    assert (ours.code, ours.exit_code) == ("memory.reward", 4)
    assert "fit without --adapter" in ours.hint


# ---- the process


def start(command):
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_process_says_why_it_ends_and_leaves_nothing(make_run, tmp_path):
    run = make_run(count=3)
    to = tmp_path / "reward"
    process = start(adapter_command([str(run.path)], to, epochs=2, seed=0, overwrite=False))
    failure = read_reply(process.stdout.readline())
    process.communicate(timeout=120)
    assert isinstance(failure, Failure)
    assert (process.returncode, failure.code) == (1, "ratings.few")
    assert not to.exists()


def test_the_process_ends_with_its_stdin(make_run, tmp_path):
    run = make_run(count=24)
    to = tmp_path / "reward"
    process = start(adapter_command([str(run.path)], to, epochs=1000, seed=0, overwrite=False))
    assert isinstance(read_reply(process.stdout.readline()), Status)
    process.stdin.close()
    assert process.wait(timeout=60) == 1
    assert not to.exists()
    assert not list(tmp_path.glob(".reward*"))
    process.stdout.close()
    process.stderr.close()


def test_the_command_line_reads_what_lacks_a_reading_and_fits(make_run, tmp_path):
    run = make_run()
    command = [sys.executable, "-m", "ppo_tui", "reward", "fit", str(run.path)]
    said = subprocess.run(
        [*command, "--to", str(tmp_path / "taste"), "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert (answer["kind"], answer["ratings"], answer["readings_made"]) == ("human", 24, 24)
    assert "24 rated texts have no reading yet" in said.stderr
