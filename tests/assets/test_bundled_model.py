"""The bundled base model: what it promises to the demo, to PPO and to the download size."""

import importlib
import re
import statistics
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from ppo_tui import assets

ROOT = Path(__file__).resolve().parents[2]
RESPONSE_TOKENS = 32


@pytest.fixture(scope="module", autouse=True)
def _repository_on_the_path():
    # The build tools are run from the root of the repository and never installed.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield


@pytest.fixture(scope="module")
def grammar() -> ModuleType:
    return importlib.import_module("tools.bundled_model.grammar")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(assets.model_dir())


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(assets.model_dir()).eval()


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    return assets.prompts_file().read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def responses(model, tokenizer, prompts) -> list[list[int]]:
    """Response ids of four samples a prompt, up to and with `</s>` where there is one."""
    batch = tokenizer(prompts * 4, return_tensors="pt", padding=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=True,
            max_new_tokens=RESPONSE_TOKENS,
        )
    rows = output[:, batch["input_ids"].shape[1] :].tolist()
    eos = tokenizer.eos_token_id
    return [row[: row.index(eos) + 1] if eos in row else row for row in rows]


@pytest.fixture(scope="module")
def texts(tokenizer, responses) -> list[str]:
    return [tokenizer.decode(row, skip_special_tokens=True) for row in responses]


@pytest.fixture(scope="module")
def score():
    analyzer = SentimentIntensityAnalyzer()
    return lambda text: analyzer.polarity_scores(text)["compound"]


def test_assets_are_at_most_five_megabytes():
    folder = assets.model_dir().parent
    sizes = [p.stat().st_size for p in folder.rglob("*") if "__pycache__" not in p.parts]
    assert sum(sizes) <= 5_000_000


def test_weights_are_safetensors_alone():
    names = {path.name for path in assets.model_dir().iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]


def test_model_is_a_small_llama_in_float32(model):
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert 500_000 <= model.num_parameters() <= 2_000_000
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_embedding_has_a_row_for_every_token(model, tokenizer):
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_special_tokens_are_distinct_and_agree_with_the_model(model, tokenizer):
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == (0, 1, 2)
    for config in (model.config, model.generation_config):
        assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == ids


def test_generation_samples_from_the_models_own_distribution(model):
    generation = model.generation_config
    assert generation.do_sample
    assert (generation.temperature, generation.top_k, generation.top_p) == (1.0, 0, 1.0)


def test_prompts_are_distinct_beginnings_without_a_trailing_space(prompts):
    assert 64 <= len(prompts) <= 128
    assert len(set(prompts)) == len(prompts)
    assert all(prompt == prompt.strip() for prompt in prompts)
    assert {len(prompt.split()) for prompt in prompts} == {2, 3, 4, 5, 6}


def test_prompts_say_nothing_about_quality(prompts, score):
    assert [prompt for prompt in prompts if score(prompt) != 0] == []


def test_prompts_are_openings_of_the_grammar(prompts, grammar):
    assert set(prompts) <= {text for _, text, _ in grammar.openings()}


def test_prompt_is_bos_and_one_token_a_word(prompts, tokenizer):
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.eos_token_id not in ids
        assert len(ids) == 1 + len(prompt.split())


def test_tokenizer_returns_any_text_unchanged(tokenizer):
    for text in ("The film was good. I loved it!", " naïve – 日本 🎬\n\ttabs ,  spaces ."):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_prompt_and_response_tokens_are_those_of_the_whole_text(tokenizer, grammar):
    for review in grammar.reviews(seed=3, count=300):
        prompt = tokenizer(review.opening)["input_ids"]
        response = tokenizer(review.completion, add_special_tokens=False)["input_ids"]
        assert tokenizer(review.text)["input_ids"] == prompt + response


def test_samples_end_by_themselves(responses, tokenizer):
    ended = sum(row[-1] == tokenizer.eos_token_id for row in responses)
    assert ended / len(responses) >= 0.98


def test_samples_are_a_few_words_of_the_grammar_and_stop_at_a_mark(texts, grammar):
    def words(text: str) -> list[str]:
        return re.findall(r"[A-Za-z]+", text)

    known = {word for review in grammar.reviews(seed=4, count=5_000) for word in words(review.text)}
    written = [word for text in texts for word in words(text)]
    assert sum(word in known for word in written) / len(written) >= 0.99
    assert sum(text.endswith((".", "!")) for text in texts) / len(texts) >= 0.98
    assert 6 <= statistics.mean(len(words(text)) for text in texts) <= 16


def test_samples_are_varied(texts):
    assert len(set(texts)) / len(texts) >= 0.85


def test_samples_are_balanced_in_sentiment_and_spread_widely(texts, score):
    scores = [score(text) for text in texts]
    assert abs(statistics.mean(scores)) < 0.15
    assert statistics.pstdev(scores) > 0.4
    assert 0.05 < sum(s == 0 for s in scores) / len(scores) < 0.35


def test_glad_samples_are_within_reach_but_rare(texts, score):
    glad = sum(score(text) >= 0.8 for text in texts) / len(texts)
    assert 0.02 <= glad <= 0.15


def test_grammar_is_a_function_of_its_seed(grammar):
    first, again, other = (
        [review.text for review in grammar.reviews(seed, 20)] for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_grammar_is_balanced_for_every_topic(grammar, score):
    scores: dict[str, list[float]] = {}
    for review in grammar.reviews(seed=5, count=8_000):
        scores.setdefault(review.topic, []).append(score(review.completion))
    assert len(scores) == 8
    for topic, values in scores.items():
        assert abs(statistics.mean(values)) < 0.1, topic
        assert sum(s >= 0.8 for s in values) / len(values) > 0.03, topic


def test_scorer_hears_the_tone_that_the_grammar_means(grammar, score):
    """Where all tones of a review agree, so does the sign of its score (but for odd negations)."""
    agreed, unheard = 0, 0
    for review in grammar.reviews(seed=6, count=5_000):
        signs = {tone.sign for tone in review.tones}
        if len(signs) == 1:
            value = score(review.completion)
            agreed += 1
            unheard += (value > 0) - (value < 0) != signs.pop()
    assert agreed > 1_500
    assert unheard / agreed < 0.02


def test_grammar_counts_the_probability_of_its_choices(grammar):
    draw = grammar.Draw(grammar.random.Random(0))
    draw.one_of("abcd")
    draw.chance(0.5)
    assert draw.log_prob == pytest.approx(-2.0794415)  # ln(1/4) + ln(1/2)


@pytest.mark.slow
def test_script_reproduces_tokenizer_configuration_and_prompts(capsys):
    build = importlib.import_module("tools.bundled_model.build")
    reproduced = build.check(build.Recipe(), assets.model_dir().parent, quick=True)
    assert reproduced, capsys.readouterr().out
