"""Model folders and caches made of small files, without torch."""

import json
import struct
from pathlib import Path

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 10,
    "tie_word_embeddings": True,
}
WEIGHTS = {
    "model.embed_tokens.weight": [10, 8],
    "model.layers.0.self_attn.q_proj.weight": [8, 8],
    "model.layers.0.input_layernorm.weight": [8],
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors(tensors: dict[str, list[int]] = WEIGHTS) -> bytes:
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def model_folder(path: Path, without: tuple[str, ...] = (), **files: str | bytes) -> Path:
    """A folder that holds a tiny Llama; `__` in a keyword stands for the dot of a file name."""
    path.mkdir(parents=True, exist_ok=True)
    contents: dict[str, str | bytes] = {
        "config.json": json.dumps(LLAMA),
        "model.safetensors": safetensors(),
        "tokenizer.json": "{}",
        **{name.replace("__", "."): content for name, content in files.items()},
    }
    for name, content in contents.items():
        if name not in without:
            data = content.encode() if isinstance(content, str) else content
            (path / name).write_bytes(data)
    return path


def cached_model(
    cache: Path, name: str, *, ref: str | None = "main", without: tuple[str, ...] = (), **files: str
) -> Path:
    """A model in a Hugging Face cache; its snapshot folder."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = model_folder(repository / "snapshots" / COMMIT, without, **files)
    if ref is not None:
        (repository / "refs").mkdir()
        (repository / "refs" / ref).write_text(COMMIT)
    return snapshot
