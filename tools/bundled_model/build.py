"""Builds the base model that ships with ppo-tui: tokenizer, weights, prompts.

Run from the root of the repository, on a CPU, in a few minutes:

    python -m tools.bundled_model.build            # writes ppo_tui/assets
    python -m tools.bundled_model.build --check    # builds again aside, and compares
    python -m tools.bundled_model.build --check --quick    # the same without the weights

The text comes from `grammar`; nothing is downloaded. All is a function of `Recipe`: the tokenizer,
the configuration and the prompts are the same on any machine, the weights are the same bit for bit
on one machine and equal in quality on another (kernels differ in the last bit).
"""

import argparse
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tools.bundled_model import grammar
from tools.bundled_model.topics import Join

ASSETS = Path(__file__).resolve().parents[2] / "ppo_tui" / "assets"
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>")
MODEL_FOLDER = "base_model"
PROMPTS_FILE = "prompts.txt"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Recipe:
    """All that the result depends on.

    The sizes are those of a demo: small enough that 60 PPO steps take about a minute on two cores,
    large enough to learn the grammar nearly exactly. The embedding is tied to the head, since at
    this vocabulary a second matrix would be a seventh of the model and teach it nothing. The
    learning rate is half of what learns the words fastest: above it the model never hears that the
    clauses of a review agree in tone. One thread, because the order of a sum, and so its last bit,
    depends on their number.
    """

    seed: int = 20
    vocabulary: int = 1024
    tokenizer_reviews: int = 20_000
    hidden: int = 128
    intermediate: int = 320
    layers: int = 3
    heads: int = 4
    context: int = 256
    train_reviews: int = 160_000
    eval_reviews: int = 4_000
    batch: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    threads: int = 1
    prompts_per_topic: int = 12
    longest_prompt: int = 6


@dataclass(frozen=True)
class EvalLoss:
    """Mean negative log-likelihood of held-out reviews, in nats.

    Attributes:
        per_token: over every predicted token, `</s>` included.
        per_review: the sum over a review's tokens.
        bound: what the grammar's own choices cost per review, an upper bound of its entropy.
    """

    per_token: float
    per_review: float
    bound: float


def build_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Train the byte-level BPE tokenizer; it puts `<s>` in front and no `</s>` behind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (review.text for review in grammar.reviews(recipe.seed, recipe.tokenizer_reviews))
    tokenizer.train_from_iterator(texts, trainer)
    pad, bos, eos = SPECIAL_TOKENS
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A $B",
        special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        model_max_length=recipe.context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_prompts(recipe: Recipe) -> list[str]:
    """Choose openings of the grammar: every topic and kind of opening, topics taking turns."""
    rng = random.Random(recipe.seed)
    kinds: dict[str, dict[Join, list[str]]] = defaultdict(lambda: defaultdict(list))
    for topic, text, join in grammar.openings():
        if len(text.split()) <= recipe.longest_prompt:
            kinds[topic][join].append(text)
    columns = []
    for by_join in kinds.values():
        for texts in by_join.values():
            rng.shuffle(texts)
        turns = itertools.zip_longest(*by_join.values())
        ordered = [text for turn in turns for text in turn if text is not None]
        columns.append(ordered[: recipe.prompts_per_topic])
    return [text for row in zip(*columns, strict=True) for text in row]


def build_config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return the configuration of the untrained model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        # 1/sqrt(hidden) would make the tied logits too sharp at the start; the default too flat.
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )


def _encode(
    tokenizer: PreTrainedTokenizerFast, reviews: Iterator[grammar.Review]
) -> tuple[list[list[int]], float]:
    """Return the ids of each review with `</s>`, and their mean negative log-probability."""
    drawn = list(reviews)
    ids = tokenizer([review.text for review in drawn])["input_ids"]
    bound = -sum(review.log_prob for review in drawn) / len(drawn)
    return [[*row, tokenizer.eos_token_id] for row in ids], bound


