"""Valid files of every kind, made by the code that makes them in a run."""

from __future__ import annotations

import hashlib
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.config.schema import RunConfig
from ppo_tui.runs.journal import encode
from ppo_tui.runs.judgements import About, new_pair, new_rating, new_skip, new_undo, to_json
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import (
    RunState,
    Sample,
    TokenRecord,
    answers_event,
    checkpoint_event,
    eval_event,
    health_event,
    log_event,
    state_event,
    step_event,
)

METRICS = {"reward/score": 0.5, "reward/total": 0.4, "kl/ref": 1.5, "policy/loss": -0.01}


def configs() -> list[bytes]:
    """Every preset that is shipped, and a whole configuration."""
    presets = files("ppo_tui.presets").iterdir()
    texts = [entry.read_bytes() for entry in presets if entry.name.endswith(".yaml")]
    everything = {
        "model": {"name": "somebody/a-model", "revision": "main", "quantization": "nf4"},
        "adapter": {"targets": ["q_proj", "v_proj"]},
        "data": {"prompts": "prompts.jsonl", "template": "Q: {prompt}"},
        "reward": {
            "terms": [
                {"kind": "length", "target": 20},
                {"kind": "keywords", "words": ["good"], "weight": 0.5},
                {"kind": "regex", "pattern": "(a|b){2,9}[a-z]+"},
            ]
        },
        "ratings": {"use": ["one", "two.jsonl"]},
    }
    return [*texts, json.dumps(everything).encode(), config_to_yaml(RunConfig()).encode()]


def events() -> list[bytes]:
    """A line of each kind."""
    pair = {"prompt": "p", "base": "b", "tuned": "t", "base_score": 0.1, "tuned_score": 0.9}
    made = (
        state_event(Phase.ROLLOUT, step=0),
        log_event("Loaded bundled on cpu in float32.", device="cpu"),
        *(step_event(step, METRICS) for step in (1, 2, 3)),
        health_event(2, "health.kl", "It drifts.", hint="Raise ppo.kl_coef."),
        eval_event(3, {"eval/share": 0.9}, pairs=[pair]),
        answers_event(3, "policy", [{"prompt": "p", "response": "r", "score": 0.5}]),
        checkpoint_event(3, "checkpoints/step-000003"),
    )
    return [encode(event.to_json()).rstrip(b"\n") for event in made]


def samples() -> list[bytes]:
    """Lines with tokens and without."""
    tokens = (TokenRecord("good", -0.5, -0.7, 0.1, 0.2),)
    return [
        encode(
            Sample(
                f"{n}-0", n, "a prompt", "good", 0.5, {"sentiment": 0.5}, 0.1, 1, True, what
            ).to_json()
        ).rstrip(b"\n")
        for n, what in ((1, tokens), (2, None), (3, None))
    ]


def pool() -> list[bytes]:
    """Candidates."""
    return [
        encode(Candidate(f"{n}-0", n, "p", "r", 3, True, "AAAA").to_json()).rstrip(b"\n")
        for n in (1, 2)
    ]


def ratings() -> list[bytes]:
    """A judgement of each kind."""
    one, other = (About("p", text, f"{text}-0", 1, "AAAA") for text in ("r", "s"))
    rating = new_rating("me", "bundled", "base", "run", one, 4, "a note")
    pair = new_pair("me", "bundled", "base", "run", one, other, 0.5)
    made = (rating, pair, new_skip("me", [other]), new_undo("me", rating.id))
    return [encode(to_json(judgement)).rstrip(b"\n") for judgement in made]


def state() -> bytes:
    """The state of a run in the midst of its steps."""
    record = RunState(Phase.UPDATE, 3, 36, current_process(), 1.0, 2.0).to_json()
    return json.dumps(record, indent=2).encode()


def launch() -> bytes:
    """Which process was started."""
    return json.dumps({"v": 1, "time": 1.0, **current_process().to_json()}).encode()


def requests() -> list[bytes]:
    """A request of each kind."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("pause", {}),
        ("stop", {"mode": "save"}),
        ("set", {"key": "lr", "value": 0.001}),
    ]
    return [
        json.dumps({"v": 1, "id": "1-a", "time": 1.0, "kind": kind, "args": args}).encode()
        for kind, args in kinds
    ]


def checkpoint_state() -> bytes:
    """What a checkpoint says of itself."""
    extra = {"events_offset": 10, "samples_offset": 20, "pool_offset": 0, "unwell": []}
    trainer = {"step": 3, "kl_coef": 0.05, "data": {"epoch": 0}, "prompts_sha256": "0" * 64}
    return json.dumps(
        {"v": 1, "trainer": trainer, "extra": extra, "reward_rng": None, "taste": None}
    ).encode()


def manifest(state: bytes) -> bytes:
    """The manifest of a checkpoint that holds a state alone."""
    return json.dumps(
        {"v": 1, "sha256": {"state.json": hashlib.sha256(state).hexdigest()}}
    ).encode()


def prompts() -> dict[str, list[bytes]]:
    """Files of prompts by their ending."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["Tell me of the sea.", "Is it late?", "Größe, 大きさ, حجم"]
    table = io.BytesIO()
    pq.write_table(pa.table({"prompt": texts, "id": [1, 2, 3]}), table)
    lines = "\n".join(json.dumps({"prompt": text, "id": n}) for n, text in enumerate(texts))
    return {
        ".txt": ["\n".join(texts).encode(), b"one\r\ntwo\r\n"],
        ".jsonl": [lines.encode()],
        ".csv": [b'id,prompt\n1,"a, b"\n2,"two\nlines"\n', b"prompt\nx\n"],
        ".parquet": [table.getvalue()],
    }


def reward_record() -> bytes:
    """The record of a saved reward."""
    point = {"count": 20, "correlation": 0.5, "accuracy": None}
    record = {
        "v": 1, "kind": "human", "base": "abc", "model": "bundled", "ratings": 20, "pairs": 3,
        "raters": 1, "agreement": [point], "date": "2026-11-26T10:00:00+00:00", "more": {},
    }  # fmt: skip
    return json.dumps(record).encode()


def taste_tensors() -> bytes:
    """A model of taste, fitted to ratings of random texts."""
    from safetensors.numpy import save

    from ppo_tui.taste.evidence import Evidence
    from ppo_tui.taste.model import TasteModel

    random = np.random.default_rng(0)
    readings = random.normal(size=(24, 5 * 4 + 1)).astype(np.float32)
    stars = np.clip(np.round(3 + readings[:12, 0]), 1, 5).astype(np.float64)
    nothing = np.empty((0, readings.shape[1]), np.float32)
    evidence = Evidence(readings[:12], stars, nothing, nothing, np.empty(0))
    written: bytes = save(TasteModel.fit(evidence, readings).to_tensors())
    return written


def adapter_config() -> bytes:
    """What peft writes beside the weights of a LoRA, as far as it is read."""
    record = {
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none",
        "use_rslora": False, "task_type": "CAUSAL_LM", "auto_mapping": None, "use_dora": False,
    }  # fmt: skip
    return json.dumps(record).encode()


def adapter_tensors() -> bytes:
    """The weights of such a LoRA."""
    from safetensors.numpy import save

    name = "base_model.model.model.layers.0.self_attn.q_proj"
    written: bytes = save(
        {
            f"{name}.lora_A.weight": np.ones((4, 8), np.float32),
            f"{name}.lora_B.weight": np.zeros((8, 4), np.float32),
        }
    )
    return written


def folder_of(path: Path, content: dict[str, bytes]) -> None:
    """Write files into a folder, over what lies there."""
    path.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (path / name).write_bytes(data)
