"""Slots write what transformers' own growing cache writes, in any number and with little memory."""

import pytest
import torch
from models import ARCHITECTURES, edit_json, load_roles, perturb, random_ids, save_model
from scipy.stats import chi2

from ppo_tui.errors import OutOfMemory
from ppo_tui.policy.adapters import tuner_layers
from ppo_tui.policy.decoder import Decoding

SLOTS = [name for name in sorted(ARCHITECTURES) if name != "gemma2"]
PROMPTS = [random_ids(length, seed=length) for length in (4, 11, 1, 7, 2, 9, 5)]
TOKENS = 8


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(roles, how, prompts=PROMPTS, tokens=TOKENS, seed=0, **cut):
    roles.decoder.decoding = how
    return roles.decoder.sample(prompts, tokens, seeded(seed), **cut)


def same_texts(one, other):
    one, other = one.sequences, other.sequences
    return torch.equal(one.response_ids, other.response_ids) and torch.equal(
        one.response_lengths, other.response_lengths
    )


PLAIN = Decoding(kind="plain")


@pytest.fixture(scope="module")
def ending(tmp_path_factory):
    """A trained model for which a sixth of all tokens end a response."""
    folder = save_model(tmp_path_factory.mktemp("ending"), "llama")
    edit_json(folder / "generation_config.json", eos_token_id=list(range(2, 52)))
    return perturb(load_roles(folder))


# ---- the same tokens


@pytest.mark.parametrize("architecture", SLOTS)
def test_slots_write_what_a_growing_cache_writes(model_folder, architecture):
    roles = perturb(load_roles(model_folder(architecture)))
    for seed in (0, 1):
        plain = sampled(roles, PLAIN, seed=seed)
        for slots in (None, 2):
            found = sampled(roles, Decoding(kind="slots", slots=slots), seed=seed)
            assert same_texts(found, plain)
            assert (found.logprobs - plain.logprobs).abs().max() < 1e-4


@pytest.mark.parametrize("slots", [1, 2, 3, None])
@pytest.mark.parametrize("seed", [2, 3])
def test_slots_whose_responses_have_ended_are_filled_again(ending, slots, seed):
    prompts = [random_ids(1 + row % 5, seed=row) for row in range(20)]
    plain = sampled(ending, PLAIN, prompts, seed=seed)
    assert len(set(plain.sequences.response_lengths.tolist())) > 3
    assert same_texts(sampled(ending, Decoding(slots=slots), prompts, seed=seed), plain)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_with_4_bits_and_adapters_beside_the_weights_it_is_the_same(model_folder, architecture):
    roles = perturb(load_roles(model_folder(architecture), quantization="nf4"))
    plain = sampled(roles, Decoding(kind="plain", merged=False))
    assert same_texts(sampled(roles, Decoding(kind="slots", merged=False, slots=3)), plain)
    assert not roles.merged.made


@pytest.mark.parametrize("cut", [{"top_k": 3}, {"top_p": 0.6}, {"top_k": 9, "top_p": 0.8}])
def test_cuts_of_the_distribution_are_the_same(ending, cut):
    plain = sampled(ending, PLAIN, **cut)
    assert same_texts(sampled(ending, Decoding(slots=3), **cut), plain)
    assert not same_texts(sampled(ending, PLAIN), plain)


def test_the_reference_answers_in_slots_as_it_does_otherwise(ending):
    plain = sampled(ending, PLAIN, reference=True)
    assert same_texts(sampled(ending, Decoding(slots=3), reference=True), plain)
    assert not same_texts(sampled(ending, PLAIN), plain)


def test_responses_of_a_single_token_need_no_step(ending):
    plain = sampled(ending, PLAIN, tokens=1)
    assert plain.sequences.response_ids.shape == (7, 1)
    with passes_of(ending) as seen:
        found = sampled(ending, Decoding(slots=3), tokens=1)
    assert same_texts(found, plain)
    assert all(width > 1 for _, width in seen[:2])
    assert sum(width for _, width in seen) == sum(map(len, PROMPTS))


@pytest.mark.parametrize("architecture", SLOTS)
@torch.no_grad()
def test_log_probabilities_of_the_sampler_are_those_of_the_training_pass(
    model_folder, architecture
):
    roles = perturb(load_roles(model_folder(architecture), temperature=0.7))
    for how in (Decoding(kind="slots", slots=3), PLAIN):
        sequences, logprobs = sampled(roles, how)
        expected = roles.policy_pass(sequences).logprobs
        assert (logprobs - expected).abs().max() < 1e-4
        assert (logprobs[~sequences.response_mask] == 0).all()


# ---- the same distribution as transformers' `generate`

TEXTS = 6000


def texts_of_two_tokens(rows):
    """Each text as one number; one that has ended is padded, there as here."""
    return (rows[:, 0] * 1000 + rows[:, 1]).tolist()


