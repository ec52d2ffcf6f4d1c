"""The model answers as the training would: its prompts, its temperature, its adapters."""

import itertools
import shutil
from types import SimpleNamespace

import psutil
import pytest
import torch

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.conversation import Ask, Done, Piece, Status
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.errors import CheckpointError, ConfigError, DataError, OutOfMemory
from ppo_tui.playground import Playground
from ppo_tui.policy.generation import generate
from ppo_tui.runs.directory import RunDirectory

from .tuned import save_tuned

PROMPT = "the cat sat"


class Heard(list):
    """The replies, in order."""

    def done(self):
        return {reply.who: reply for reply in self if isinstance(reply, Done)}

    def text(self, who):
        return "".join(r.text for r in self if isinstance(r, Piece) and r.who == who)


def never():
    return False


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def trainer(run, config):
    return save_tuned(run, config, [3])


@pytest.fixture
def playground(run, trainer, heard):
    return Playground(run, None, heard.append)


def expected(trainer, config, prompt, seed, *, reference):
    """The tokens that a rollout of the run would write to a prompt."""
    base = trainer.roles.base
    generator = torch.Generator().manual_seed(seed)
    tokens = config.rollout.response_tokens
    batch = generate(trainer.roles, [prompt], tokens, generator, reference=reference)
    ids = batch.response_ids[0, : int(batch.response_lengths[0])].tolist()
    return base.tokenizer.decode(ids, skip_special_tokens=True)


def test_it_says_what_it_does_and_then_what_is_loaded(playground, heard):
    assert all(isinstance(reply, Status) for reply in heard)
    assert "Loading a copy of" in heard[-1].message
    ready = playground.ready()
    assert (ready.device, ready.step, ready.temperature, ready.max_tokens) == ("cpu", 3, 0.9, 12)


def test_both_answer_as_they_would_in_the_training(playground, heard, trainer, config):
    playground.answer(Ask("7", PROMPT, seed=11), never)
    ids = trainer.roles.base.tokenizer(PROMPT)["input_ids"]
    done = heard.done()
    assert done["tuned"].text == expected(trainer, config, ids, 11, reference=False)
    assert done["base"].text == expected(trainer, config, ids, 11, reference=True)
    assert done["base"].text != done["tuned"].text
    for who in ("base", "tuned"):
        assert heard.text(who) == done[who].text
        assert done[who].id == "7"
        assert done[who].seed == 11
        assert done[who].tokens <= 12
        assert done[who].finished or done[who].tokens == 12


def test_both_are_written_in_turns(playground, heard):
    playground.answer(Ask("1", PROMPT, seed=1), never)
    turns = [who for who, _ in itertools.groupby(r.who for r in heard if isinstance(r, Piece))]
    assert turns[:3] == ["base", "tuned", "base"]


def test_one_alone_answers_as_it_does_beside_the_other(playground, heard):
    playground.answer(Ask("1", PROMPT, seed=5), never)
    both = {who: done.text for who, done in heard.done().items()}
    for who in ("base", "tuned"):
        heard.clear()
        playground.answer(Ask("2", PROMPT, who, seed=5), never)
        assert {name: done.text for name, done in heard.done().items()} == {who: both[who]}


def test_without_a_seed_every_answer_is_another(playground, heard):
    for number in range(3):
        playground.answer(Ask(str(number), PROMPT, "base"), never)
    assert len({reply.seed for reply in heard if isinstance(reply, Done)}) == 3


def test_temperature_and_length_are_the_askers(playground, heard):
    playground.answer(Ask("1", PROMPT, temperature=1e-4, max_tokens=3, seed=1), never)
    cold = heard.done()["tuned"]
    assert cold.tokens <= 3
    heard.clear()
    playground.answer(Ask("2", PROMPT, temperature=1e-4, max_tokens=3, seed=2), never)
    assert heard.done()["tuned"].text == cold.text


