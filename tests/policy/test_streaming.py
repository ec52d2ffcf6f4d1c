"""A response written token by token is the one that the rollout would have written."""

import pytest
import torch
from models import edit_json, load_roles, make_tokenizer, perturb, random_ids, save_model
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from ppo_tui.policy.generation import generate
from ppo_tui.policy.streaming import Detokenizer, Response


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def written(response):
    pieces = []
    while not response.ended:
        pieces.append(response.write())
    return "".join(pieces)


def generated(roles, prompt, tokens, **how):
    batch = generate(roles, [prompt], tokens, seeded(), **how)
    return batch.response_ids[0, : int(batch.response_lengths[0])].tolist()


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_with_the_same_seed_it_writes_what_generate_writes(
    model_folder, architecture, quantization, reference
):
    roles = perturb(load_roles(model_folder(architecture), quantization=quantization))
    prompt = random_ids(9, seed=1)
    response = Response(roles, prompt, 20, seeded(), reference=reference)
    written(response)
    assert response.ids == generated(roles, prompt, 20, reference=reference)


def test_the_policy_and_the_reference_take_turns_without_disturbing_each_other(model_folder):
    roles = perturb(load_roles(model_folder("llama")), scale=0.2)
    prompt = random_ids(5, seed=1)
    tuned = Response(roles, prompt, 12, seeded())
    base = Response(roles, prompt, 12, seeded(), reference=True)
    while not (tuned.ended and base.ended):
        for response in (tuned, base):
            if not response.ended:
                response.write()
    assert tuned.ids == generated(roles, prompt, 12)
    assert base.ids == generated(roles, prompt, 12, reference=True)
    assert tuned.ids != base.ids


def test_the_weights_are_not_copied(model_folder):
    roles = perturb(load_roles(model_folder("llama")))
    before = {name: p.data_ptr() for name, p in roles.peft.named_parameters()}
    response = Response(roles, [5, 6], 4, seeded())
    response.write()
    assert {name: p.data_ptr() for name, p in roles.peft.named_parameters()} == before


def test_temperature_and_cuts_are_the_callers(model_folder):
    roles = perturb(load_roles(model_folder("llama"), temperature=0.3))
    prompt = random_ids(5, seed=2)
    hot = Response(roles, prompt, 12, seeded(), temperature=2.0, top_k=7, top_p=0.9)
    written(hot)
    roles.temperature = 2.0
    assert hot.ids == generated(roles, prompt, 12, top_k=7, top_p=0.9)


def test_it_ends_with_the_first_end_token_or_at_its_length(tmp_path):
    folder = save_model(tmp_path, "llama")
    edit_json(folder / "generation_config.json", eos_token_id=list(range(2, 152)))
    roles = load_roles(folder)
    lengths = set()
    for seed in range(12):
        response = Response(roles, [200 + seed], 3, seeded(seed))
        written(response)
        assert response.finished == (response.ids[-1] < 152)
        assert response.finished or len(response.ids) == 3
        lengths.add(len(response.ids))
        with pytest.raises(ValueError, match="has ended"):
            response.write()
    assert {1, 2} <= lengths


def test_the_pieces_together_are_the_whole_text(model_folder):
    # Random tokens of a byte-level vocabulary: most of them are no whole character.
    roles = load_roles(model_folder("llama"))
    for seed in range(8):
        response = Response(roles, [5], 40, seeded(seed))
        pieces = written(response)
        decode = roles.base.tokenizer.decode
        assert pieces == response.text == decode(response.ids, skip_special_tokens=True)


def pieces_of(tokenizer, ids):
    text = Detokenizer(tokenizer)
    pieces = [text.add(token) for token in ids]
    return [*pieces, text.end()]


def test_a_character_of_several_tokens_is_held_back_until_it_is_whole():
    tokenizer = make_tokenizer()
    ids = tokenizer("a€b", add_special_tokens=False)["input_ids"]
    assert pieces_of(tokenizer, ids) == ["a", "", "", "€", "b", ""]


def test_bytes_that_never_become_a_character_are_shown_as_replacements():
    tokenizer = make_tokenizer()
    (lone,) = {tokenizer("é", add_special_tokens=False)["input_ids"][0]}
    letter = tokenizer("a", add_special_tokens=False)["input_ids"][0]
    assert pieces_of(tokenizer, [letter, lone, letter, lone]) == ["a", "", "\ufffda", "", "\ufffd"]


def test_a_long_row_of_broken_bytes_does_not_hold_everything_back():
    tokenizer = make_tokenizer()
    lone = tokenizer("é", add_special_tokens=False)["input_ids"][0]
    pieces = pieces_of(tokenizer, [lone] * 10)
    assert "".join(pieces[:-1]) == "\ufffd" * 7
    assert "".join(pieces) == "\ufffd" * 10


def test_a_run_of_byte_tokens_is_held_back_until_it_is_over():
    # As of Llama 2: a byte too many turns the whole run into replacements.
    names = ["<unk>", "</s>", "▁hi", "<0xE2>", "<0x82>", "<0xAC>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    assert pieces_of(fast, [2, 3, 4, 5, 2]) == [" hi", "", "", "", "€ hi", ""]
    assert pieces_of(fast, [2, 3, 4, 5, 3]) == [" hi", "", "", "", "", "\ufffd" * 4]


def test_special_tokens_are_not_part_of_the_text():
    tokenizer = make_tokenizer()
    letter = tokenizer("a", add_special_tokens=False)["input_ids"][0]
    assert "".join(pieces_of(tokenizer, [letter, tokenizer.eos_token_id])) == "a"