def chance_of_one_distribution(one, other):
    """p of a chi-square test that two samples of equal size are of the same distribution.

    Texts seen fewer than ten times in both together are counted as one.
    """
    counts = {}
    for which, sample in enumerate((one, other)):
        for text in sample:
            counts.setdefault(text, [0, 0])[which] += 1
    often = [pair for pair in counts.values() if sum(pair) >= 10]
    rest = [pair for pair in counts.values() if sum(pair) < 10]
    cells = [*often, [sum(pair[0] for pair in rest), sum(pair[1] for pair in rest)]]
    statistic = sum((a - b) ** 2 / (a + b) for a, b in cells if a + b)
    return len(cells), float(chi2.sf(statistic, len(cells) - 1))


def by_transformers(roles, prompt, temperature, seed):
    ids = torch.tensor([prompt]).expand(TEXTS, -1)
    with roles.sampling(), torch.random.fork_rng():
        torch.manual_seed(seed)
        output = roles.base.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=2,
            pad_token_id=roles.base.vocabulary.pad_id,
        )
    return texts_of_two_tokens(output[:, len(prompt) :])


@pytest.mark.parametrize(
    ("architecture", "temperature"), [("llama", 0.6), ("gpt2", 0.6), ("gemma3", 1.5)]
)
def test_whole_texts_have_the_distribution_of_those_of_transformers(
    model_folder, architecture, temperature
):
    # At these temperatures there are many texts, and many of them are seen often.
    roles = perturb(load_roles(model_folder(architecture), temperature=temperature))
    prompt, how = random_ids(5, seed=1), Decoding(kind="slots", slots=TEXTS // 4)
    sequences, _ = sampled(roles, how, [prompt] * TEXTS, 2, seed=5)
    ours = texts_of_two_tokens(sequences.response_ids)
    theirs = by_transformers(roles, prompt, temperature, seed=6)
    cells, chance = chance_of_one_distribution(ours, theirs)
    assert cells > 30
    assert chance > 1e-3
    # And the test would have noticed a distribution that is a little flatter.
    flatter = by_transformers(roles, prompt, 7 / 6 * temperature, seed=7)
    assert chance_of_one_distribution(ours, flatter)[1] < 1e-6


# ---- what it costs


class passes_of:
    """The shapes ``[B, T]`` of all passes through the model meanwhile."""

    def __init__(self, roles):
        self._body = roles.trunk._body
        self.seen = []

    def __enter__(self):
        def look(module, args, kwargs):
            self.seen.append(tuple(kwargs["input_ids"].shape))

        self._handle = self._body.register_forward_pre_hook(look, with_kwargs=True)
        return self.seen

    def __exit__(self, *error):
        self._handle.remove()


def test_a_prompt_that_several_responses_share_is_computed_once(ending):
    prompts = [random_ids(length, seed=length) for length in (5, 7, 4) for _ in range(8)]
    with passes_of(ending) as seen:
        found = sampled(ending, Decoding(kind="slots"), prompts)
    assert [shape for shape in seen if shape[1] > 1] == [(1, 5 + 7 + 4)]
    assert same_texts(found, sampled(ending, PLAIN, prompts))
    assert len({tuple(row) for row in found.sequences.response_ids[:8].tolist()}) > 4


def test_a_growing_cache_drops_what_has_ended(ending):
    with passes_of(ending) as seen:
        found = sampled(ending, PLAIN)
    lengths = found.sequences.response_lengths.tolist()
    expected = [sum(length > step for length in lengths) for step in range(max(lengths))]
    assert [rows for rows, _ in seen] == expected


# ---- what is kept


@pytest.mark.parametrize("options", [{}, {"quantization": "nf4"}])
def test_what_is_kept_gives_the_same_texts_and_follows_the_adapter(model_folder, options):
    kept, anew = (perturb(load_roles(model_folder("llama"), **options)) for _ in range(2))
    decoders = set()
    texts = []
    for seed in range(3):
        found = sampled(kept, Decoding(merged=True, keep=True, slots=3), seed=seed)
        expected = sampled(anew, Decoding(merged=True, slots=3), seed=seed)
        assert same_texts(found, expected)
        assert kept.merged.made
        assert not anew.merged.made
        assert anew.decoder._kept is None
        decoders.add(id(kept.decoder._kept[1]))
        texts.append(found.sequences.response_ids)
        for roles in (kept, anew):
            perturb(roles, scale=0.1, seed=seed)
    assert len(decoders) == 1
    kept.decoder.release()
    assert not kept.merged.made
    assert kept.decoder._kept is None


def test_a_kept_decoder_of_other_prompts_or_sizes_is_made_anew(ending):
    keep = Decoding(keep=True, slots=2)
    for prompts, tokens in [(PROMPTS, 8), (PROMPTS[:3], 8), (PROMPTS[:3], 5), (PROMPTS, 8)]:
        found = sampled(ending, keep, prompts, tokens)
        assert same_texts(found, sampled(ending, PLAIN, prompts, tokens))
    ending.decoder.release()


# ---- memory that runs out


class RunsOut:
    """Lets passes through the model run out of memory where `when` says so of their ``[B, T]``."""

    def __init__(self, roles, when, error=None):
        self._body, self._when = roles.trunk._body, when
        self._error = error or self._out
        self.times = 0

    @staticmethod
    def _out():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    def __enter__(self):
        def look(module, args, kwargs):
            if self._when(*kwargs["input_ids"].shape):
                self.times += 1
                self._error()

        self._handle = self._body.register_forward_pre_hook(look, with_kwargs=True)
        return self

    def __exit__(self, *error):
        self._handle.remove()


def in_vain():
    """What the CPU's allocator says of a tensor that no machine can hold."""
    torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize(("kind", "error"), [("slots", None), ("plain", in_vain)])
def test_memory_that_runs_out_halves_the_responses_at_a_time_and_changes_no_token(
    ending, kind, error, monkeypatch
):
    expected = sampled(ending, Decoding(kind=kind))
    before = torch.cat([p.flatten() for p in ending.peft.parameters()]).clone()
    told = []
    monkeypatch.setattr(ending.decoder, "told", lambda *change: told.append(change))
    # Seven rows do not fit, four do not, two do.
    with RunsOut(ending, lambda rows, width: width == 1 and rows > 2, error) as out:
        found = sampled(ending, Decoding(kind=kind, slots=100))
        assert out.times == 2
        assert ending.decoder.decoding.slots == 2
        # And it is remembered: nothing runs out any more.
        again = ending.decoder.sample(PROMPTS, TOKENS, seeded())
        assert out.times == 2
    assert told == [(7, 4), (4, 2)]
    assert same_texts(found, expected)
    assert same_texts(again, expected)
    assert (found.logprobs - expected.logprobs).abs().max() < 1e-4
    assert torch.equal(torch.cat([p.flatten() for p in ending.peft.parameters()]), before)


def test_memory_that_runs_out_in_the_pass_over_the_prompts_does_as_well(ending):
    expected = sampled(ending, PLAIN)
    with RunsOut(ending, lambda rows, width: width > 20) as out:
        assert same_texts(sampled(ending, Decoding(kind="slots")), expected)
    # The two longest prompts together, 20 tokens, are the most that fits.
    assert (out.times, ending.decoder.decoding.slots) == (2, 2)


def test_memory_that_runs_out_when_some_responses_are_complete_does_as_well(ending):
    expected = sampled(ending, PLAIN)
    passes = []

    def tenth(rows, width):
        passes.append(rows)
        return len(passes) == 10

    with RunsOut(ending, tenth):
        assert same_texts(sampled(ending, Decoding(kind="slots", slots=2)), expected)
    assert len(passes) > 20
    assert ending.decoder.decoding.slots == 1


@pytest.mark.parametrize("layer", [0, 5])
def test_memory_that_runs_out_over_the_copy_of_the_weights_does_as_well(ending, layer, monkeypatch):
    expected = sampled(ending, PLAIN)
    target, left = tuner_layers(ending.peft)[layer], [1]
    real = target.get_delta_weight

    def scarce(adapter):
        if left:
            left.pop()
            in_vain()
        return real(adapter)

    monkeypatch.setattr(target, "get_delta_weight", scarce, raising=False)
    assert same_texts(sampled(ending, Decoding(kind="slots")), expected)
    assert left == []
    assert ending.decoder.decoding.slots == 4
    assert not ending.merged.made


def test_where_not_even_one_response_fits_it_says_what_to_do(ending, monkeypatch):
    told = []
    monkeypatch.setattr(ending.decoder, "told", lambda *change: told.append(change))
    with (
        RunsOut(ending, lambda rows, width: True),
        pytest.raises(OutOfMemory, match="even one response") as caught,
    ):
        sampled(ending, Decoding(kind="slots"))
    assert caught.value.code == "memory.rollout"
    assert told == [(7, 4), (4, 2), (2, 1)]
    # Nothing is left as it was in the middle of it.
    expected = sampled(ending, PLAIN)
    assert same_texts(sampled(ending, Decoding(kind="slots")), expected)


def test_an_error_that_is_not_one_of_memory_is_not_hidden(ending):
    def fail():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with (
        RunsOut(ending, lambda rows, width: True, fail) as out,
        pytest.raises(RuntimeError, match="cannot be multiplied"),
    ):
        sampled(ending, Decoding(kind="slots"))
    assert out.times == 1