def test_a_cancel_comes_through_in_the_middle_of_an_answer(playground, heard):
    looks = itertools.count()
    playground.answer(Ask("1", PROMPT, temperature=50.0, seed=1), lambda: next(looks) >= 2)
    base, tuned = heard.done()["base"], heard.done()["tuned"]
    assert (base.cancelled, base.tokens, base.finished) == (True, 2, False)
    assert (tuned.cancelled, tuned.tokens) == (True, 0)
    assert heard.text("base") == base.text


def test_the_prompt_is_made_as_those_of_the_training(tmp_path, small_config, heard):
    config = small_config(
        data={
            "template": "Q: {prompt} A:",
            "max_prompt_tokens": 6,
            "overlong": "truncate",
            "eval_fraction": 0,
        }
    )
    run = RunDirectory.create(tmp_path / "run", config_to_yaml(config))
    trainer = save_tuned(run, config, [1])
    playground = Playground(run, None, heard.append)
    trained = PromptDataset.load(
        config.data,
        trainer.roles.base.tokenizer,
        response_tokens=config.rollout.response_tokens,
        context_length=trainer.roles.base.context_length,
    ).train[11]
    text = trained.text.removeprefix("Q: ").removesuffix(" A:")
    playground.answer(Ask("1", text, seed=3), never)
    assert len(trained.ids) == 6
    answer = expected(trainer, config, trained.ids, 3, reference=False)
    assert heard.done()["tuned"].text == answer


@pytest.mark.parametrize("overlong", ["error", "drop"])
def test_a_prompt_that_is_too_long_is_refused_with_the_limit(
    tmp_path, small_config, heard, overlong
):
    config = small_config(data={"max_prompt_tokens": 30, "overlong": overlong})
    run = RunDirectory.create(tmp_path / "run", config_to_yaml(config))
    save_tuned(run, config, [1])
    playground = Playground(run, None, heard.append)
    with pytest.raises(DataError, match="more than the limit of 30"):
        playground.answer(Ask("1", "many words " * 20), never)


def test_an_answer_longer_than_the_context_is_refused(playground):
    with pytest.raises(ConfigError, match=r"up to 128 tokens leaves no room .* context of 128"):
        playground.answer(Ask("1", PROMPT, max_tokens=128), never)


def test_without_a_checkpoint_there_is_nothing_to_talk_to(run, heard):
    with pytest.raises(CheckpointError, match="has no checkpoint yet") as caught:
        Playground(run, None, heard.append)
    assert caught.value.code == "checkpoint.none"
    assert "`ppo-tui checkpoint run`" in caught.value.hint


def test_a_damaged_checkpoint_is_passed_over(run, config, heard):
    save_tuned(run, config, [2, 4])
    weights = run.checkpoints_path / "step-000004" / "policy" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert Playground(run, None, heard.append).ready().step == 2


def test_a_checkpoint_may_be_named(run, config, heard):
    save_tuned(run, config, [2, 4])
    assert Playground(run, 2, heard.append).ready().step == 2
    with pytest.raises(CheckpointError, match="of step 3; there are those of step 2, 4"):
        Playground(run, 3, heard.append)


def test_where_all_checkpoints_are_damaged_that_is_said(run, trainer, heard):
    shutil.rmtree(run.checkpoints_path / "step-000003" / "policy")
    with pytest.raises(CheckpointError, match="step-000003 is damaged") as caught:
        Playground(run, None, heard.append)
    assert caught.value.code == "checkpoint.damaged"


def test_the_run_is_only_read(run, trainer, heard):
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    Playground(run, None, heard.append).answer(Ask("1", PROMPT), never)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_a_model_that_cannot_fit_is_refused_before_it_is_loaded(run, trainer, heard, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(OutOfMemory, match=r"takes 0\.\d MiB, and cpu has 0\.0 MiB left") as caught:
        Playground(run, None, heard.append)
    assert caught.value.code == "memory.playground"
    assert "Loading a copy" not in heard[-1].message
