"""A byte-level BPE tokenizer, trained here in no time, in the variants that real models come in."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "<s>{{ m['role'] }}: {{ m['content'] }}</s>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)

MakeTokenizer = Callable[..., Any]


@pytest.fixture(scope="session")
def make_tokenizer() -> MakeTokenizer:
    """Makes a tokenizer of one token a byte, in which <pad> is 0, <s> 1 and </s> 2.

    The fast tokenizer of a space is `Ġ`; with no merges every ASCII character is one token, so that
    lengths in the tests can be counted by hand.
    """

    def make(
        *,
        bos: str | None = "<s>",
        add_bos: bool = False,
        add_eos: bool = False,
        chat_template: str | None = None,
    ) -> Any:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=259,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([], trainer)
        if add_bos or add_eos:
            front = f"{bos} " if add_bos else ""
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{front}$A{' </s>' if add_eos else ''}",
                special_tokens=[("<s>", 1), ("</s>", 2)],
            )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=bos, eos_token="</s>", pad_token="<pad>"
        )
        fast.chat_template = chat_template
        return fast

    return make


@pytest.fixture(scope="session")
def tokenizer(make_tokenizer: MakeTokenizer) -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def chat_tokenizer(make_tokenizer: MakeTokenizer) -> Any:
    return make_tokenizer(chat_template=CHAT_TEMPLATE)
