"""What the base reads in a response: its own states, pooled, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from models import ARCHITECTURES, load_roles, perturb, uneven_batch
from training.toys import make_trainer, measured_of

from ppo_tui.rewards.protocol import REFERENCE
from ppo_tui.taste.reading import BLOCKS, SKETCH
from ppo_tui.training.candidates import read_sequences, read_texts, write_candidates


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_reading_does_not_depend_on_the_batch(model_folder, architecture):
    roles, batch = load_roles(model_folder(architecture)), uneven_batch()
    _, together = roles.reference_reading(batch)
    width = min(roles.trunk.hidden_size, SKETCH)
    assert together.shape == (len(batch), len(BLOCKS) * width + 1)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for row in range(len(batch)):
        _, alone = roles.reference_reading(batch.select(torch.tensor([row])))
        assert np.abs(together[row] - alone[0]).max() < 1e-4


def test_a_reading_is_made_of_the_states_of_the_response(model_folder):
    roles, batch = load_roles(model_folder("llama")), uneven_batch()
    _, readings = roles.reference_reading(batch)
    one = batch.select(torch.tensor([2]))
    prompt, length = int(one.prompt_lengths[0]), int(one.response_lengths[0])
    ids = torch.cat([one.prompt_ids, one.response_ids], 1)
    with torch.no_grad():
        output = roles.base.model(input_ids=ids, output_hidden_states=True)
    states = output.hidden_states[-1][0].numpy()
    response = states[prompt : prompt + length]
    width = states.shape[1]
    mean, last, largest, _, of_prompt = (
        readings[2, at * width : (at + 1) * width] for at in range(5)
    )
    assert np.allclose(mean, response.mean(0), atol=1e-5)
    assert np.allclose(last, response[-1], atol=1e-5)
    assert np.allclose(largest, response.max(0), atol=1e-5)
    assert np.allclose(of_prompt, states[:prompt].mean(0), atol=1e-5)
    assert readings[2, -1] == pytest.approx(np.log(length))


def test_the_reference_pass_gives_the_same_logprobs_with_a_reading_as_without(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"))), uneven_batch()
    logprobs, _ = roles.reference_reading(batch)
    assert torch.equal(logprobs, roles.reference_logprobs(batch))


def test_what_the_policy_has_learnt_does_not_change_what_the_base_reads(model_folder):
    roles, batch = load_roles(model_folder("llama")), uneven_batch()
    _, before = roles.reference_reading(batch)
    _, after = perturb(roles).reference_reading(batch)
    assert np.array_equal(before, after)


def test_a_step_measures_the_readings_that_reading_alone_gives(small_config):
    trainer = make_trainer(small_config(ppo={"micro_batch_size": 3}))
    rollout = trainer._roll_out()
    measured = measured_of(trainer, rollout)
    alone = read_sequences(trainer.roles, rollout.sequences, 2)
    assert np.abs(measured.readings[REFERENCE] - alone).max() < 1e-4


def test_nothing_is_read_where_nobody_asks(small_config):
    trainer = make_trainer(small_config(ratings={"pool": 0}))
    assert measured_of(trainer, trainer._roll_out()).readings == {}


def test_the_same_step_and_seed_write_the_same_candidates(small_config):
    trainer = make_trainer(small_config())
    one, same, later = (
        write_candidates(trainer.roles, trainer.config, trainer.data, step, 6) for step in (0, 0, 1)
    )
    assert [text.response for text in one] == [text.response for text in same]
    assert [text.response for text in one] != [text.response for text in later]
    assert one[0].prompt == one[1].prompt != one[2].prompt == one[3].prompt


def test_writing_candidates_draws_nothing_from_the_training(small_config):
    def loss(writes):
        trainer = make_trainer(small_config(steps=1))
        if writes:
            write_candidates(trainer.roles, trainer.config, trainer.data, 0, 10)
        return next(trainer.steps()).metrics["policy/loss"]

    assert loss(True) == loss(False)


def test_a_text_that_ended_is_read_again_as_it_was_read_first(small_config):
    trainer = make_trainer(small_config())
    prompts = [("the cat sat", " on the mat"), ("a", "")]
    readings = read_texts(trainer.roles, trainer.config, prompts)
    assert readings.shape[0] == 2
    assert np.isfinite(readings).all()
    again = read_texts(trainer.roles, trainer.config, prompts[:1])
    assert np.abs(readings[0] - again[0]).max() < 1e-4