def _collate(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return right-padded ids [B, T] and the mask [B, T] of what is not padding."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]
    return ids, mask


def _token_losses(model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the loss of every predicted token, [tokens].

    Padding stands on the right and attention is causal, so no attention mask is needed.
    """
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    predicted = mask[:, 1:]
    return functional.cross_entropy(logits[predicted], ids[:, 1:][predicted], reduction="none")


def _batches(rows: list[list[int]], size: int, rng: random.Random) -> list[list[list[int]]]:
    """Shuffle, then batch rows of nearly equal length within pools, so little is padding."""
    rng.shuffle(rows)
    pool = size * 16
    batches = []
    for start in range(0, len(rows), pool):
        part = sorted(rows[start : start + pool], key=len)
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    rng.shuffle(batches)
    return batches


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Train the model from nothing: one pass over fresh reviews, AdamW, warm-up then cosine."""
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(build_config(recipe, tokenizer))
    rows, _ = _encode(tokenizer, grammar.reviews(recipe.seed + 1, recipe.train_reviews))
    batches = _batches(rows, recipe.batch, random.Random(recipe.seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )

    def rate(step: int) -> float:
        if step < recipe.warmup_steps:
            return (step + 1) / recipe.warmup_steps
        done = (step - recipe.warmup_steps) / max(1, len(batches) - recipe.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    start = time.monotonic()
    for step, batch in enumerate(batches):
        ids, mask = _collate(batch, tokenizer.pad_token_id)
        loss = _token_losses(model, ids, mask).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0 or step + 1 == len(batches):
            seconds = time.monotonic() - start
            print(f"step {step + 1}/{len(batches)}  loss {loss.item():.4f}  {seconds:.0f} s")
    return model.eval()


@torch.no_grad()
def evaluate(
    recipe: Recipe, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> EvalLoss:
    """Measure the loss on reviews of a seed that training does not use."""
    rows, bound = _encode(tokenizer, grammar.reviews(recipe.seed + 2, recipe.eval_reviews))
    total, tokens = 0.0, 0
    for start in range(0, len(rows), recipe.batch):
        ids, mask = _collate(rows[start : start + recipe.batch], tokenizer.pad_token_id)
        losses = _token_losses(model, ids, mask)
        total += losses.double().sum().item()
        tokens += losses.numel()
    return EvalLoss(total / tokens, total / len(rows), bound)


def write_untrained(recipe: Recipe, folder: Path) -> PreTrainedTokenizerFast:
    """Write tokenizer, configuration and prompts; return the tokenizer."""
    model_folder = folder / MODEL_FOLDER
    model_folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(recipe)
    tokenizer.save_pretrained(model_folder)
    config = build_config(recipe, tokenizer)
    config.architectures = [LlamaForCausalLM.__name__]
    config.save_pretrained(model_folder)
    # Sampling is from the model's own distribution, as PPO needs it: no top-k, no top-p.
    GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=32,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ).save_pretrained(model_folder)
    (folder / PROMPTS_FILE).write_text("\n".join(build_prompts(recipe)) + "\n", encoding="utf-8")
    return tokenizer


def write_all(recipe: Recipe, folder: Path) -> EvalLoss:
    """Build everything into a folder and return the loss of the model."""
    tokenizer = write_untrained(recipe, folder)
    model = train(recipe, tokenizer)
    loss = evaluate(recipe, model, tokenizer)
    model_folder = folder / MODEL_FOLDER
    model.generation_config = GenerationConfig.from_pretrained(model_folder)
    model.save_pretrained(model_folder)
    (model_folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone
    card = model_card(recipe, loss, parameters=sum(p.numel() for p in model.parameters()))
    (model_folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return loss


def model_card(recipe: Recipe, loss: EvalLoss, parameters: int) -> str:
    """Return the text of the model card."""
    return f"""# ppo-tui's bundled base model

A {parameters / 1e6:.2f} million parameter model of the Llama architecture ({recipe.layers} layers \
of {recipe.hidden}, tied embeddings,
context {recipe.context}) that completes the beginning of a short English review. It exists so \
that `ppo-tui demo`
and the tests have something to tune without a download, and is of no use for anything else.

- **Text**: {recipe.train_reviews:,} reviews drawn from a grammar, \
`tools/bundled_model/grammar.py`; glad and
  sad ones are equally likely. No text of anyone's was used.
- **Tokenizer**: byte-level BPE, at most {recipe.vocabulary} tokens, `<pad>`, `<s>` and `</s>` \
distinct. `<s>` is added
  in front; a review ends with `</s>`.
- **Loss** on {recipe.eval_reviews:,} held-out reviews: {loss.per_token:.3f} nats a token, \
{loss.per_review:.2f} nats a review; the grammar's
  own choices cost {loss.bound:.2f}.
- **Made by** `python -m tools.bundled_model.build`, seed {recipe.seed}; checked by the same with \
`--check`.
- **License**: Apache-2.0, as the rest of the project.
"""


def _config_of(path: Path) -> dict[str, object]:
    """Read a JSON file without the version of the library that wrote it."""
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    content.pop("transformers_version", None)
    return content


def check(recipe: Recipe, shipped: Path, *, quick: bool) -> bool:
    """Build aside, compare with what is shipped, print each finding.

    Args:
        recipe: what to build.
        shipped: the assets folder.
        quick: leave the weights out.

    Returns:
        Whether all is reproduced: files equal, and weights equal or (on another machine) of a
        loss within 0.01 nats a token.
    """
    findings: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as temporary:
        rebuilt = Path(temporary)
        if quick:
            tokenizer = write_untrained(recipe, rebuilt)
        else:
            loss = write_all(recipe, rebuilt)
            tokenizer = AutoTokenizer.from_pretrained(rebuilt / MODEL_FOLDER)
        findings[PROMPTS_FILE] = (rebuilt / PROMPTS_FILE).read_bytes() == (
            shipped / PROMPTS_FILE
        ).read_bytes()
        names = ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json")
        for name in names:
            pair = [_config_of(folder / MODEL_FOLDER / name) for folder in (rebuilt, shipped)]
            findings[name] = pair[0] == pair[1]
        if not quick:
            model = AutoModelForCausalLM.from_pretrained(shipped / MODEL_FOLDER)
            shipped_loss = evaluate(recipe, model, tokenizer)
            same = (rebuilt / MODEL_FOLDER / WEIGHTS_FILE).read_bytes() == (
                shipped / MODEL_FOLDER / WEIGHTS_FILE
            ).read_bytes()
            close = abs(loss.per_token - shipped_loss.per_token) < 0.01
            findings[f"{WEIGHTS_FILE}: {'equal' if same else 'differs, loss close'}"] = (
                same or close
            )
            print(f"rebuilt {loss}")
            print(f"shipped {shipped_loss}")
    for name, good in findings.items():
        print(f"{'ok  ' if good else 'FAIL'}  {name}")
    return all(findings.values())


def main() -> int:
    """Build or check; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the bundled base model from its grammar.")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to write or to check")
    parser.add_argument("--check", action="store_true", help="build aside and compare")
    parser.add_argument("--quick", action="store_true", help="with --check: leave the weights out")
    arguments = parser.parse_args()
    recipe = Recipe()
    if arguments.check:
        return 0 if check(recipe, arguments.out, quick=arguments.quick) else 1
    if arguments.quick:
        parser.error("--quick goes with --check")
    start = time.monotonic()
    print(write_all(recipe, arguments.out))
    print(f"built in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
